"""Shapes that are timed: the aimed speed holds however wrong the table is, and what cannot be reached is not hidden."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.network.outline import KINDS, Outline
from export.slimming.latency import LatencyTable
from export.slimming.ranking import Ranking
from export.slimming.shaping import ROUNDS, WITHIN, Judged, Settled, settle
from export.slimming.widths import Limits, Shape, fit_widths, narrowest
from tests.export import colours

SIZE, WHOLE_SIZE = 64, 96


@pytest.fixture(scope="module")
def outline() -> Outline:
    return Outline.of(colours.stages(WHOLE_SIZE))


@pytest.fixture(scope="module")
def rankings(outline: Outline) -> tuple[Ranking, ...]:
    """Made up, with harms as different as those of real groups."""
    draws, found = np.random.default_rng(1), []
    for group, channels in outline.channels.items():
        if group and group != "evidence":
            nothing, harm = np.zeros(channels), float(draws.uniform(0.2, 3.0))
            lost = (1.0 - np.arange(channels + 1) / channels) ** 2
            found.append(Ranking(group, "", np.arange(channels), lost, nothing, np.diag(nothing), harm=harm * lost))
    return tuple(found)


class Device:
    """A machine whose layers of each kind take so many times as long as its table says."""

    def __init__(self, outline: Outline, table: LatencyTable, slowness: dict[str, float]) -> None:
        self._outline, self._table, self._slowness = outline, table, slowness
        self.timings = 0

    def ms(self, widths: dict[str, int], size: int) -> float:
        layers = self._outline.layers(widths, size)
        return float(self._table.predict_each(layers) @ np.array([self._slowness[layer.kind] for layer in layers]))

    def speed(self, shape: Shape) -> float:
        self.timings += 1
        return self.ms({}, WHOLE_SIZE) / self.ms(shape.widths, shape.size)


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    return LatencyTable.of_this_machine_kind("x86_64")


@pytest.fixture(scope="module")
def whole_ms(outline: Outline, table: LatencyTable) -> float:
    return table.predict(outline.layers({}, WHOLE_SIZE))


@pytest.fixture
def fitted(outline: Outline, rankings: tuple[Ranking, ...], table: LatencyTable) -> Callable[[float], Shape]:
    """The widest shape that takes so long by the table."""
    least = narrowest(outline, rankings, SIZE, table)
    return lambda ms: fit_widths(outline, rankings, SIZE, table, Limits(max(ms, least.ms), np.inf))


def errors() -> list[Any]:
    """How long layers of each kind take for what the table says: all that differ by 40 % up and down."""
    draws = np.random.default_rng(3)
    mixed = [dict(zip(KINDS, draws.uniform(0.6, 1.4, len(KINDS)), strict=True)) for _ in range(2)]
    ends = [
        {"stem": 1.4, "pointwise": 0.6, "depthwise": 1.4, "add": 0.6},
        {"stem": 0.6, "pointwise": 1.4, "depthwise": 0.6, "add": 1.4},
    ]
    return [dict.fromkeys(KINDS, 1.0), *ends, *mixed]


@pytest.mark.parametrize("speed", [2.5, 4.0])
@pytest.mark.parametrize("slowness", errors(), ids=["right", "stem and depthwise", "pointwise", "mixed", "otherwise"])
def test_the_aimed_speed_holds_however_wrong_the_table_is(
    slowness: dict[str, float], speed: float, fitted: Any, outline: Outline, table: LatencyTable, whole_ms: float
) -> None:
    device = Device(outline, table, slowness)
    shape, found = settle(fitted, device.speed, whole_ms, speed)
    assert speed <= found <= WITHIN * speed
    assert found == device.speed(shape)
    assert device.timings <= ROUNDS


def steps(*speeds: float) -> Callable[[float], Shape]:
    """Shapes that the table takes to be so many times as fast as a network of 1 ms, and none between."""

    def fitted(ms: float) -> Shape:
        found = min((speed for speed in speeds if speed >= 1 / ms), default=max(speeds))
        return Shape(SIZE, {"a": round(1000 / found)}, 1 / found, 1e4, 0.0)

    return fitted


def half(shape: Shape) -> float:
    """A machine on which all speeds are half of the table's."""
    return 0.5 / shape.ms


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        pytest.param((2.0, 4.0, 6.0, 8.2, 16.0), 4.1, id="one that is just right"),
        pytest.param((2.0, 4.0, 6.0, 10.0, 16.0), 5.0, id="widths in coarse steps: the slowest that is fast enough"),
        pytest.param((2.0, 4.0, 6.0), 3.0, id="none that is fast enough: the fastest"),
    ],
)
def test_what_is_nearest_to_the_aim_is_taken(there: tuple[float, ...], expected: float) -> None:
    shape, found = settle(steps(*there), half, 1.0, 4.0)
    assert found == pytest.approx(expected) == pytest.approx(half(shape))


def test_no_shape_is_timed_twice() -> None:
    asked: list[int] = []

    def timed(shape: Shape) -> float:
        asked.append(shape.widths["a"])
        return half(shape)

    settle(steps(2.0, 5.0, 6.0), timed, 1.0, 4.0)
    assert len(asked) == len(set(asked)) == 2


def test_any_speed_is_timed_once_for_the_table() -> None:
    assert settle(steps(3.0), half, 1.0, 0.0)[1] == pytest.approx(1.5)


def test_each_timing_is_told() -> None:
    told: list[tuple[int, int, str]] = []
    settle(steps(2.0, 6.0, 8.2), half, 1.0, 4.0, lambda *step: told.append(step))
    assert told == [(1, ROUNDS, "3.00 times"), (2, ROUNDS, "4.10 times"), (ROUNDS, ROUNDS, "")]


SETTLED = Settled(Shape(SIZE, {"a": 16, "b": 24}, 0.5, 9e4, 0.25), 3.9, 4.05, (Judged(3.97, 992.1, 3.4),))


@pytest.mark.parametrize("settled", [SETTLED, replace(SETTLED, timed=None, judged=())], ids=["refused", "foretold"])
def test_what_is_kept_is_read_as_it_was(settled: Settled, tmp_path: Path) -> None:
    settled.write(tmp_path / "shape.json")
    assert Settled.read(tmp_path / "shape.json") == settled


def test_what_a_later_version_adds_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "shape.json"
    SETTLED.write(path)
    content = json.loads(path.read_text())
    content["new"], content["shape"]["new"], content["judged"][0]["new"] = 1, 2, 3
    path.write_text(json.dumps(content))
    found = Settled.read(path)
    assert (found.others, found.shape.others, found.judged[0].others) == ({"new": 1}, {"new": 2}, {"new": 3})
    assert (found.shape.widths, found.speed) == (SETTLED.shape.widths, SETTLED.speed)
    found.write(path)
    assert json.loads(path.read_text()) == content


@pytest.mark.parametrize(
    ("limits", "holds"),
    [
        pytest.param((3.97, 992.1, 3.4), True, id="just"),
        pytest.param((0.0, 0.0, 3.4), True, id="any speed and size"),
        pytest.param((3.98, 992.1, 3.4), False, id="too slow"),
        pytest.param((3.97, 992.0, 3.4), False, id="too large"),
        pytest.param((3.97, 992.1, 3.3), False, id="too wrong"),
    ],
)
def test_what_was_taught_is_within_limits_or_is_not(limits: tuple[float, float, float], holds: bool) -> None:
    assert SETTLED.judged[0].holds(*limits) is holds


def test_the_speed_that_decides_is_the_timed_one_where_there_is_one() -> None:
    assert (SETTLED.speed, replace(SETTLED, timed=None).speed) == (4.05, 3.9)
