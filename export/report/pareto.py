"""The picture of a choice: how right each file is against how long it takes, and the frontier of those worth having.

In:  variants, or any points with milliseconds, top-1 in 0..1 and bytes.
Out: a PNG file, written whole or not at all.

On the frontier are the files that no other one beats in both: nothing that is as fast is more often right.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from edge.evaluation.accuracy import Scores
from export.variants.variant import Variant
from training.report.plots import DPI, MARK, PAGE_WIDTH_IN, drawing, in_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

POINTS_AN_INCH = 72
INTEGER, FLOAT = "full integer", "float inside"
# Colours that colour-blind readers tell apart, and a shape each, for print in grey.
STYLES = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v"))
LEAST_AREA, MOST_AREA, RING_AREA = 24, 320, 150  # square points; the ring lies around its mark
TICKS = (1, 1.5, 2, 3, 4, 5, 7)
GAP_PT, FAR_PT = 2.0, (0.0, 7.0, 16.0, 26.0, 38.0, 52.0, 68.0, 86.0)  # from a mark to its name
SIDES = (
    (1, 0), (-1, 0), (-0.7, 0.7), (0.7, -0.7), (0, 1), (0, -1), (0.7, 0.7), (-0.7, -0.7), (0.9, -0.4), (-0.9, 0.4),
    (0.4, -0.9), (-0.4, 0.9),
)  # fmt: skip

Box = NDArray[np.float64]  # (4,) pixels: left, bottom, right, top
Boxes = NDArray[np.float64]  # (n, 4)


@dataclass(frozen=True)
class Point:
    """One file in the picture."""

    name: str
    ms: float
    top1: float
    low: float  # of its interval
    high: float
    bytes: int
    series: str = ""  # files of one series look alike
    is_chosen: bool = False


def plot_pareto(variants: Sequence[Variant], path: Path) -> None:
    """Top-1 over milliseconds with one thread: that of test photos where all were tested, else of validation photos."""
    is_tested = all(v.test for v in variants)
    photos = "test" if is_tested else "validation"
    points = [_point(v, v.test if is_tested and v.test else v.validation) for v in variants]
    plot_points(points, path, y_label=f"top-1 on {photos} photos (95% interval)")


def frontier(points: Sequence[Point]) -> list[Point]:
    """Those that no other one equals or beats both in time and in top-1, the fastest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.ms, -p.top1)):
        if not best or point.top1 > best[-1].top1:
            best.append(point)
    return best


def plot_points(
    points: Sequence[Point],
    path: Path,
    *,
    x_label: str = "milliseconds a picture, one thread, median (logarithmic)",
    y_label: str = "top-1 (95% interval)",
) -> None:
    """Draw at least one point, the frontier through them, and a name at each."""
    if not points:
        raise ValueError("no points; expected at least one")
    with drawing(path, PAGE_WIDTH_IN, 5.2) as figure:
        axes = figure.add_subplot()
        _draw_marks(axes, points)
        _draw_frontier(axes, frontier(points))
        _scale(axes, points)
        axes.set(xlabel=x_label, ylabel=y_label)
        figure.legend(loc="outside lower center", ncols=3, fontsize=9, columnspacing=1.2)
        figure.draw_without_rendering()  # only then is it known where in the picture a mark is
        _draw_names(axes, points)


def _point(v: Variant, scores: Scores) -> Point:
    series = INTEGER if v.is_integer else FLOAT
    return Point(v.name, v.p50_ms, scores.top1, scores.low, scores.high, v.bytes, series, v.is_chosen)


def _area(point: Point, points: Sequence[Point]) -> float:
    return LEAST_AREA + (MOST_AREA - LEAST_AREA) * point.bytes / max(p.bytes for p in points)


def _draw_marks(axes: Axes, points: Sequence[Point]) -> None:
    largest = max(p.bytes for p in points)
    for number, series in enumerate(dict.fromkeys(p.series for p in points)):
        colour, marker = STYLES[number % len(STYLES)]
        members = [p for p in points if p.series == series]
        ms, top1 = [p.ms for p in members], [p.top1 for p in members]
        spread = [[p.top1 - p.low for p in members], [p.high - p.top1 for p in members]]
        axes.errorbar(ms, top1, yerr=spread, fmt="none", ecolor=colour, alpha=0.25, linewidth=1.2)
        areas = [_area(p, points) for p in members]
        axes.scatter(ms, top1, s=areas, color=colour, marker=marker, alpha=0.75, label=series or None)
    for p in points:
        if p.is_chosen:
            ring: dict[str, Any] = {"facecolors": "none", "edgecolors": MARK, "linewidths": 1.6}
            axes.scatter(p.ms, p.top1, s=_area(p, points) + RING_AREA, marker="o", label="written", **ring)
    axes.scatter([], [], s=0, label=f"area: bytes, at most {largest / 1e6:.3g} MB")


def _draw_frontier(axes: Axes, best: Sequence[Point]) -> None:
    ms, top1 = [p.ms for p in best], [p.top1 for p in best]
    axes.plot(ms, top1, "--", drawstyle="steps-post", color=MARK, linewidth=1.0, zorder=1, label="frontier")


def _scale(axes: Axes, points: Sequence[Point]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=TICKS))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(min(p.ms for p in points) / 1.25, max(p.ms for p in points) * 1.35)
    in_percent(axes.yaxis)


def _draw_names(axes: Axes, points: Sequence[Point]) -> None:
    """A name beside each mark, where it covers no mark, no other name and no line, if there is such a place."""
    taken = [*(_mark_box(axes, p, points) for p in points), *_steps(axes, frontier(points))]
    for point in sorted(points, key=lambda p: (not p.is_chosen, p.ms)):
        taken.append(_place(axes, point, _radius(point, points) + GAP_PT, np.array(taken)))


def _place(axes: Axes, point: Point, nearest_pt: float, taken: Boxes) -> Box:
    """Write the name in the best place near its mark, `nearest_pt` from the middle or further; returns its box."""
    name = _written(axes, point)
    extent, frame = name.get_window_extent(), axes.get_window_extent().extents
    x, y = axes.transData.transform((point.ms, point.top1))
    offsets = [(right * d, up * d) for far in FAR_PT for d in [nearest_pt + far] for right, up in SIDES]
    boxes = np.array([_box_at((x, y), offset, (extent.width + 2, extent.height + 2)) for offset in offsets])
    is_outside = (boxes[:, :2] < frame[:2]).any(axis=1) | (boxes[:, 2:] > frame[2:]).any(axis=1)
    covered = np.array([_count_overlaps(box, taken) for box in boxes])
    best = int((covered + len(taken) * is_outside).argmin())  # the nearest of the best: argmin gives the first
    _move(name, offsets[best])
    if best >= len(SIDES):
        _tie(axes, point, offsets[best])
    return cast("Box", boxes[best])


def _written(axes: Axes, point: Point) -> Annotation:
    from matplotlib.patheffects import withStroke

    weight = "bold" if point.is_chosen else "normal"
    name = axes.annotate(
        point.name, (point.ms, point.top1), (0, 0), textcoords="offset points", fontsize=9, fontweight=weight
    )
    name.set_path_effects([withStroke(linewidth=2, foreground="white")])
    name.set_in_layout(False)  # the places are free in the layout as it is
    return name


def _move(name: Annotation, offset_pt: tuple[float, float]) -> None:
    x, y = offset_pt
    name.xyann = offset_pt
    name.set_horizontalalignment("left" if x > 0 else "right" if x < 0 else "center")
    name.set_verticalalignment("bottom" if y > 0 else "top" if y < 0 else "center")


def _box_at(mark_px: tuple[float, float], offset_pt: tuple[float, float], extent_px: tuple[float, float]) -> Box:
    """What a name covers, in pixels, when it stands so far away from its mark."""
    middle = [
        mark + offset * DPI / POINTS_AN_INCH + np.sign(offset) * extent / 2
        for mark, offset, extent in zip(mark_px, offset_pt, extent_px, strict=True)
    ]
    half = np.array(extent_px) / 2
    return np.concatenate([middle - half, middle + half])


def _count_overlaps(box: Box, taken: Boxes) -> int:
    return int(((box[:2] < taken[:, 2:]) & (box[2:] > taken[:, :2])).all(axis=1).sum())


def _tie(axes: Axes, point: Point, offset: tuple[float, float]) -> None:
    """A thin line from the mark to its name."""
    line = {"arrowstyle": "-", "color": "#888888", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (point.ms, point.top1), offset, textcoords="offset points", arrowprops=line).set_in_layout(False)


def _mark_box(axes: Axes, point: Point, points: Sequence[Point]) -> Box:
    """What a mark covers, in pixels."""
    middle = axes.transData.transform((point.ms, point.top1))
    half = _radius(point, points) * DPI / POINTS_AN_INCH
    return np.concatenate([middle - half, middle + half])


def _radius(point: Point, points: Sequence[Point]) -> float:
    """Of a mark and the ring around it, in points."""
    return float((_area(point, points) + RING_AREA * point.is_chosen) ** 0.5 / 2)


def _steps(axes: Axes, best: Sequence[Point]) -> list[Box]:
    """What the frontier covers, in pixels: to the right of each file, then up to the next."""
    corners = [axes.transData.transform((p.ms, p.top1)) for p in best]
    return [
        np.array(box)
        for (x, y), (next_x, next_y) in itertools.pairwise(corners)
        for box in ((x, y - 1, next_x, y + 1), (next_x - 1, y, next_x + 1, next_y))
    ]
