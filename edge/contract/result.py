"""What a classifier answers to one picture, and what a classifier is.

In:  a picture BGR uint8 (H, W, 3).
Out: Result, with probabilities float32 (num_classes,) in the order of its labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.contract.rejection import UNKNOWN, Rejection, is_unknown, said
from edge.picture.geometry import Picture

Probabilities = NDArray[np.float32]  # (num_classes,)
Nearest = tuple[str, float]  # a label other than "unknown", its probability


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Result:
    """The answer for one frame. Times are in milliseconds."""

    labels: tuple[str, ...]
    probabilities: Probabilities
    geometry_ms: float
    invoke_ms: float
    rejection: Rejection | None = None  # when the answer is "unknown"; None: never
    evidence: NDArray[np.float32] | None = None  # (h, w, num_classes): where the answer comes from; None: not told

    @property
    def label(self) -> str:
        """The most probable label, whether or not it is probable enough."""
        return self.labels[int(self.probabilities.argmax())]

    @property
    def probability(self) -> float:
        return float(self.probabilities.max())

    @property
    def is_unknown(self) -> bool:
        return is_unknown(self.label, self.probabilities, self.rejection)

    @property
    def shown(self) -> str:
        """The word for programs: the label, or "unknown"."""
        return UNKNOWN if self.is_unknown else self.label

    @property
    def said(self) -> str:
        """The word for a person: the label, or "nothing known"."""
        return said(self.shown)

    @property
    def nearest(self) -> Nearest | None:
        """The known class that is most probable; None where the model knows none."""
        return nearest_known(self.labels, self.probabilities)

    @property
    def latency_ms(self) -> float:
        """From frame to answer: geometry and invoke."""
        return self.geometry_ms + self.invoke_ms

    def top(self, k: int) -> list[tuple[str, float]]:
        """The k most probable labels, most probable first."""
        return most_probable(self.labels, self.probabilities, k)


def most_probable(labels: tuple[str, ...], probabilities: Probabilities, k: int) -> list[tuple[str, float]]:
    """The k most probable labels with their probabilities, most probable first."""
    order = np.argsort(-probabilities, kind="stable")[:k]
    return [(labels[i], float(probabilities[i])) for i in order]


def nearest_known(labels: tuple[str, ...], probabilities: Probabilities) -> Nearest | None:
    """The most probable label other than "unknown", with its probability; None where there is no other."""
    known = [place for place, label in enumerate(labels) if label != UNKNOWN]
    if not known:
        return None
    best = known[int(probabilities[known].argmax())]
    return labels[best], float(probabilities[best])


class Answer(Protocol):
    """What a Result and a Decision have in common."""

    @property
    def probability(self) -> float: ...
    @property
    def is_unknown(self) -> bool: ...
    @property
    def said(self) -> str: ...
    @property
    def nearest(self) -> Nearest | None: ...


def nearest_of(answer: Answer) -> str:
    """What stands small beside "nothing known", as in "nearest: roses 0.45"; empty beside any other answer."""
    if not answer.is_unknown or answer.nearest is None:
        return ""
    label, probability = answer.nearest
    return f"nearest: {label} {probability:.2f}"


def headline(answer: Answer) -> str:
    """One line for a person: "roses 0.97", or "nothing known (nearest: roses 0.45)"."""
    if not answer.is_unknown:
        return f"{answer.said} {answer.probability:.2f}"
    beside = nearest_of(answer)
    return f"{answer.said} ({beside})" if beside else answer.said


def nearest_record(answer: Answer) -> dict[str, Any]:
    """What JSON carries besides, where the answer is "unknown": {"nearest": {"label", "probability"}}; else nothing."""
    if not answer.is_unknown or answer.nearest is None:
        return {}
    label, probability = answer.nearest
    return {"nearest": {"label": label, "probability": round(probability, 6)}}


class PictureClassifier(Protocol):
    """A model of whatever kind, opened: all that the verbs and the live loop need of one."""

    @property
    def name(self) -> str:
        """Of its file or folder."""

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the probabilities."""

    @property
    def size(self) -> int:
        """Pixels of its input each way."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is taken on trust of it, a line each."""

    @property
    def manifest_sha256(self) -> str | None:
        """Of the list of photos that it was made from; None: it does not tell."""

    def __call__(self, frame_bgr: Picture, /) -> Result:
        """Classify one frame. Raises PhotoError for what is none."""

    def require_right_answers(self) -> None:
        """Raise ModelError where it can tell that it answers wrongly on this device."""
