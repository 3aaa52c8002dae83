"""Stand-ins for cameras: one that waits to be asked, one that plays a script; and a clock that passes by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tests.edge.fakes import picture

HANG, END = "hang", "end"


class FakeCamera:
    """A capture that delivers `number` as its grey level, as often as it is permitted to."""

    def __init__(self, last: int | None = None, torn: frozenset[int] = frozenset()) -> None:
        self.asked = 0  # calls of grab
        self.released = 0
        self._permits = 0
        self._last = last
        self._torn = torn
        self._number = -1
        self._changed = threading.Condition()

    def permit(self, frames: int) -> None:
        """Let so many grabs happen and wait until they have, and the thread is back for the next."""
        with self._changed:
            self._permits += frames
            wanted = self._permits + 1
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self.asked >= wanted or self.released, timeout=10)

    def grab(self) -> bool:
        with self._changed:
            self.asked += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._permits >= self.asked, timeout=10)
            self._number += 1
            return self._last is None or self._number <= self._last

    def retrieve(self) -> tuple[bool, NDArray[np.uint8] | None]:
        return (False, None) if self._number in self._torn else (True, picture(self._number % 256))

    def release(self) -> None:
        with self._changed:
            self.released += 1
            self._changed.notify_all()

    def wait_until_released(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.released, timeout=10)

    def let_go(self) -> None:
        with self._changed:
            self._permits += 10**6
            self._changed.notify_all()


class WaitingClock:
    """Passes by `step_s` each time that the thread which made it asks, but only while nothing is delivered.

    So whoever waits for a camera waits through seconds in no time, and never while one is busy.
    """

    def __init__(self, now: float = 100.0, step_s: float = 0.25) -> None:
        self.now = now
        self.is_passing = False
        self.step_s = step_s
        self._owner = threading.get_ident()

    def __call__(self) -> float:
        if self.is_passing and threading.get_ident() == self._owner:
            self.now += self.step_s
        return self.now


class Script:
    """A capture that delivers these grey levels `every_s`, then hangs or ends. `free` lets a hanging one go."""

    def __init__(self, clock: WaitingClock, levels: Iterable[int], then: str = HANG, *, every_s: float = 0.0) -> None:
        self.free = threading.Event()
        self.released_by: int | None = None  # a thread
        self._clock, self._then, self._every_s = clock, then, every_s
        self._levels = iter(levels)
        self._level = 0
        clock.is_passing = False

    def grab(self) -> bool:
        level = next(self._levels, None)
        if level is None:
            self._clock.is_passing = True
            if self._then == HANG:
                assert self.free.wait(10)
            return False
        self._level = level
        self._clock.now += self._every_s
        return True

    def retrieve(self) -> tuple[bool, NDArray[np.uint8]]:
        return True, picture(self._level)

    def release(self) -> None:
        self._clock.is_passing = True
        self.released_by = threading.get_ident()
