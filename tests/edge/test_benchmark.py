"""Timing: rounds interleave the models, the warm-up does not count."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from edge.benchmark import WARM_UP, time_invokes
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
