"""A model file as a function from a camera frame to an answer.

In:  BGR uint8 (H, W, 3), as OpenCV delivers it.
Out: Result, with probabilities (num_classes,) in the order of `labels`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.base.formats import remarks_on
from edge.contract.frame import Clock
from edge.contract.rejection import overridden
from edge.contract.result import Probabilities, Result
from edge.errors import ModelError, PhotoError
from edge.model.card import ModelCard, ModelFile, read_model
from edge.model.interpreter import ForeignInterpreter, Interpreter
from edge.model.metadata import standard_labels
from edge.model.verify import Verdict, check, trouble
from edge.picture import geometry
from edge.picture.geometry import Picture

if TYPE_CHECKING:
    from edge.model.foreign import ForeignModel

BUNDLED = Path(__file__).parents[1] / "models" / "flowers.tflite"


class Classifier:
    """A `.tflite` file: ours with its card, or one from elsewhere that brings labels. Not for several threads."""

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        threads: int | None = None,
        threshold: float | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        """`threshold` overrides the card's. Raises ModelError for a file that cannot be trusted to answer.

        Without a model it is the bundled flower model. A file without a card is loaded in a child process first,
        unless that went well before.
        """
        file = read_model(bundled_model() if model is None else model)
        self.name, self._path = file.path.name, str(file.path)
        self.card: ModelCard | None = file.card
        self.foreign: ForeignModel | None = None
        self.rejection = overridden(file.card.rejection if file.card else None, threshold)
        self._clock = clock
        if file.card:
            self.labels = file.card.labels
            self._interpreter = Interpreter(file.flatbuffer, self._path, threads=threads)
            _require_fit(file, file.card, self._interpreter)
        else:
            self.foreign = _tried_foreign(file)
            self.labels = self.foreign.labels
            self._interpreter = ForeignInterpreter(file.flatbuffer, self._path, self.foreign.border, threads=threads)
        self.size = self._interpreter.size

    def __call__(self, frame_bgr: Picture) -> Result:
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
        """What is taken on trust of a file that Flora did not write, and what is not known of one that it did."""
        assumed = tuple(f"{self.name}: assumed: {line}" for line in (self.foreign.assumed if self.foreign else ()))
        return assumed + remarks_on(f"{self.name}: its card", self.card)

    @property
    def manifest_sha256(self) -> str | None:
        """Of the list of photos that it was made from; None without a card."""
        return self.card.manifest_sha256 if self.card else None

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

    def _answer(self, frame_bgr: Picture) -> Probabilities:
        return self(frame_bgr).probabilities


def _tried_foreign(file: ModelFile) -> ForeignModel:
    """What a file from elsewhere says of itself, once a child process has answered with it and come to no harm."""
    # What these two need takes 15 ms to import, which files of ours can do without.
    from edge.model.foreign import read_foreign
    from edge.model.trial import try_out

    found = read_foreign(str(file.path), file.flatbuffer, file.entries)
    try_out(file.flatbuffer, str(file.path))
    return found


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
