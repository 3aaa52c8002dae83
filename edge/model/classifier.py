"""A model file as a function from a camera frame to an answer.

In:  BGR uint8 (H, W, 3), as OpenCV delivers it.
Out: Result, with probabilities (num_classes,) in the order of `labels`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract.rejection import overridden
from edge.contract.result import Result
from edge.errors import ModelError, PhotoError
from edge.model.card import ModelCard, ModelFile, read_model
from edge.model.foreign import Stranger, meet, standard_labels
from edge.model.interpreter import Interpreter, StrangerInterpreter
from edge.model.verify import Verdict, check, trouble
from edge.picture import geometry

BUNDLED = Path(__file__).parents[1] / "models" / "flowers.tflite"


class Classifier:
    """A `.tflite` file: ours with its card, or one from elsewhere that brings labels. Not for several threads."""

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        threads: int | None = None,
        threshold: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`threshold` overrides the card's. Raises ModelError for a file that cannot be trusted to answer.

        Without a model it is the bundled flower model. A file without a card is loaded in a child process first,
        unless that went well before.
        """
        file = read_model(bundled_model() if model is None else model)
        self.name, self._path = file.path.name, str(file.path)
        self.card: ModelCard | None = file.card
        self.stranger: Stranger | None = None
        self.rejection = overridden(file.card.rejection if file.card else None, threshold)
        self._clock = clock
        if file.card:
            self.labels = file.card.labels
            self._interpreter = Interpreter(file.flatbuffer, self._path, threads=threads)
            _require_fit(file, file.card, self._interpreter)
        else:
            self.stranger = meet(self._path, file.flatbuffer, file.entries)
            self.labels = self.stranger.labels
            _vet(file.flatbuffer, self._path)
            self._interpreter = StrangerInterpreter(file.flatbuffer, self._path, self.stranger.border, threads=threads)
        self.size = self._interpreter.size

    def __call__(self, frame_bgr: NDArray[np.uint8]) -> Result:
        """Classify one BGR uint8 frame (H, W, 3). Raises PhotoError for anything else, such as a failed read's None."""
        _require_frame(frame_bgr)
        started = self._clock()
        picture = geometry.model_input(frame_bgr, self.size)
        cropped = self._clock()
        probabilities = self._interpreter(picture)
        done = self._clock()
        times = (cropped - started) * 1e3, (done - cropped) * 1e3
        return Result(self.labels, probabilities, *times, self.rejection, self._interpreter.evidence())

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is taken on trust of a file that Flora did not write, a line each."""
        return tuple(f"{self.name}: assumed: {line}" for line in (self.stranger.assumed if self.stranger else ()))

    def verify(self) -> tuple[Verdict, ...]:
        """The verdict on each golden case in the card: does this device give the answers that it should?"""
        return check(self._answer, self.labels, self.card.golden if self.card else ())

    def trouble(self, verdicts: Sequence[Verdict]) -> str | None:
        """What is wrong on this device by these verdicts, with the likely cause, in one line; None: nothing."""
        found = trouble(verdicts, self._answer, self._interpreter, self.size, self.labels)
        return f"{self._path}: {found}" if found else None

    def require_right_answers(self) -> None:
        """Raises ModelError, naming the likely cause, when a golden case fails here."""
        if found := self.trouble(self.verify()):
            raise ModelError(found)

    def _answer(self, frame_bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self(frame_bgr).probabilities


def _vet(flatbuffer: bytes, name: str) -> None:
    from edge.model.trial import vet  # with subprocess it takes 5 ms to import, which files of ours do not need

    vet(flatbuffer, name)


def _require_fit(file: ModelFile, card: ModelCard, interpreter: Interpreter) -> None:
    """Card, flatbuffer and standard metadata must tell the same."""
    if interpreter.size != card.input_size or interpreter.num_classes != len(card.labels):
        raise ModelError(
            f"{file.path}: the model is {interpreter.size} px with {interpreter.num_classes} outputs, its card says "
            f"{card.input_size} px with {len(card.labels)} labels; export it again"
        )
    standard = standard_labels(str(file.path), file.flatbuffer, file.entries)
    if standard not in (None, card.labels):
        raise ModelError(
            f"{file.path}: the labels of its card and of its standard metadata disagree; copy or export it again"
        )


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


def bundled_model() -> Path:
    """The flower model that comes with Flora. Raises ModelError where it does not, as in a tree without it."""
    if not BUNDLED.is_file():
        raise ModelError(
            f"{BUNDLED}: no such file; expected the flower model that comes with Flora; name a .tflite file, "
            "or install Flora again"
        )
    return BUNDLED


def introduction(classifier: Classifier) -> str:
    """One line for a person who named no model: which one it is then, what it knows and how well."""
    found = classifier.card.accuracy if classifier.card else None
    measured = f"top-1 {found.top1:.1%} of {found.photos} held-out photos" if found else "accuracy not measured"
    return f"no model named: the bundled {classifier.name} knows {', '.join(classifier.labels)}; {measured}"
