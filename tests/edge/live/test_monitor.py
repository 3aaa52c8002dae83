"""The monitor: bounded figures, whatever the length of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.contract.health import Health
from edge.live.monitor import FPS_WINDOW_S, STABILITY_WINDOW_S, Monitor
from tests.edge.fakes import FakeClassifier, FakeClock, FakeSource, decision

ROSES, TULIPS = (0.1, 0.8, 0.1), (0.1, 0.1, 0.8)


def watched(every_s: float, *answers: tuple[float, float, float]) -> tuple[Monitor, FakeClock]:
    clock = FakeClock()
    monitor = Monitor(clock, lambda: 5.0)
    for number, values in enumerate(answers):
        clock.now += every_s
        monitor.add(decision(values, number=number), clock.now)
    return monitor, clock


def health_of(monitor: Monitor) -> Health:
    return monitor.health(FakeClassifier(), FakeSource(FakeClock(), 0), {})


def test_frames_a_second_are_those_of_the_last_seconds() -> None:
    monitor, clock = watched(0.1, *[ROSES] * 200)
    assert health_of(monitor).fps == pytest.approx(10)
    clock.now += FPS_WINDOW_S + 1
    health = health_of(monitor)
    assert health.fps is None
    assert health.picture_age_s == pytest.approx(FPS_WINDOW_S + 1)


def test_stability_looks_back_over_ten_minutes() -> None:
    monitor, clock = watched(30.0, *[ROSES, TULIPS] * 10)
    assert health_of(monitor).changes_per_minute == pytest.approx(19 * 60 / 600)
    clock.now += STABILITY_WINDOW_S + 1
    assert health_of(monitor).changes_per_minute == 0


def test_the_summary_says_for_a_person_what_was_seen() -> None:
    monitor, _ = watched(1.0, *[(0.125, 0.75, 0.125)] * 2)
    monitor.add(decision(threshold=0.9), 0.0)
    summary = monitor.summary(FakeSource(FakeClock(), 0), {}, None)
    assert summary.label_counts == {"roses": 2, "unknown": 1}
    assert "seen: roses 2, nothing known 1;" in summary.lines()[1]


def test_what_it_keeps_is_bounded() -> None:
    monitor, _ = watched(0.001, *[ROSES] * 20_000)
    kept = [value for value in vars(monitor).values() if hasattr(value, "__len__")]
    assert max(len(value) for value in kept) <= 10_000


def test_times_look_back_over_the_last_ten_thousand() -> None:
    clock = FakeClock()
    monitor = Monitor(clock, lambda: 5.0)
    for number in range(10_101):
        monitor.add(replace(decision(), age_ms=1.0 if number <= 100 else 9.0), clock.now)
    health = health_of(monitor)
    assert health.age_ms == (9.0, 9.0, 9.0)


def test_held_answers_are_counted_and_not_timed() -> None:
    clock = FakeClock()
    monitor = Monitor(clock, lambda: 5.0)
    for number in range(4):
        monitor.add(replace(decision(number=number), is_held=number > 1), clock.now)
    health = health_of(monitor)
    assert (health.frames, health.held) == (4, 2)
    assert health.invoke_ms is not None
    assert health.invoke_ms.p50 == 3.0
