"""The TFLite runtime behind one small class: ai-edge-litert where it is installed, else its predecessor tflite-runtime.

In:  RGB uint8 (N, N, 3), raw pixel values.
Out: float32 (num_classes,) probabilities.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.packages import DISTRIBUTION, ONE_EXTRA, installed
from edge.base.streams import quiet_stderr
from edge.base.text import first_line
from edge.errors import DependencyError, ModelError, UsageError
from edge.tflite.runtimes import explain

LITERT, LEGACY = "ai_edge_litert", "tflite_runtime"
SPATIAL_SHAPE_LENGTH = 4
ANSWER, EVIDENCE = "probabilities", "evidence"  # names of the outputs in files of ours
HALF = 127.5  # mean and standard deviation that bring pixels to -1 to 1
PIXEL_SCALE, PIXEL_ZERO_POINTS = 1 / HALF, (127, 128)
SCALE_TOLERANCE = 1e-3  # relative; calibration rounds
UNQUANTISED = (0.0, 0)
WRONG_BORDER = " (a wrong dtype border)"
OURS = "use a file written by: flora export"
ELSEWHERE = f"get it again from where it came from, or {OURS}"

Tensor = dict[str, Any]  # what the runtime tells of an input or output


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
    """One loaded model that Flora wrote. Not safe to share between threads."""

    def __init__(self, flatbuffer: bytes, name: str, *, threads: int | None = None) -> None:
        """Raises ModelError when the runtime refuses the model or its borders are not those of a file of ours."""
        self._interpreter = loaded(flatbuffer, name, checked_threads(threads))
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._check_input(name, inputs)
        answer, self._evidence = told_apart(outputs)
        self._check_output(name, answer, outputs)
        self.size = int(inputs[0]["shape"][1])
        self.num_classes = int(answer["shape"][-1])
        self.input_quantization: tuple[float, int] = inputs[0]["quantization"]  # scale, zero point
        self.output_quantization: tuple[float, int] | None = (
            None if answer["dtype"] == np.float32 else answer["quantization"]
        )
        self._input, self._output = inputs[0]["index"], answer["index"]
        scale, zero_point = self.output_quantization or (1.0, 0)
        self._scale, self._zero_point = np.float32(scale), np.float32(zero_point)

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (num_classes,) of one picture, RGB uint8 (N, N, 3)."""
        self._interpreter.set_tensor(self._input, rgb[None])
        self._interpreter.invoke()
        raw = self._interpreter.get_tensor(self._output)[0]
        return np.asarray((raw.astype(np.float32) - self._zero_point) * self._scale, np.float32)

    def evidence(self) -> NDArray[np.float32] | None:
        """The class evidence map (h, w, num_classes) of the last call, in logits; None if the model puts out none."""
        if self._evidence is None:
            return None
        raw = self._interpreter.get_tensor(self._evidence["index"])[0]
        if raw.dtype == np.float32:
            return np.asarray(raw, np.float32)
        scale, zero_point = self._evidence["quantization"]
        return np.asarray((raw.astype(np.float32) - np.float32(zero_point)) * np.float32(scale), np.float32)

    def _check_input(self, name: str, inputs: Sequence[Tensor]) -> None:
        """Pixels go in as they are: uint8, whose quantisation is the normalisation, or which the model normalises."""
        if not _is_one_picture(inputs) or inputs[0]["dtype"] != np.uint8:
            raise ModelError(
                f"{name}: its input is {_described(inputs)}; expected one picture [1, N, N, 3] uint8"
                f"{_cause(inputs, np.uint8)}; {OURS}"
            )
        scale, zero_point = inputs[0]["quantization"]
        is_normal = abs(scale / PIXEL_SCALE - 1) <= SCALE_TOLERANCE and zero_point in PIXEL_ZERO_POINTS
        if not is_normal and (scale, zero_point) != UNQUANTISED:
            raise ModelError(
                f"{name}: the input came out with scale {scale:.6f} and zero point {zero_point}, expected "
                f"{PIXEL_SCALE:.6f} and 127 or 128{WRONG_BORDER}; {OURS}"
            )

    def _check_output(self, name: str, answer: Tensor, outputs: Sequence[Tensor]) -> None:
        """One vector of probabilities."""
        is_vector = bool(answer) and len(answer["shape"]) == len(("batch", "class"))
        if not is_vector or not _is_numeric(answer, np.uint8, np.float32):
            raise ModelError(
                f"{name}: its output is {_described(outputs)}; expected probabilities [1, classes], float32 or "
                f"quantised uint8{_cause(outputs, np.uint8, np.float32)}; {OURS}"
            )


@dataclass(frozen=True)
class Border:
    """How pixels go into a model from elsewhere, and what comes out of it: told by its file, or assumed."""

    mean: tuple[float, ...] = ()  # of pixel values, one or three, (pixel - mean) / std goes in; (): not told
    std: tuple[float, ...] = ()
    is_logits: bool = False  # what comes out needs a softmax


class ForeignInterpreter(Interpreter):
    """One loaded model that Flora did not write: other types at its borders, and nothing that it says is trusted.

    In:  uint8, int8 or float32 [1, N, N, 3]. uint8 takes pixels as they are, whatever normalisation is told, for its
         quantisation is part of the model; int8 those less 128 and float32 (pixel - 127.5) / 127.5 unless it is told.
    Out: uint8, int8 or float32 [1, C] or [1, 1, 1, C].
    """

    def __init__(self, flatbuffer: bytes, name: str, border: Border, *, threads: int | None = None) -> None:
        super().__init__(flatbuffer, name, threads=threads)
        self._name, self._border = name, border
        self._dtype = np.dtype(self._interpreter.get_input_details()[0]["dtype"])
        with np.errstate(all="ignore"):  # as below
            self._gain, self._offset = self._affine()

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (num_classes,) of one picture, RGB uint8 (N, N, 3). Raises ModelError when none come out."""
        with np.errstate(all="ignore"):  # overflow and the like show in the answer, which is checked
            try:
                self._interpreter.set_tensor(self._input, self._pixels(rgb)[None])
                self._interpreter.invoke()
            except (ValueError, RuntimeError) as error:
                raise ModelError(
                    f"{self._name}: it loads, but gives no answer ({first_line(error)}); {ELSEWHERE}"
                ) from error
            raw = self._interpreter.get_tensor(self._output).reshape(-1)
            answer = (raw.astype(np.float32) - self._zero_point) * self._scale
            return self._checked(softmax(answer) if self._border.is_logits else answer)

    def _pixels(self, rgb: NDArray[np.uint8]) -> NDArray[Any]:
        if self._dtype == np.uint8:
            return rgb
        scaled = rgb * self._gain + self._offset
        return np.rint(scaled).clip(-128, 127).astype(np.int8) if self._dtype == np.int8 else scaled

    def _affine(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Gain and offset, each (1,) or (3,), from pixel values to what goes in."""
        scale, zero_point = self.input_quantization
        is_told = bool(self._border.mean)
        mean, std = (np.array(v or (HALF,), np.float64) for v in (self._border.mean, self._border.std))
        if self._dtype == np.int8:
            if not is_told or not scale > 0:
                return np.array([1], np.float32), np.array([-128], np.float32)
            return (1 / std / scale).astype(np.float32), (zero_point - mean / std / scale).astype(np.float32)
        return (1 / std).astype(np.float32), (-mean / std).astype(np.float32)

    def _checked(self, answer: NDArray[np.float32]) -> NDArray[np.float32]:
        if not (np.abs(answer - 0.5) <= 0.5 + 1 / 64).all():  # NaN fails this as well; 1/64 is for coarse quantisation
            raise ModelError(
                f"{self._name}: its answers are from {answer.min():.3g} to {answer.max():.3g}; expected probabilities, "
                f"0 to 1; {ELSEWHERE}"
            )
        return answer

    def _check_input(self, name: str, inputs: Sequence[Tensor]) -> None:
        if not _is_one_picture(inputs) or inputs[0]["dtype"] not in (np.uint8, np.int8, np.float32):
            raise ModelError(
                f"{name}: its input is {_described(inputs)}; expected one picture [1, N, N, 3], uint8, int8 "
                f"or float32; {ELSEWHERE}"
            )

    def _check_output(self, name: str, answer: Tensor, outputs: Sequence[Tensor]) -> None:
        if not answer or not _is_numeric(answer, np.uint8, np.int8, np.float32):
            raise ModelError(
                f"{name}: its output is {_described(outputs)}; expected one [1, classes], float32 or quantised "
                f"uint8 or int8; {ELSEWHERE}"
            )


def softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities (…, num_classes) from logits (…, num_classes)."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def runtime_version() -> str:
    """Name and version of the runtime in use, as "ai-edge-litert 2.3.0"."""
    name = str(_runtime().__name__).partition(".")[0].replace("_", "-")
    return " ".join([name, *installed([name]).values()])


def loaded(flatbuffer: bytes, name: str, threads: int) -> Any:
    """The runtime's own interpreter, ready to invoke. Raises ModelError when the runtime refuses the model."""
    runtime = _runtime()
    try:
        with quiet_stderr():
            interpreter = runtime.Interpreter(model_content=flatbuffer, num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError, MemoryError) as error:
        package, _, version = runtime_version().partition(" ")
        advice = explain(str(error), package, version) or (
            f"the runtime {runtime_version()} refuses it ({first_line(error)}); "
            f"update it: pip install -U '{DISTRIBUTION}[headless]'; or export the model again"
        )
        raise ModelError(f"{name}: {advice}") from error
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


def _is_one_picture(inputs: Sequence[Tensor]) -> bool:
    shape = _shape(inputs[0]) if len(inputs) == 1 else []
    return len(shape) == SPATIAL_SHAPE_LENGTH and shape[0] == 1 and shape[1] == shape[2] and shape[3] == len("RGB")


def told_apart(outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """The vector of answers and the map of evidence: by name, else by shape. No vector, or several: an empty one."""
    vectors = [output for output in outputs if _is_vector(output)]
    answer = _only(vectors, ANSWER) or {}
    classes = int(answer["shape"][-1]) if answer else 0
    return answer, _only([output for output in outputs if output is not answer and _is_map(output, classes)], EVIDENCE)


def _only(tensors: Sequence[Tensor], name: str) -> Tensor | None:
    """The one of that name, else the only one."""
    named = [tensor for tensor in tensors if tensor["name"] == name] or tensors
    return named[0] if len(named) == 1 else None


def _is_vector(output: Tensor) -> bool:
    shape = _shape(output)
    return len(shape) in (2, SPATIAL_SHAPE_LENGTH) and set(shape[:-1]) == {1} and shape[-1] > 1


def _is_map(output: Tensor, num_classes: int) -> bool:
    shape = _shape(output)
    return len(shape) == SPATIAL_SHAPE_LENGTH and shape[0] == 1 and shape[-1] == num_classes


def _is_numeric(tensor: Tensor, *dtypes: type[Any]) -> bool:
    """Whether its values can be had: float32, or quantised with one scale."""
    return tensor["dtype"] in dtypes and (tensor["dtype"] == np.float32 or tensor["quantization"][0] > 0)


def _cause(tensors: Sequence[Tensor], *dtypes: type[Any]) -> str:
    return WRONG_BORDER if any(tensor["dtype"] not in dtypes for tensor in tensors) else ""


def _shape(tensor: Tensor) -> list[int]:
    return [int(side) for side in tensor["shape"]]


def _described(tensors: Sequence[Tensor]) -> str:
    kinds = [f"{_shape(tensor)} {np.dtype(tensor['dtype']).name}" for tensor in tensors]
    return " and ".join(kinds) or "missing"
