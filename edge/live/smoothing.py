"""Decisions over time: one answer per frame in, one steadier decision per frame out.

In:  probabilities (num_classes,), float32, and the second at which their frame was captured.
Out: smoothed probabilities (num_classes,) and the index of the label that is kept.

The average is exponential in time, not in frames, so that it behaves alike at 5 and at 60 frames a second:
a frame `dt` seconds after the last one weighs 1 - exp(-dt / time constant). A label is then kept until another
one leads it by a margin, which stops two nearly equal labels from alternating.
"""

from __future__ import annotations

import math

import numpy as np

from edge.contract.result import Probabilities

TIME_CONSTANTS_PER_GAP = 4  # after this many the old average weighs under 2 %: what follows is another scene


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
        self._kept = 0
        self._at_s = 0.0

    def update(self, probabilities: Probabilities, at_s: float) -> tuple[Probabilities, int]:
        """Take the probabilities of a frame captured at `at_s`; return the smoothed ones and the label kept."""
        elapsed_s = at_s - self._at_s
        if elapsed_s > TIME_CONSTANTS_PER_GAP * self._time_constant_s:
            self.reset()
        self._at_s = at_s
        if self._time_constant_s == 0 or self._average is None:
            self._average = probabilities
            self._kept = int(np.argmax(probabilities))
            return self._average, self._kept
        weight = 1 - math.exp(-max(elapsed_s, 0.0) / self._time_constant_s)
        self._average = np.asarray(self._average + weight * (probabilities - self._average), np.float32)
        best = int(np.argmax(self._average))
        if self._average[best] - self._average[self._kept] >= self._margin:
            self._kept = best
        return self._average, self._kept
