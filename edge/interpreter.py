"""The TFLite runtime behind one small class: ai-edge-litert where it is installed, else its predecessor tflite-runtime.

In:  RGB uint8 (N, N, 3), raw pixel values.
Out: float32 (num_classes,) probabilities.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import DependencyError, ModelError
from edge.quiet import quiet_stderr

RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
SPATIAL_SHAPE_LENGTH = 4


def default_threads() -> int:
    """All cores up to four; small networks gain nothing from more."""
    return min(4, os.cpu_count() or 1)


class Interpreter:
    """One loaded model. Not safe to share between threads."""

    def __init__(self, flatbuffer: bytes, name: str, *, threads: int | None = None) -> None:
        """Raises ModelError when the runtime refuses the model or its input is not [1, N, N, 3] uint8."""
        runtime = _runtime()
        try:
            with quiet_stderr():
                self._interpreter: Any = runtime.Interpreter(
                    model_content=flatbuffer, num_threads=threads or default_threads()
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, MemoryError) as error:
            reason = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise ModelError(
                f"{name}: the runtime {runtime_version()} refuses it ({reason[:160]}); copy or export it again"
            ) from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        _check_border(name, inputs, outputs)
        self.size = int(inputs[0]["shape"][1])
        self.num_classes = int(outputs[0]["shape"][-1])
        self.input_quantization: tuple[float, int] = inputs[0]["quantization"]  # scale, zero point
        self.output_quantization: tuple[float, int] | None = (
            outputs[0]["quantization"] if outputs[0]["dtype"] == np.uint8 else None
        )
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self._scale, self._zero_point = self.output_quantization or (1.0, 0)

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (num_classes,) of one picture, RGB uint8 (N, N, 3)."""
        self._interpreter.set_tensor(self._input, rgb[None])
        self._interpreter.invoke()
        raw = self._interpreter.get_tensor(self._output)[0]
        return np.asarray((raw.astype(np.float32) - np.float32(self._zero_point)) * np.float32(self._scale), np.float32)


def runtime_version() -> str:
    """Name and version of the runtime in use, as "ai-edge-litert 2.3.0"."""
    from importlib.metadata import PackageNotFoundError, version

    name = _runtime().__name__.split(".")[0].replace("_", "-")
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name


def _runtime() -> Any:
    for module in RUNTIMES:
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            if not module.startswith(error.name or "?"):
                raise DependencyError(
                    f"{module} is installed but misses {error.name}; reinstall it: pip install --force-reinstall 'flora[headless]'"
                ) from error
        except ImportError as error:
            raise DependencyError(
                f"{module} cannot be loaded ({str(error).splitlines()[0][:120]}); tflite-runtime needs NumPy 1: pip install 'flora[legacy]'"
            ) from error
    raise DependencyError(
        "no TFLite runtime is installed; take one of: pip install 'flora[headless]', 'flora[window]' or, on old devices, 'flora[legacy]'"
    )


def _check_border(name: str, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
    """The border a device relies on: one uint8 picture in, one vector of probabilities out."""
    shape = tuple(int(side) for side in inputs[0]["shape"])
    is_picture = (
        len(shape) == SPATIAL_SHAPE_LENGTH and shape[0] == 1 and shape[1] == shape[2] and shape[3] == len("RGB")
    )
    if len(inputs) != 1 or not is_picture or inputs[0]["dtype"] != np.uint8:
        raise ModelError(
            f"{name}: its input is {list(shape)} {np.dtype(inputs[0]['dtype']).name}; expected one picture [1, N, N, 3] uint8"
        )
    if outputs[0]["dtype"] not in (np.uint8, np.float32) or len(outputs[0]["shape"]) != len(("batch", "class")):
        raise ModelError(
            f"{name}: its output is {list(outputs[0]['shape'])} {np.dtype(outputs[0]['dtype']).name}; expected [1, classes] uint8 or float32"
        )
