"""A camera or a stream that is watched: what stalls, freezes, ends or fails is dropped and opened again.

In:  a function that makes one attempt to open it; how patient to be.
Out: a Source that goes on for months, and Events that say what happened: NO_PICTURE at once and then each second as an
     update, REOPENING for each attempt, PICTURE_BACK. They are told inside `read`, in the thread of whoever reads.

Until the first picture has come, trouble is an error, as for any source that is not there; `give_up_after_s` changes
that: then it is tried again, from the start on, for so long.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edge.base.options import option
from edge.contract.event import NO_PICTURE, PICTURE_BACK, REOPENING, Event, Tell
from edge.contract.frame import Capture, Clock, Frame, Sleep, is_set
from edge.errors import SourceError, UsageError
from edge.sources.freeze import Freeze
from edge.sources.grabber import WAIT_SLICE_S, Grabber, Slot

STALL_S = 10.0  # a camera may take seconds to adapt to the light, none takes ten
FREEZE_S = 10.0
NOTICE_S = 2.0  # without a frame; more where frames are always slow
NOTICE_GAPS = 3  # so many times the usual gap between frames
OPENING_FACTOR = 2  # to open may take longer than a frame
UPDATE_S = 1.0
MOST_STUCK = 4  # threads that hang inside OpenCV


def ignore(event: Event) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds; what is no option is as it is."""

    stall_s: float = option(STALL_S, "seconds without a frame after which a camera or stream is opened again")
    freeze_s: float = option(FREEZE_S, "seconds of the same picture, bit by bit, after which it is; 0 never")
    give_up_after_s: float | None = option(
        None, "seconds without a picture after which the run ends with an error; a camera that is not there yet is "
        "waited for as long; inf waits for ever (default: never, once there was a picture)", metavar="S",
        flag="--give-up-after",
    )  # fmt: skip
    first_wait_s: float = 1.0  # before it is opened again; doubled with each attempt
    longest_wait_s: float = 30.0
    steady_s: float = 10.0  # of picture, then the next attempt is the first again

    def __post_init__(self) -> None:
        if not 0 < self.stall_s < math.inf:
            raise UsageError(f"--stall-s is {self.stall_s:g}; expected more than 0 seconds")
        if not 0 <= self.freeze_s < math.inf:
            raise UsageError(f"--freeze-s is {self.freeze_s:g}; expected 0 or more seconds")
        if self.give_up_after_s is not None and not self.give_up_after_s > 0:
            raise UsageError(f"--give-up-after is {self.give_up_after_s:g}; expected more than 0 seconds, or inf")

    def wait_s(self, attempt: int) -> float:
        """Before attempt number `attempt`, from 0."""
        return min(self.first_wait_s * 2.0 ** min(attempt, 32), self.longest_wait_s)


@dataclass
class _Outage:
    since: float  # capture of the last picture
    began_with: str
    reason: str  # the newest
    told_at: float | None = None
    told_reason: str | None = None  # of an attempt to open it again


class WatchedSource:
    """A Source around a camera or a stream. `first` is its capture, or why the first attempt to open it failed.

    Frames that come within `rest_s` after one was read need not be decoded: nobody comes for them.
    """

    is_live = True

    def __init__(
        self,
        name: str,
        open_once: Callable[[], Capture],
        *,
        first: Capture | SourceError,
        patience: Patience | None = None,
        rest_s: float = 0.0,
        tell: Tell = ignore,
        warnings: Sequence[str] = (),
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
        wall: Clock = time.time,
    ) -> None:
        self.name = name
        self.warnings = warnings
        self.reopened = 0  # times that a picture came after it was opened again
        self._open_once = open_once
        self._patience = patience or Patience()
        self._tell, self._clock, self._sleep, self._wall = tell, clock, sleep, wall
        self._slot = Slot(name, clock, rest_s)
        self._freeze = Freeze(self._patience.freeze_s)
        self._grabber: Grabber | None = None
        self._stuck: list[Grabber] = []
        self._outage: _Outage | None = None
        self._attempts = 0
        self._reopen_at = clock()
        self._is_reopened = self._is_closing = False
        if isinstance(first, SourceError):
            self._attempts = 1
            reason = self._short(str(first))
            self._outage = _Outage(self._reopen_at, reason, reason)
            self._reopen_at += self._patience.wait_s(0)
        else:
            self._grab(lambda: first)

    @property
    def dropped(self) -> int:
        return self._slot.dropped

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        while not is_set(stop) and not self._is_closing:
            frame = self._slot.take(WAIT_SLICE_S)
            now = self._clock()
            # A reader that comes seldom may find the last frame of a camera that has long gone.
            if frame is not None and now - frame.captured_at < self._patience.stall_s:
                return None if is_set(stop) else self._has_come(frame)
            self._slot.dropped += frame is not None
            self._look_after(now)
        return None

    def close(self) -> None:
        self._is_closing = True
        if self._grabber is not None:
            self._grabber.let_go()
            self._grabber.join()

    def _has_come(self, frame: Frame) -> Frame:
        self.reopened += self._is_reopened
        self._is_reopened = False
        if self._outage is not None:
            outage, self._outage = self._outage, None
            self._say_back(outage, frame.captured_at)
        return frame

    def _look_after(self, now: float) -> None:
        """Without a picture: find out why, open it again when it is time, say so, give up."""
        grabber = self._grabber
        if grabber is None:
            if now >= self._reopen_at:
                self._reopen(now)
        elif (trouble := self._trouble(grabber, now)) is not None:
            if not self._slot.has_frame:  # its last one, which came just now, is not lost
                self._drop(grabber, trouble, now)
        elif grabber.is_open and now - self._slot.picture_at >= self._notice_s(grabber):
            self._miss("no frame comes")
        if self._outage is not None:
            self._say_missing(self._outage, now)
            self._give_up(self._outage, now)

    def _miss(self, reason: str) -> _Outage:
        if self._outage is None:
            self._outage = _Outage(self._slot.picture_at, reason, reason)
        return self._outage

    def _notice_s(self, grabber: Grabber) -> float:
        return min(self._patience.stall_s, max(NOTICE_S, NOTICE_GAPS * grabber.gap_s))

    def _trouble(self, grabber: Grabber, now: float) -> str | None:
        if grabber.reason is not None:
            return self._short(grabber.reason)
        limit_s = self._patience.stall_s * (1 if grabber.is_open else OPENING_FACTOR)
        if now - grabber.alive_at < limit_s:
            return None
        return f"no frame for {limit_s:g} s" if grabber.is_open else f"opening it takes more than {limit_s:g} s"

    def _short(self, reason: str) -> str:
        return reason.removeprefix(f"could not open {self.name}: ")  # what is told names it anyway

    def _drop(self, grabber: Grabber, reason: str, now: float) -> None:
        grabber.let_go()
        self._slot.clear()
        self._stuck = [other for other in (*self._stuck, grabber) if other.is_alive]
        self._grabber = None
        if self._slot.grabbed == 0 and self._patience.give_up_after_s is None:
            raise SourceError(f"{self.name}: {reason}; check cable and network")
        self._miss(reason).reason = reason
        if grabber.lasted_s >= self._patience.steady_s:  # one that never lasts is not asked for every second for ever
            self._attempts = 0
        self._reopen_at = now + self._patience.wait_s(self._attempts)

    def _reopen(self, now: float) -> None:
        self._stuck = [grabber for grabber in self._stuck if grabber.is_alive]
        if len(self._stuck) >= MOST_STUCK:
            raise SourceError(
                f"{self.name}: {MOST_STUCK} reads of it hang for good inside OpenCV; start flora run again"
            )
        self._attempts += 1
        self._is_reopened = True
        if self._outage is not None:
            self._say_reopening(self._outage)
        self._grab(self._open_once)

    def _grab(self, open_capture: Callable[[], Capture]) -> None:
        self._grabber = Grabber(self._slot, open_capture, freeze=self._freeze, clock=self._clock, sleep=self._sleep)

    def _give_up(self, outage: _Outage, now: float) -> None:
        limit_s = self._patience.give_up_after_s
        if limit_s is not None and now - outage.since >= limit_s:
            lost_s = now - outage.since
            raise SourceError(f"{self.name}: no picture for {lost_s:.0f} s, given up as asked; reason: {outage.reason}")

    def _say_missing(self, outage: _Outage, now: float) -> None:
        if outage.told_at is not None and now - outage.told_at < UPDATE_S:
            return
        is_update, outage.told_at = outage.told_at is not None, now
        seconds = now - outage.since
        text = f"no picture from {self.name} for {seconds:.0f} s: {outage.reason}"
        self._say(NO_PICTURE, text, is_update, seconds=round(seconds, 1), reason=outage.reason)

    def _say_reopening(self, outage: _Outage) -> None:
        is_update, outage.told_reason = outage.told_reason == outage.reason, outage.reason
        text = f"opening {self.name} again, attempt {self._attempts}: {outage.reason}"
        self._say(REOPENING, text, is_update, attempt=self._attempts, reason=outage.reason)

    def _say_back(self, outage: _Outage, at: float) -> None:
        seconds = at - outage.since
        text = f"picture from {self.name} is back after {seconds:.1f} s"
        self._say(PICTURE_BACK, text, False, seconds=round(seconds, 1), reason=outage.began_with)

    def _say(self, kind: str, text: str, is_update: bool, **data: Any) -> None:
        self._tell(Event(kind, self._wall(), text, data, is_update))
