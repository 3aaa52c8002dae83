"""Decisions over time: one answer per frame in, one steadier decision per frame out.

In:  probabilities (num_classes,), float32, and the second at which their frame was captured.
Out: smoothed probabilities (num_classes,) and the index of the label that is held.

The average is exponential in time, not in frames, so that it behaves alike at 5 and at 60 frames a second:
a frame `dt` seconds after the last one weighs 1 - exp(-dt / time constant). A label is then held until another
one leads it by a margin, which stops two nearly equal labels from alternating.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.rejection import UNKNOWN, Rejection, is_unknown

Probabilities = NDArray[np.float32]

TIME_CONSTANTS_PER_GAP = 4  # after this many the old average weighs under 2 %: what follows is another scene


class Answer(Protocol):
    """What a classifier returns for one frame; `edge.classifier.Result` is one."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def probabilities(self) -> Probabilities: ...
    @property
    def geometry_ms(self) -> float: ...
    @property
    def invoke_ms(self) -> float: ...
    @property
    def rejection(self) -> Rejection | None: ...


@dataclass(frozen=True, eq=False)
class Decision:
    """What is published for one frame."""

    time: float  # seconds since the epoch, when the answer was ready
    source: str  # name of the source
    frame: int  # number of the frame in its source, from 0; gaps are frames that were dropped
    name: str  # name of the photo within its folder, else the name of the source
    result: Answer  # the classifier's own answer, before smoothing
    probabilities: Probabilities  # (num_classes,), after smoothing
    index: int  # which label is held, after smoothing
    wait_ms: float  # spent waiting for the frame (decoding it, where the source is a file)
    age_ms: float  # from the capture of the frame to the answer
    is_held: bool = False  # nothing moved, so the answer is that of an earlier frame

    @property
    def captured(self) -> float:
        """When the frame was captured, seconds since the epoch."""
        return self.time - self.age_ms / 1000

    @property
    def label(self) -> str:
        """The label held, even if it is too improbable to be believed."""
        return self.result.labels[self.index]

    @property
    def probability(self) -> float:
        return float(self.probabilities[self.index])

    @property
    def is_unknown(self) -> bool:
        """True if the smoothed probabilities are too unsure by the model's own rule, or the label held says so."""
        return is_unknown(self.label, self.probabilities, self.result.rejection)

    @property
    def shown(self) -> str:
        """The word for a person: the label, or "unknown"."""
        return UNKNOWN if self.is_unknown else self.label

    @property
    def latency_ms(self) -> float:
        return self.result.geometry_ms + self.result.invoke_ms

    def top(self, k: int) -> list[tuple[str, float]]:
        """The k most probable labels with their smoothed probabilities, best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(self.result.labels[i], float(self.probabilities[i])) for i in order]


class Smoother:
    """Exponential average over `time_constant_s` seconds, then a label that changes only by a lead of `margin`.

    A time constant of 0 turns both off: each frame stands for itself.
    """

    def __init__(self, time_constant_s: float, margin: float) -> None:
        self._time_constant_s = time_constant_s
        self._margin = margin
        self.reset()

    def reset(self) -> None:
        """Forget the past, as at the start of another scene."""
        self._average: Probabilities | None = None
        self._held = 0
        self._at_s = 0.0

    def update(self, probabilities: Probabilities, at_s: float) -> tuple[Probabilities, int]:
        """Take the probabilities of a frame captured at `at_s`; return the smoothed ones and the label held."""
        elapsed_s = at_s - self._at_s
        if elapsed_s > TIME_CONSTANTS_PER_GAP * self._time_constant_s:
            self.reset()
        self._at_s = at_s
        if self._time_constant_s == 0 or self._average is None:
            self._average = probabilities
            self._held = int(np.argmax(probabilities))
            return self._average, self._held
        weight = 1 - math.exp(-max(elapsed_s, 0.0) / self._time_constant_s)
        self._average = np.asarray(self._average + weight * (probabilities - self._average), np.float32)
        best = int(np.argmax(self._average))
        if self._average[best] - self._average[self._held] >= self._margin:
            self._held = best
        return self._average, self._held
