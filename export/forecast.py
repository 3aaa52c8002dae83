"""How long the demo will take here: foretold from a moment's measurement, corrected by what its steps have taken.

In:  seconds that this machine takes to render a few flowers.
Out: seconds for all of the demo and for each step, and words for them.

Rendering is what every step is like: many small calls of Python and of C, on one core or two. That they are all slower
or faster alike is only roughly true, so each step that has been done corrects what is foretold of those to come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from training.garden.planting import SPECIES, render_flower

SAMPLE = 20  # flowers
GARDEN, TRAINING, EXPORT, CLIP = "garden", "training", "export", "clip"


def sample_s(clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that this machine takes now to render a flower, after a first one of each species."""
    for species in SPECIES:
        render_flower(species, 0)
    started = clock()
    for number in range(SAMPLE):
        render_flower(SPECIES[number % len(SPECIES)], number)
    return (clock() - started) / SAMPLE


class Forecast:
    """`costs` are the steps in order, each in times of a sample's flower; `flower_s` is what that takes here."""

    def __init__(
        self, costs: Mapping[str, float], flower_s: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._costs, self._flower_s, self._clock = dict(costs), flower_s, clock
        self._started_s = clock()
        self._done = 0.0  # costs of the steps before the present one
        self._present = 0.0

    @property
    def total_s(self) -> float:
        """Seconds for everything, as foretold at the start."""
        return sum(self._costs.values()) * self._flower_s

    def begin(self, step: str) -> float:
        """Seconds that this step will take; the one before it is done."""
        self._done += self._present
        self._present = self._costs[step]
        if self._done:
            self._flower_s = (self._clock() - self._started_s) / self._done
        return self._present * self._flower_s


def in_words(seconds: float) -> str:
    """About so long: to ten seconds below two minutes, to half a minute above."""
    if seconds < 115:
        return f"{max(10, 10 * round(seconds / 10))} seconds"
    halves = round(seconds / 30)
    return f"{halves / 2:g} minutes"
