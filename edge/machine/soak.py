"""A model for minutes on end: does it get slower, does the board get hot, does the process grow?

In:  a Pipeline, a frame as a camera sends it (JPEG), seconds.
Out: a Period for each minute: frames a second, milliseconds from frame to answer, heat, memory, threads, descriptors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edge.base.board import Board
from edge.base.intervals import Percentiles, percentiles
from edge.base.text import seconds_of
from edge.contract.frame import Clock, Sleep
from edge.errors import UsageError

PERIOD_S = 60.0
FEWEST_PERIODS = 2  # so that there is a first and a last
LOOK_S = 1.0  # between two looks at the board
LONGEST_S = 7 * 86400
WARM_UP_FRAMES = 5

Work = Callable[[bytes], Sequence[float]]


@dataclass(frozen=True)
class Period:
    """About a minute of a soak. None: the machine does not tell."""

    seconds: float  # at its end, since the start of the soak
    frames: int
    fps: float
    total: Percentiles  # milliseconds from frame to answer, decoding left out
    cpu_share: float | None  # of one core
    temperature_c: float | None  # the highest
    is_throttled: bool | None  # at any look
    memory_mb: float | None  # the rest: at its end
    threads: int | None
    descriptors: int | None


@dataclass(frozen=True)
class Drift:
    """The last period against the first."""

    slower: float  # times as long, by the median
    hotter_c: float | None
    memory_mb: float | None
    threads: int | None
    descriptors: int | None

    @classmethod
    def of(cls, periods: Sequence[Period]) -> Drift:
        first, last = periods[0], periods[-1]
        return cls(
            last.total.p50 / first.total.p50,
            _difference(first.temperature_c, last.temperature_c),
            _difference(first.memory_mb, last.memory_mb),
            None if first.threads is None or last.threads is None else last.threads - first.threads,
            None if first.descriptors is None or last.descriptors is None else last.descriptors - first.descriptors,
        )


class _Looks:
    """What the board says during one period."""

    def __init__(self, board: Board, clock: Clock) -> None:
        self._board, self._clock, self._at = board, clock, clock()
        self.times_ms: list[float] = []
        self.started_at = self._at
        self.temperature_c, self.is_throttled = board.temperature_c(), board.is_throttled()

    def maybe(self) -> None:
        """One look, unless there was one a moment ago."""
        if self._clock() - self._at < LOOK_S:
            return
        self._at = self._clock()
        heat, throttled = self._board.temperature_c(), self._board.is_throttled()
        if heat is not None:
            self.temperature_c = max(heat, self.temperature_c if self.temperature_c is not None else heat)
        if throttled is not None:
            self.is_throttled = throttled or bool(self.is_throttled)

    def period(self, began_at: float, now: float) -> Period:
        board, frames = self._board, len(self.times_ms)
        return Period(
            now - began_at, frames, frames / (now - self.started_at), percentiles(self.times_ms), board.cpu_share(),
            self.temperature_c, self.is_throttled, board.memory_mb(), board.threads(), board.descriptors(),
        )  # fmt: skip


def soak(
    work: Work,
    jpeg: bytes,
    seconds: float,
    *,
    max_fps: float | None = None,
    board: Board | None = None,
    clock: Clock = time.perf_counter,
    sleep: Sleep = time.sleep,
) -> Iterator[Period]:
    """Work without a pause, or `max_fps` times a second; each period comes when it is over."""
    board = board or Board()
    for _ in range(WARM_UP_FRAMES):
        work(jpeg)
    board.cpu_share()
    began_at = next_at = clock()
    length_s = period_s(seconds)
    looks = _Looks(board, clock)
    while True:
        _pause_until(next_at, clock, sleep)
        next_at = max(next_at + 1 / max_fps, clock()) if max_fps else clock()
        looks.times_ms.append(sum(work(jpeg)[1:]))
        looks.maybe()
        now = clock()
        if now - looks.started_at < length_s:
            continue
        yield looks.period(began_at, now)
        if now - began_at >= seconds:
            return
        looks = _Looks(board, clock)


def period_s(seconds: float) -> float:
    """Length of a period: a minute, or less where there would not be two."""
    return min(PERIOD_S, seconds / FEWEST_PERIODS)


def read_duration(text: str) -> float:
    """Seconds of "90s", "10m" or "2h". Raises UsageError, one line."""
    seconds = seconds_of(text) or 0.0
    if not 0 < seconds <= LONGEST_S:
        raise UsageError(f"--soak {text}: expected a time such as 90s, 10m or 2h, at most 168h")
    return seconds


def _pause_until(at: float, clock: Clock, sleep: Sleep) -> None:
    if (left_s := at - clock()) > 0:
        sleep(left_s)


def _difference(first: float | None, last: float | None) -> float | None:
    return None if first is None or last is None else last - first
