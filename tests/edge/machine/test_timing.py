"""Timing: rounds interleave the models, the warm-up does not count."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from edge.base.board import Board
from edge.base.intervals import Interval, percentiles
from edge.machine.timing import WARM_UP, Steady, best_of, camera_jpeg, thread_counts, time_frames, time_invokes
from edge.model.interpreter import Interpreter
from edge.picture.geometry import decode
from tests.edge.fakes import FakeClock
from tests.edge.model import tiny


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


def test_frames_are_timed_in_turns_after_a_warm_up(tmp_path: Path) -> None:
    models = [str(tiny.write_model(tmp_path / name)) for name in ("a.tflite", "b.tflite")]
    seen: list[int] = []
    rows = time_frames(models, [1], camera_jpeg((64, 48)), 4, seen.append)
    assert [(row.model, row.threads) for row in rows] == [(model, 1) for model in models]
    assert seen == [0] * (WARM_UP - 1) + [0, 1, 2] + [2] * (WARM_UP - 1) + [2, 3, 4]
    for row in rows:
        assert row.total.p50 >= row.invoke.p50 > 0
        assert min(row.decode.p50, row.geometry.p50, row.rest.p50) > 0


@pytest.mark.parametrize(("rounds", "blocks"), [(3, [1, 2, 2, 1]), (1, [1, 2])], ids=["several", "one round"])
def test_numbers_of_threads_go_up_and_down_again(
    rounds: int, blocks: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    class Recorder:
        def __init__(self, model: str, threads: int) -> None:
            self.threads = threads

        def __call__(self, jpeg: bytes) -> tuple[float, ...]:
            calls.append(self.threads)
            return (9.0, 1.0, 10.0 / self.threads, 0.5)

    monkeypatch.setattr("edge.machine.timing.Pipeline", Recorder)
    rows = time_frames(["a"], [1, 2], b"", rounds)
    assert [threads for threads, _ in groupby(calls)] == [threads for threads, _ in groupby(blocks)]
    assert len(calls) == 2 * rounds + len(blocks) * WARM_UP
    assert [(row.threads, row.decode.p50, row.total.p50) for row in rows] == [(1, 9.0, 11.5), (2, 9.0, 6.5)]


def test_a_board_that_lowers_its_clock_meanwhile_is_told(tmp_path: Path) -> None:
    class Hot(Board):
        answers = iter((True, False))

        def is_throttled(self) -> bool | None:
            return next(self.answers)

    (row,) = time_frames([str(tiny.write_model(tmp_path / "a.tflite"))], [1], camera_jpeg((64, 48)), 2, board=Hot())
    assert row.is_throttled is True


@pytest.mark.parametrize(
    ("cores", "counts"),
    [(1, [1]), (4, [1, 2, 3, 4]), (6, [1, 2, 3, 4, 5, 6]), (24, [1, 2, 3, 4, 5, 6, 7, 8, 16, 24])],
    ids=["one core", "a Pi", "a laptop", "a server"],
)
def test_every_number_of_threads_up_to_the_cores_is_tried(cores: int, counts: list[int]) -> None:
    assert thread_counts(cores) == counts


@pytest.mark.parametrize(
    ("medians", "best"),
    [([4.0, 2.0, 1.9, 2.2], 3), ([4.0, 2.0, 1.95, 2.0], 2), ([1.0, 1.0, 1.0, 1.0], 1)],
    ids=["the fastest", "a smaller number that is as good", "one is enough"],
)
def test_the_best_number_of_threads_is_the_smallest_that_is_as_good(medians: list[float], best: int) -> None:
    rows = [steady("a", 1 + i, ms) for i, ms in enumerate(medians)] + [steady("b", 4, 0.1)]
    assert best_of(rows, "a").threads == best


def steady(model: str, threads: int, total_ms: float) -> Steady:
    one, total = percentiles([1.0]), percentiles([total_ms])
    return Steady(model, threads, one, one, one, one, total, Interval(1.0, 1.0, 1.0), None)


def test_a_frame_is_as_large_as_one_of_a_camera() -> None:
    jpeg = camera_jpeg((640, 480))
    assert decode(jpeg, "frame").shape == (480, 640, 3)
    assert 0.1 < len(jpeg) / (640 * 480) < 0.5  # byte a pixel; noise alone would take about 1
    assert camera_jpeg((640, 480)) == jpeg
