"""The TFLite runtime behind one small class: ai-edge-litert where it is installed, else its predecessor tflite-runtime.

In:  RGB uint8 (N, N, 3), raw pixel values.
Out: float32 (num_classes,) probabilities.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.dependencies import DISTRIBUTION, ONE_EXTRA, first_line, installed
from edge.errors import DependencyError, ModelError, UsageError
from edge.quiet import quiet_stderr

LITERT, LEGACY = "ai_edge_litert", "tflite_runtime"
SPATIAL_SHAPE_LENGTH = 4


def default_threads() -> int:
    """All cores up to four; small networks gain nothing from more."""
    return min(4, os.cpu_count() or 1)


def checked_threads(threads: int | None) -> int:
    """The number of threads to use; None is the default. Raises UsageError unless it is 1 or more."""
    if threads is None:
        return default_threads()
    if threads < 1:
        raise UsageError(f"--threads {threads}: expected 1 or more")
    return threads


class Interpreter:
    """One loaded model. Not safe to share between threads."""

    def __init__(self, flatbuffer: bytes, name: str, *, threads: int | None = None) -> None:
        """Raises ModelError when the runtime refuses the model or its borders are not those of `_check_border`."""
        self._interpreter = _loaded(flatbuffer, name, checked_threads(threads))
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        _check_border(name, inputs, outputs)
        self.size = int(inputs[0]["shape"][1])
        self.num_classes = int(outputs[0]["shape"][-1])
        self.input_quantization: tuple[float, int] = inputs[0]["quantization"]  # scale, zero point
        self.output_quantization: tuple[float, int] | None = (
            outputs[0]["quantization"] if outputs[0]["dtype"] == np.uint8 else None
        )
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        scale, zero_point = self.output_quantization or (1.0, 0)
        self._scale, self._zero_point = np.float32(scale), np.float32(zero_point)

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (num_classes,) of one picture, RGB uint8 (N, N, 3)."""
        self._interpreter.set_tensor(self._input, rgb[None])
        self._interpreter.invoke()
        raw = self._interpreter.get_tensor(self._output)[0]
        return np.asarray((raw.astype(np.float32) - self._zero_point) * self._scale, np.float32)


def runtime_version() -> str:
    """Name and version of the runtime in use, as "ai-edge-litert 2.3.0"."""
    name = str(_runtime().__name__).partition(".")[0].replace("_", "-")
    return " ".join([name, *installed([name]).values()])


def _loaded(flatbuffer: bytes, name: str, threads: int) -> Any:
    runtime = _runtime()
    try:
        with quiet_stderr():
            interpreter = runtime.Interpreter(model_content=flatbuffer, num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError, MemoryError) as error:
        raise ModelError(
            f"{name}: the runtime {runtime_version()} refuses it ({first_line(error)}); "
            f"update it: pip install -U '{DISTRIBUTION}[headless]'; or export the model again"
        ) from error
    return interpreter


def _runtime() -> Any:
    package = next((name for name in (LITERT, LEGACY) if find_spec(name) is not None), None)
    if package is None:
        raise DependencyError(f"no TFLite runtime is installed; {ONE_EXTRA}")
    if package == LEGACY and int(np.__version__.partition(".")[0]) > 1:
        # It would import, and then crash on the first model.
        raise DependencyError(
            f"tflite-runtime cannot work with NumPy {np.__version__}; expected NumPy 1: "
            f"pip install '{DISTRIBUTION}[legacy]'"
        )
    try:
        return import_module(f"{package}.interpreter")
    except ImportError as error:
        raise DependencyError(
            f"{package} is installed but cannot be loaded ({first_line(error)}); reinstall it: "
            f"pip install --force-reinstall '{DISTRIBUTION}[{'headless' if package == LITERT else 'legacy'}]'"
        ) from error


def _check_border(name: str, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
    """What a device relies on: one uint8 picture [1, N, N, 3] in, first of all one vector of probabilities out."""
    shape = _shape(inputs)
    is_picture = (
        len(shape) == SPATIAL_SHAPE_LENGTH and shape[0] == 1 and shape[1] == shape[2] and shape[3] == len("RGB")
    )
    if len(inputs) != 1 or not is_picture or inputs[0]["dtype"] != np.uint8:
        raise ModelError(
            f"{name}: its input is {_described(inputs)}; expected one picture [1, N, N, 3] uint8; "
            "use a file written by: flora export"
        )
    is_vector = len(_shape(outputs)) == len(("batch", "class")) and outputs[0]["dtype"] in (np.uint8, np.float32)
    if not is_vector or (outputs[0]["dtype"] == np.uint8 and not outputs[0]["quantization"][0] > 0):
        raise ModelError(
            f"{name}: its output is {_described(outputs)}; expected probabilities [1, classes], float32 or quantised "
            "uint8; use a file written by: flora export"
        )


def _shape(tensors: list[dict[str, Any]]) -> list[int]:
    return [int(side) for side in tensors[0]["shape"]] if tensors else []


def _described(tensors: list[dict[str, Any]]) -> str:
    kinds = [f"{_shape([tensor])} {np.dtype(tensor['dtype']).name}" for tensor in tensors]
    return " and ".join(kinds) or "missing"
