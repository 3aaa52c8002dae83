"""Smoothing in time, and hysteresis."""

from __future__ import annotations

import math

import pytest

from edge.live.smoothing import Smoother
from tests.edge.fakes import probabilities


def test_without_a_time_constant_each_frame_stands_for_itself() -> None:
    smoother = Smoother(0.0, 0.5)
    smoother.update(probabilities(1.0, 0.0), 0.0)
    smoothed, index = smoother.update(probabilities(0.49, 0.51), 0.0)
    assert smoothed.tolist() == probabilities(0.49, 0.51).tolist()
    assert index == 1


def test_a_frame_weighs_by_the_time_that_passed() -> None:
    smoother = Smoother(0.5, 0.1)
    smoother.update(probabilities(1.0, 0.0), 10.0)
    smoothed, _ = smoother.update(probabilities(0.0, 1.0), 10.5)
    assert smoothed.tolist() == pytest.approx([math.exp(-1), 1 - math.exp(-1)])


def test_smoothing_does_not_depend_on_the_frame_rate() -> None:
    ends = []
    for steps in (5, 50):
        smoother = Smoother(0.5, 0.1)
        smoother.update(probabilities(1.0, 0.0), 0.0)
        for step in range(1, steps + 1):
            smoothed, _ = smoother.update(probabilities(0.2, 0.8), step / steps)
        ends.append(smoothed.tolist())
    assert ends[0] == pytest.approx(ends[1], abs=1e-5)


def test_nearly_equal_labels_do_not_alternate() -> None:
    smoother = Smoother(0.1, 0.1)
    held = []
    for step in range(20):
        lead = 0.02 if step % 2 else -0.02
        held.append(smoother.update(probabilities(0.5 + lead, 0.5 - lead), step * 0.1)[1])
    assert set(held) == {1}


def test_a_clear_new_label_takes_over() -> None:
    smoother = Smoother(0.5, 0.1)
    held = [smoother.update(probabilities(1.0, 0.0), 0.0)[1]]
    held += [smoother.update(probabilities(0.0, 1.0), step * 0.1)[1] for step in range(1, 11)]
    assert held == sorted(held)
    assert held[0] == 0
    assert held[-1] == 1


def test_a_gap_in_time_starts_a_new_scene() -> None:
    smoother = Smoother(0.5, 0.1)
    smoother.update(probabilities(1.0, 0.0), 0.0)
    smoothed, index = smoother.update(probabilities(0.45, 0.55), 2.1)
    assert smoothed.tolist() == probabilities(0.45, 0.55).tolist()
    assert index == 1


def test_a_clock_that_steps_back_is_survived() -> None:
    smoother = Smoother(0.5, 0.1)
    smoother.update(probabilities(1.0, 0.0), 5.0)
    smoothed, _ = smoother.update(probabilities(0.0, 1.0), 4.0)
    assert smoothed.tolist() == [1.0, 0.0]


def test_the_average_remains_a_distribution() -> None:
    smoother = Smoother(0.3, 0.1)
    for step in range(100):
        smoothed, _ = smoother.update(probabilities(*((0.2, 0.3, 0.5) if step % 3 else (0.7, 0.1, 0.2))), step * 0.03)
    assert float(smoothed.sum()) == pytest.approx(1.0, abs=1e-5)
