"""Timing: rounds interleave the models, the warm-up does not count."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from edge.benchmark import WARM_UP, noise, ratio, time_frames, time_invokes
from edge.interpreter import Interpreter
from tests.edge import tiny
from tests.edge.fakes import FakeClock


class Model:
    """Takes as many seconds as it is told, of a clock that it moves itself; the warm-up takes longer."""

    size = 8

    def __init__(self, name: str, seconds: float, clock: FakeClock, calls: list[str]) -> None:
        self.name, self.seconds, self.clock, self.calls = name, seconds, clock, calls
        self.pictures: list[Any] = []

    def __call__(self, picture: Any) -> None:
        is_warm = self.calls.count(self.name) >= WARM_UP
        self.clock.now += self.seconds if is_warm else 10 * self.seconds
        self.calls.append(self.name)
        self.pictures.append(picture)


def test_models_take_turns_and_the_warm_up_does_not_count() -> None:
    clock, calls = FakeClock(), list[str]()
    models = {"a": Model("a", 0.001, clock, calls), "b": Model("b", 0.004, clock, calls)}
    times = time_invokes(cast("dict[str, Interpreter]", models), 3, clock)
    assert times["a"] == pytest.approx([1, 1, 1])
    assert times["b"] == pytest.approx([4, 4, 4])
    assert calls == ["a", "b"] * (WARM_UP + 3)


def test_every_round_sees_the_same_picture_of_the_models_size() -> None:
    clock, calls = FakeClock(), list[str]()
    model = Model("a", 0.001, clock, calls)
    time_invokes(cast("dict[str, Interpreter]", {"a": model}), 2, clock)
    first, *others = model.pictures
    assert first.shape == (8, 8, 3)
    assert first.dtype == np.uint8
    assert all((picture == first).all() for picture in others)


def test_a_real_model_is_timed() -> None:
    times = time_invokes({"tiny": Interpreter(tiny.flatbuffer(), "tiny", threads=1)}, 3)
    assert len(times["tiny"]) == 3
    assert min(times["tiny"]) > 0


def test_a_ratio_is_the_median_over_rounds_with_an_interval_around_it() -> None:
    draws = np.random.default_rng(1)
    busy = draws.choice([1.0, 3.0], 200)  # moments that slow both models alike
    found = ratio(4.0 * busy * draws.normal(1, 0.05, 200), 2.0 * busy * draws.normal(1, 0.05, 200))
    assert found.value == pytest.approx(2.0, rel=0.02)
    assert 1.9 < found.low < found.value < found.high < 2.1


def test_frames_are_timed_in_turns_after_a_warm_up(tmp_path: Path) -> None:
    models = [str(tiny.write_model(tmp_path / name)) for name in ("a.tflite", "b.tflite")]
    seen: list[int] = []
    rows = time_frames(models, 1, noise((64, 48)), 4, seen.append)
    assert [(row.model, row.threads) for row in rows] == [(model, 1) for model in models]
    assert seen == [0] * (WARM_UP - 1) + [0, 1, 2, 3, 4]
    for row in rows:
        assert row.total.p50 >= row.invoke.p50 > 0
