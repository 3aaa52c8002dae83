"""The picture of the choice: what lies on the frontier, where each mark stands, and that names can be read."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.transforms import BboxBase

from export.report import pareto
from export.report.pareto import FLOAT, INTEGER, Point, frontier, plot_pareto, plot_points
from tests.export.variants.test_variant import DENSE, PRUNED, TESTED

FLOAT32 = replace(DENSE, name="float32", is_integer=False, bytes=9_000_000, p50_ms=8.0)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    figures: list[Figure] = []
    save = Figure.savefig

    def record(self: Figure, *args: Any, **kwargs: Any) -> None:
        figures.append(self)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", record)
    return figures


def point(name: str, ms: float, top1: float, **changes: Any) -> Point:
    fields: dict[str, Any] = {"low": top1 - 0.02, "high": top1 + 0.01, "bytes": 1_000_000}
    return Point(name, ms, top1, **(fields | changes))


def crowd(number: int) -> list[Point]:
    """A seeded frontier with neighbours close by, as an export makes them."""
    generator = np.random.default_rng(number)
    ms = np.geomspace(0.4, 8.0, number) * generator.uniform(0.9, 1.1, number)
    top1 = 0.9 + 0.05 * np.linspace(0, 1, number) ** 0.5 + generator.normal(0, 0.003, number)
    return [
        point(f"int8_qat_slim{10 + i}_128", m, t, bytes=int(3e5 * m), is_chosen=i == number // 2)
        for i, (m, t) in enumerate(zip(ms, top1, strict=True))
    ]


def names(figure: Figure) -> dict[str, BboxBase]:
    """Where each name stands, in pixels."""
    return {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts if text.get_text()}


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def marks(figure: Figure, series: str) -> list[tuple[float, float]]:
    found = next(c for c in figure.axes[0].collections if c.get_label() == series)
    return [(float(x), float(y)) for x, y in np.asarray(found.get_offsets())]


@pytest.mark.parametrize(
    ("points", "best"),
    [
        pytest.param([("a", 1, 0.9)], "a", id="one"),
        pytest.param([("a", 1, 0.9), ("b", 2, 0.95)], "ab", id="slower-but-better"),
        pytest.param([("a", 1, 0.9), ("b", 2, 0.85)], "a", id="slower-and-worse"),
        pytest.param([("a", 1, 0.9), ("b", 2, 0.9)], "a", id="slower-and-no-better"),
        pytest.param([("b", 1, 0.9), ("a", 1, 0.95)], "a", id="as-fast-and-better"),
        pytest.param([("c", 4, 0.96), ("a", 1, 0.9), ("x", 3, 0.94), ("b", 2, 0.95)], "abc", id="in-any-order"),
    ],
)
def test_frontier_is_what_nothing_beats_in_both(points: list[tuple[str, float, float]], best: str) -> None:
    assert "".join(p.name for p in frontier([point(*p) for p in points])) == best


def test_marks_stand_at_milliseconds_and_top1(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_pareto([FLOAT32, DENSE, PRUNED], tmp_path / "pareto.png")
    assert marks(drawn[0], INTEGER) == [(3.14, 0.9), (3.15, 0.8)]
    assert marks(drawn[0], FLOAT) == [(8.0, 0.9)]
    assert drawn[0].axes[0].get_ylabel() == "top-1 on validation photos (95% interval)"
    assert drawn[0].axes[0].get_xscale() == "log"


def test_test_photos_are_shown_once_all_were_tested(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_pareto(TESTED, tmp_path / "pareto.png")
    plot_pareto([FLOAT32, *TESTED], tmp_path / "pareto.png")
    assert marks(drawn[0], INTEGER) == [(3.14, 0.9), (3.15, 1.0)]
    assert drawn[0].axes[0].get_ylabel() == "top-1 on test photos (95% interval)"
    assert "validation" in drawn[1].axes[0].get_ylabel()


def test_the_written_one_is_marked_in_the_picture(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_pareto(TESTED, tmp_path / "pareto.png")
    plot_pareto([DENSE], tmp_path / "pareto.png")
    assert marks(drawn[0], "written") == [(3.15, 1.0)]
    assert "written" not in legend(drawn[1])


def test_a_larger_file_has_a_larger_mark_and_the_legend_says_how_large(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_points([point("a", 1, 0.9), point("b", 2, 0.95, bytes=2_500_000)], tmp_path / "pareto.png")
    small, large = next(c.get_sizes() for c in drawn[0].axes[0].collections if isinstance(c, PathCollection))
    assert small < large == pareto.MOST_AREA
    assert "area: bytes, at most 2.5 MB" in legend(drawn[0])


def test_series_differ_in_colour_and_shape() -> None:
    colours, shapes = zip(*pareto.STYLES, strict=True)
    assert len(set(colours)) == len(set(shapes)) == len(pareto.STYLES)


@pytest.mark.parametrize("number", [1, 3, 8, 15])
def test_names_overlap_neither_each_other_nor_the_edge(tmp_path: Path, drawn: list[Figure], number: int) -> None:
    points = crowd(number)
    plot_points(points, tmp_path / "pareto.png")
    found, frame = names(drawn[0]), drawn[0].axes[0].get_window_extent()
    assert set(found) == {p.name for p in points}
    assert not [(a, b) for a, b in itertools.combinations(found, 2) if found[a].overlaps(found[b])]
    assert all(box.x0 >= frame.x0 and box.x1 <= frame.x1 for box in found.values())


def test_points_in_one_place_are_all_named(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_points([point(f"the-same-{i}", 1.0, 0.9) for i in range(20)], tmp_path / "pareto.png")
    assert len(names(drawn[0])) == 20


def test_a_name_is_no_formula(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_points([point("$5_{x}", 1.0, 0.9)], tmp_path / "pareto.png")
    assert "$5_{x}" in names(drawn[0])


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no points"):
        plot_points([], tmp_path / "pareto.png")
