"""The pace: pauses between frames, and half of the time off while the board is too hot."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from edge.base.board import Board
from edge.contract.event import COOL_AGAIN, THROTTLED
from edge.contract.health import Vitals
from edge.live.hub import Hub
from edge.live.pace import VITALS_EVERY_S, Pace, vitals_of
from tests.edge.fakes import FakeClock

HOT, COOL = Vitals(is_throttled=True), Vitals(is_throttled=False)


class Paced:
    """A loop that works `work_s` on each frame, which are there at once."""

    def __init__(self, max_fps: float | None = None, vitals: Iterable[Vitals] = ()) -> None:
        self.clock, self.told = FakeClock(), list[str]()
        self.hub = Hub(clock=self.clock)
        self._vitals = iter(vitals)
        self.pace = Pace(
            self.hub, max_fps, tell=lambda kind, text: self.told.append(kind),
            read_vitals=lambda: next(self._vitals, COOL), sleep=self.clock.sleep,
        )  # fmt: skip

    def turn(self, work_s: float = 0.0) -> float:
        """One turn of the loop; how long it paused before."""
        before = sum(self.clock.slept)
        self.pace.pause()
        asked_at = self.clock()
        self.clock.now += work_s
        self.pace.note(asked_at, asked_at)
        return sum(self.clock.slept) - before


def test_without_a_limit_there_is_no_pause() -> None:
    paced = Paced()
    assert [paced.turn(0.1) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_work_counts_towards_the_time_of_a_frame() -> None:
    paced = Paced(max_fps=2)
    paced.turn(0.2)
    assert paced.turn(0.7) == pytest.approx(0.3)
    assert paced.turn() == 0.0


def test_a_run_that_is_to_stop_pauses_no_more() -> None:
    paced = Paced(max_fps=0.01)
    paced.turn()
    paced.hub.stop.set()
    assert paced.turn() == 0.0


def test_a_hot_board_is_told_once_and_rests_as_long_as_it_works() -> None:
    paced = Paced(vitals=[COOL, HOT, HOT, COOL])
    paced.turn(VITALS_EVERY_S)
    paced.turn(VITALS_EVERY_S)
    assert paced.turn(VITALS_EVERY_S) == pytest.approx(VITALS_EVERY_S)
    assert paced.turn(VITALS_EVERY_S) == pytest.approx(VITALS_EVERY_S)
    assert paced.turn() == 0.0
    assert paced.told == [THROTTLED, COOL_AGAIN]


def test_the_board_is_looked_at_every_few_seconds() -> None:
    paced = Paced(vitals=[HOT, COOL])
    paced.turn()
    paced.turn(VITALS_EVERY_S / 2)
    assert paced.told == [THROTTLED]
    paced.turn(VITALS_EVERY_S / 2)
    assert paced.told == [THROTTLED, COOL_AGAIN]


def test_a_machine_that_tells_nothing_of_itself_has_vitals_without_values(tmp_path: Path) -> None:
    found = vitals_of(Board(tmp_path))
    assert (found.temperature_c, found.is_throttled) == (None, None)
