"""What is published for one frame: the classifier's answer after smoothing."""

from __future__ import annotations

from dataclasses import dataclass

from edge.contract.rejection import UNKNOWN, is_unknown, said
from edge.contract.result import Nearest, Probabilities, Result, most_probable, nearest_known


@dataclass(frozen=True, eq=False)
class Decision:
    """What is published for one frame."""

    time: float  # seconds since the epoch, when the answer was ready
    source: str  # name of the source
    frame: int  # number of the frame in its source, from 0; gaps are frames that were dropped
    name: str  # name of the photo within its folder, else the name of the source
    result: Result  # the classifier's own answer, before smoothing
    probabilities: Probabilities  # (num_classes,), after smoothing
    index: int  # which label it is, after smoothing
    wait_ms: float  # spent waiting for the frame (decoding it, where the source is a file)
    age_ms: float  # from the capture of the frame to the answer
    is_held: bool = False  # nothing moved, so the answer is that of an earlier frame

    @property
    def captured(self) -> float:
        """When the frame was captured, seconds since the epoch."""
        return self.time - self.age_ms / 1000

    @property
    def label(self) -> str:
        """The label, even if it is too improbable to be believed."""
        return self.result.labels[self.index]

    @property
    def probability(self) -> float:
        return float(self.probabilities[self.index])

    @property
    def is_unknown(self) -> bool:
        """True if the smoothed probabilities are too unsure by the model's own rule, or the label says so."""
        return is_unknown(self.label, self.probabilities, self.result.rejection)

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
        """The known class that is most probable after smoothing; None where the model knows none."""
        return nearest_known(self.result.labels, self.probabilities)

    @property
    def latency_ms(self) -> float:
        return self.result.latency_ms

    def top(self, k: int) -> list[tuple[str, float]]:
        """The k most probable labels with their smoothed probabilities, best first."""
        return most_probable(self.result.labels, self.probabilities, k)
