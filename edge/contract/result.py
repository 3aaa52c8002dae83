"""What a classifier answers to one picture, and what a classifier is.

In:  a picture BGR uint8 (H, W, 3).
Out: Result, with probabilities float32 (num_classes,) in the order of its labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.contract.rejection import UNKNOWN, Rejection, is_unknown
from edge.picture.geometry import Picture

Probabilities = NDArray[np.float32]  # (num_classes,)


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
        """The word for a person: the label, or "unknown"."""
        return UNKNOWN if self.is_unknown else self.label

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
