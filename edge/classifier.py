"""A model file as a function from a camera frame to an answer.

In:  BGR uint8 (H, W, 3), as OpenCV delivers it.
Out: Result, with probabilities (num_classes,) in the order of `labels`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge import geometry
from edge.card import ModelCard, read_model
from edge.errors import ModelError, PhotoError, UsageError
from edge.interpreter import Interpreter, checked_threads
from edge.smoothing import UNKNOWN


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Result:
    """The answer for one frame. Times are in milliseconds."""

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]  # (num_classes,)
    geometry_ms: float
    invoke_ms: float
    threshold: float | None = None  # a top probability below this is unknown; None: never

    @property
    def label(self) -> str:
        """The most probable label, whether or not it is probable enough."""
        return self.labels[int(self.probabilities.argmax())]

    @property
    def probability(self) -> float:
        return float(self.probabilities.max())

    @property
    def is_unknown(self) -> bool:
        return self.threshold is not None and self.probability < self.threshold

    @property
    def latency_ms(self) -> float:
        """From frame to answer: geometry and invoke."""
        return self.geometry_ms + self.invoke_ms

    def top(self, k: int) -> list[tuple[str, float]]:
        """The k most probable labels, most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(self.labels[i], float(self.probabilities[i])) for i in order]


class PictureClassifier(Protocol):
    """What `predict`, `evaluate` and `run` need of a model, whatever its kind."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def size(self) -> int: ...
    def __call__(self, frame_bgr: NDArray[np.uint8]) -> Result: ...


class Classifier:
    """A `.tflite` file that carries a card. Not safe to share between threads."""

    def __init__(
        self,
        model: str | Path,
        *,
        threads: int | None = None,
        threshold: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`threshold` overrides the card's. Raises ModelError for a file that cannot be trusted to answer."""
        file = read_model(model)
        self.card: ModelCard = file.card
        self.name = file.path.name
        self.labels = file.card.labels
        self.threshold = checked_threshold(threshold) if threshold is not None else file.card.unknown_threshold
        self._interpreter = Interpreter(file.flatbuffer, str(file.path), threads=threads)
        self._clock = clock
        self.size = self._interpreter.size
        if self.size != file.card.input_size or self._interpreter.num_classes != len(self.labels):
            raise ModelError(
                f"{file.path}: the model is {self.size} px with {self._interpreter.num_classes} outputs, its card says "
                f"{file.card.input_size} px with {len(self.labels)} labels; export it again"
            )

    def __call__(self, frame_bgr: NDArray[np.uint8]) -> Result:
        """Classify one BGR uint8 frame (H, W, 3). Raises PhotoError for anything else, such as a failed read's None."""
        _require_frame(frame_bgr)
        started = self._clock()
        picture = geometry.model_input(frame_bgr, self.size)
        cropped = self._clock()
        probabilities = self._interpreter(picture)
        done = self._clock()
        return Result(self.labels, probabilities, (cropped - started) * 1e3, (done - cropped) * 1e3, self.threshold)


def _require_frame(frame_bgr: object) -> None:
    if not isinstance(frame_bgr, np.ndarray):
        raise PhotoError(
            f"the frame is {type(frame_bgr).__name__}; expected BGR uint8 (H, W, 3); did the camera deliver one?"
        )
    if frame_bgr.ndim != len("HWC") or frame_bgr.shape[2] != len("BGR") or frame_bgr.dtype != np.uint8:
        raise PhotoError(
            f"the frame is {list(frame_bgr.shape)} {frame_bgr.dtype}; expected BGR uint8 (H, W, 3), as from OpenCV"
        )
    if frame_bgr.size == 0:
        raise PhotoError(f"the frame is {list(frame_bgr.shape)}; expected at least one pixel")


def checked_threshold(threshold: float) -> float:
    """Raises UsageError unless 0 <= threshold <= 1."""
    if not 0.0 <= threshold <= 1.0:
        raise UsageError(f"--threshold {threshold}: expected a probability from 0 to 1")
    return threshold


def open_classifier(model: str, *, threads: int | None = None, threshold: float | None = None) -> Any:
    """Open what `--model` names: a `.tflite` file; with TensorFlow also a run folder, a `.keras` file or `imagenet`."""
    path, threads = Path(model), checked_threads(threads)
    if model == "imagenet" or (path / "config.json").exists() or path.suffix == ".keras":
        return import_module("training.classifier").open_keras(model, threshold=threshold)
    return Classifier(path, threads=threads, threshold=threshold)


def answer(result: Result) -> str:
    """The label a person is shown: "unknown" is an answer."""
    return UNKNOWN if result.is_unknown else result.label
