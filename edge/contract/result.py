"""What a classifier answers to one picture, and what a classifier is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.contract.rejection import UNKNOWN, Rejection, is_unknown


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Result:
    """The answer for one frame. Times are in milliseconds."""

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]  # (num_classes,)
    geometry_ms: float
    invoke_ms: float
    rejection: Rejection | None = None  # when the answer is "unknown"; None: never
    evidence: NDArray[np.float32] | None = None  # (h, w, num_classes): where the answer comes from

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


def answer(result: Result) -> str:
    """The label a person is shown: "unknown" is an answer."""
    return UNKNOWN if result.is_unknown else result.label
