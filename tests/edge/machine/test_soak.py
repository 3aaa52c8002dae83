"""A soak: a line for each minute, at the rate that was asked for, and the last one against the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from edge.base.board import Board
from edge.errors import UsageError
from edge.machine.soak import Drift, Period, read_duration, soak
from tests.edge.fakes import FakeClock

WARM_UP = 5


class Worker:
    """A frame takes so many seconds of a clock that it moves itself, and longer for each frame before it."""

    def __init__(self, clock: FakeClock, seconds: float, more: float = 0.0) -> None:
        self.clock, self.seconds, self.more, self.frames = clock, seconds, more, 0

    def __call__(self, jpeg: bytes) -> Sequence[float]:
        taken = self.seconds + self.more * self.frames
        self.clock.now += taken
        self.frames += 1
        return (100.0, 0.0, taken * 1e3, 0.0)  # decoding is not counted


class HotBoard(Board):
    """Warms by a degree a look and is throttled from 60 degrees on."""

    degrees = 50.0

    def temperature_c(self) -> float | None:
        self.degrees += 1
        return self.degrees

    def is_throttled(self) -> bool | None:
        return self.degrees >= 60


def soaked(seconds: float, clock: FakeClock, worker: Worker, max_fps: float | None = None) -> list[Period]:
    return list(soak(worker, b"", seconds, max_fps=max_fps, board=HotBoard(), clock=clock, sleep=clock.sleep))


def test_there_is_a_period_for_each_minute() -> None:
    clock = FakeClock()
    periods = soaked(180, clock, Worker(clock, 0.5))
    assert [(one.seconds, one.frames, one.fps) for one in periods] == [(60, 120, 2), (120, 120, 2), (180, 120, 2)]
    assert {one.total.p50 for one in periods} == {500}
    assert clock.slept == []


def test_a_short_soak_has_a_first_and_a_last_half() -> None:
    clock = FakeClock()
    assert [one.seconds for one in soaked(10, clock, Worker(clock, 0.25))] == [5, 10]


def test_the_rate_is_kept_where_it_can_be() -> None:
    clock = FakeClock()
    periods = soaked(120, clock, Worker(clock, 0.1), max_fps=2)
    assert [one.fps for one in periods] == pytest.approx([2, 2], rel=0.02)
    clock = FakeClock()
    assert [one.fps for one in soaked(120, clock, Worker(clock, 1.0), max_fps=2)] == [1, 1]


def test_a_sleep_that_lasts_too_long_is_made_good() -> None:
    clock = FakeClock()
    late = list(soak(Worker(clock, 0.1), b"", 120, max_fps=2, clock=clock, sleep=lambda s: clock.sleep(s + 0.05)))
    assert [one.fps for one in late] == pytest.approx([2, 2], rel=0.02)


def test_a_moment_of_throttling_is_remembered_for_its_period() -> None:
    class Cooling(HotBoard):
        looks = 0

        def is_throttled(self) -> bool | None:
            self.looks += 1
            return self.looks == 2

    clock = FakeClock()
    periods = list(soak(Worker(clock, 1.0), b"", 10, board=Cooling(), clock=clock))
    assert [one.is_throttled for one in periods] == [True, False]


def test_a_board_that_gets_slower_and_hotter_is_told() -> None:
    clock = FakeClock()
    periods = soaked(120, clock, Worker(clock, 0.5, more=0.002))
    drift = Drift.of(periods)
    assert drift.slower > 1.2
    assert [one.is_throttled for one in periods] == [True, True]
    assert (periods[0].temperature_c or 0) < (periods[1].temperature_c or 0)
    assert drift.hotter_c == (periods[1].temperature_c or 0) - (periods[0].temperature_c or 0)


def test_growth_is_the_last_period_less_the_first() -> None:
    clock = FakeClock()
    first, last = soaked(10, clock, Worker(clock, 1.0))[:2]
    grown = Period(
        **vars(last) | {"memory_mb": (first.memory_mb or 0) + 5, "threads": (first.threads or 0) + 2,
                        "descriptors": None}
    )  # fmt: skip
    drift = Drift.of([first, grown])
    assert drift.memory_mb == pytest.approx(5)
    assert (drift.threads, drift.descriptors) == (2, None)


def test_a_machine_that_tells_nothing_can_be_soaked(tmp_path: Path) -> None:
    clock = FakeClock()
    mute = Board(tmp_path, clock=clock, cpu_clock=lambda: 0.0)
    periods = list(soak(Worker(clock, 1.0), b"", 4, board=mute, clock=clock, sleep=clock.sleep))
    assert [(one.temperature_c, one.is_throttled, one.memory_mb, one.threads) for one in periods] == [(None,) * 4] * 2
    assert Drift.of(periods) == Drift(1.0, None, None, None, None)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("0.5s", 0.5)])
def test_durations_have_a_unit(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "0s", "10 m", "1d", "169h", "1e3s", "nan"])
def test_other_durations_are_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--soak [^\n]*: expected a time such as 90s, 10m or 2h, at most 168h$"):
        read_duration(text)
