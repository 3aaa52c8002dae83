"""How long models take, measured side by side: rounds interleave the models, so a noisy moment hits all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from edge.interpreter import Interpreter

WARM_UP = 5


def time_invokes(
    interpreters: Mapping[str, Interpreter], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Milliseconds of each of `rounds` invokes per model, after a warm-up, on one seeded noise picture."""
    draws = np.random.default_rng(0)
    pictures = {
        name: draws.integers(0, 256, (model.size, model.size, 3), np.uint8) for name, model in interpreters.items()
    }
    times: dict[str, list[float]] = {name: [] for name in interpreters}
    for number in range(WARM_UP + rounds):
        for name, model in interpreters.items():
            started = clock()
            model(pictures[name])
            if number >= WARM_UP:
                times[name].append((clock() - started) * 1e3)
    return times
