"""When the loop turns to the next frame, and how a board that is too hot is spared.

In:  the most frames a second; a function that reads how the machine is doing.
Out: pauses; Vitals for the monitor; THROTTLED and COOL_AGAIN for whoever is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edge.base.board import Board
from edge.contract.event import COOL_AGAIN, THROTTLED
from edge.contract.frame import Sleep
from edge.contract.health import Vitals
from edge.live.hub import Hub

SLEEP_SLICE_S = 0.05  # how soon a pause notices that it should stop
VITALS_EVERY_S = 5.0
THROTTLED_SHARE = 0.5  # of the time is spent working while the board lowers its clock, so that it can cool


def vitals_of(board: Board) -> Vitals:
    """How the machine is doing now; its share of the processor since this was last asked."""
    return Vitals(board.cpu_share(), board.memory_mb(), board.temperature_c(), board.is_throttled())


class Pace:
    """At most `max_fps` frames a second, and fewer while the board lowers its clock."""

    def __init__(
        self,
        hub: Hub,
        max_fps: float | None,
        *,
        tell: Callable[[str, str], None],
        read_vitals: Callable[[], Vitals],
        sleep: Sleep = time.sleep,
    ) -> None:
        """`tell` is given the kind of an event and its text; `read_vitals` is called every few seconds."""
        self._hub, self._max_fps, self._tell = hub, max_fps, tell
        self._read_vitals, self._sleep = read_vitals, sleep
        self._vitals_at = float("-inf")
        self._next_at = hub.clock()

    def pause(self) -> None:
        """Wait until the next frame is due, or the run is to stop."""
        # In slices of plain sleep: waiting on the event could deadlock with the signal handler that sets it.
        while not self._hub.stop.is_set() and (left_s := self._next_at - self._hub.clock()) > 0:
            self._sleep(min(left_s, SLEEP_SLICE_S))

    def note(self, asked_at: float, read_at: float) -> None:
        """A frame was asked for, had been read, and is answered now: from this follows when the next one is due."""
        self._next_at = asked_at + self._spacing_s(self._hub.clock() - read_at)

    def _spacing_s(self, worked_s: float) -> float:
        """From one frame to the next: as --max-fps has it, and longer while the board is too hot."""
        self._look_at_the_board()
        least = 1 / self._max_fps if self._max_fps else 0.0
        return max(least, worked_s / THROTTLED_SHARE) if self._hub.monitor.vitals.is_throttled else least

    def _look_at_the_board(self) -> None:
        now, monitor = self._hub.clock(), self._hub.monitor
        if now - self._vitals_at < VITALS_EVERY_S:
            return
        self._vitals_at = now
        before, monitor.vitals = monitor.vitals, self._read_vitals()
        is_throttled = monitor.vitals.is_throttled
        if is_throttled and not before.is_throttled:
            self._tell(THROTTLED, "the board lowers its clock; working half of the time until it is cool again")
        elif before.is_throttled and not is_throttled:
            self._tell(COOL_AGAIN, "the board is cool again")
