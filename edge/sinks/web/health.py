"""How the run is doing, asked once for all who want to know it at the same moment.

In:  a function that makes a Health; it may read files, so it is called in a thread.
Out: Health, at most HEALTH_S old.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiohttp import web

from edge.contract.frame import Clock
from edge.contract.health import LIVE, Health
from edge.sinks.web.scene import Scene

HEALTH_S = 0.5
OVERDUE_S = 30.0  # without an answer, for a run that says it is live: it hangs
OVERDUE_FRAMES = 5  # unless it is as slow as that


class SharedHealth:
    """For the coroutines of one loop."""

    def __init__(self, ask: Callable[[], Health], clock: Clock = time.monotonic) -> None:
        self._ask, self._clock = ask, clock
        self._lock = asyncio.Lock()
        self._found: tuple[float, Health] | None = None

    async def now(self) -> Health:
        async with self._lock:
            if self._found is None or self._clock() - self._found[0] >= HEALTH_S:
                self._found = self._clock(), await asyncio.to_thread(self._ask)
            return self._found[1]


def trouble(health: Health, scene: Scene) -> str | None:
    """Why the run is not well, in a few words that tell nothing about the place; None if it is."""
    stalled = scene.stalled()
    if stalled is not None:
        return f"no picture for {stalled[0]:.0f} s"
    if health.state != LIVE:
        return health.state
    overdue_s = max(OVERDUE_S, OVERDUE_FRAMES / health.fps if health.fps else 0.0)
    if health.picture_age_s is not None and health.picture_age_s > overdue_s:
        return f"no answer for {health.picture_age_s:.0f} s"
    return None


HEALTH: web.AppKey[SharedHealth] = web.AppKey("health", SharedHealth)
