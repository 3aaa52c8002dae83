"""What a run has told so far: the newest picture, whether there is one just now, the last events, the last minutes.

In:  decisions with their frames, and events, from the thread of the run.
Out: snapshots, from the thread of the server. Everything kept is bounded, whatever the length of the run.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from edge.contract.decision import Decision
from edge.contract.event import NO_PICTURE, PICTURE_BACK, SIGHTING, Event
from edge.contract.frame import Clock, Frame

EVENTS = 100  # the last so many
HISTORY_S = 600  # the last so many seconds, one entry each

Second = tuple[int, str, float]  # since the epoch, the label shown, its probability
Numbered = tuple[int, dict[str, Any]]  # from 1, and the event as JSON has it


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture with its answer."""

    serial: int  # from 1: decisions shown here, which need not be all
    decision: Decision
    frame: Frame


@dataclass(frozen=True)
class Stall:
    """There is no picture just now."""

    since: float  # on the scene's clock
    reason: str


class Scene:
    """One run, as the page sees it. `show`, `tell` and `close` may be called from any thread."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.boot = secrets.token_hex(4)  # tells the numbers of this run's events from those of the run before
        self.is_closed = False
        self.newest: Shot | None = None
        self.event_counts: Counter[str] = Counter()
        self.sighting_counts: Counter[str] = Counter()  # by label
        self.sighting_seconds: Counter[str] = Counter()
        self._clock = clock
        self._lock = threading.Lock()
        self._stall: Stall | None = None
        self._events: deque[Numbered] = deque(maxlen=EVENTS)
        self._history: deque[Second] = deque(maxlen=HISTORY_S)
        self._pulse = Pulse()

    def show(self, decision: Decision, frame: Frame) -> None:
        with self._lock:
            self.newest = Shot(self.newest.serial + 1 if self.newest else 1, decision, frame)
            self._stall = None
            share = decision.probability if math.isfinite(decision.probability) else 0.0
            second = (int(decision.time), decision.shown, round(share, 3))
            if self._history and self._history[-1][0] == second[0]:
                self._history.pop()
            self._history.append(second)
        self._pulse.fire()

    def tell(self, event: Event) -> None:
        with self._lock:
            self._note_stall(event)
            if event.is_update:
                return
            self.event_counts[event.kind] += 1
            if event.kind == SIGHTING:
                label = str(event.data.get("label"))
                self.sighting_counts[label] += 1
                self.sighting_seconds[label] += event.data.get("seconds", 0)
            number = self._events[-1][0] + 1 if self._events else 1
            self._events.append((number, event.record()))

    def close(self) -> None:
        """Wake whoever waits for a picture: there will be none."""
        self.is_closed = True
        self._pulse.fire()

    def events(self, after: int = 0) -> list[Numbered]:
        """Those kept whose number is greater, oldest first."""
        with self._lock:
            return [numbered for numbered in self._events if numbered[0] > after]

    def history(self) -> list[Second]:
        with self._lock:
            return list(self._history)

    def stalled(self) -> tuple[float, str] | None:
        """For how many seconds there has been no picture, and why; None while they come."""
        stall = self._stall
        return (max(0.0, self._clock() - stall.since), stall.reason) if stall else None

    async def newer(self, serial: int, timeout_s: float) -> Shot | None:
        """The newest picture once it is newer than `serial`; None if none comes in time, or the scene is closed."""
        waiter = self._pulse.waiter()  # before the look, so that no picture falls between look and wait
        if not self.is_closed and not self._is_newer(serial):
            try:
                await asyncio.wait_for(waiter.wait(), timeout_s)
            except asyncio.TimeoutError:
                return None
        return self.newest if self._is_newer(serial) and not self.is_closed else None

    def _is_newer(self, serial: int) -> bool:
        return self.newest is not None and self.newest.serial > serial

    def _note_stall(self, event: Event) -> None:
        if event.kind == NO_PICTURE:
            since = self._clock() - float(event.data.get("seconds", 0))
            self._stall = Stall(since, str(event.data.get("reason", event.text)))
        elif event.kind == PICTURE_BACK:
            self._stall = None


class Pulse:
    """Wakes coroutines of one event loop from any thread; costs nothing while none waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def waiter(self) -> asyncio.Event:
        """Set at the next `fire`. For coroutines of one loop only."""
        with self._lock:
            if self._waiting is None:
                self._waiting = asyncio.get_running_loop(), asyncio.Event()
            return self._waiting[1]

    def fire(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting[0].is_closed():
            waiting[0].call_soon_threadsafe(waiting[1].set)
