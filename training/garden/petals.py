"""The parts of a flower's head, as facets: rings of petals, wrapping petals, domes of florets, hairs.

In:  shapes in head radii and radians, colours in BGR 0..255, a random generator for the differences between petals.
Out: Facets about the z axis, which points out of the flower towards the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.garden.facets import Facets, Floats, from_grids, join

GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))  # the angle between successive seeds of a sunflower (Vogel 1979)


@dataclass(frozen=True)
class Petal:
    """One ring of petals or ray florets. Lengths are in head radii, angles in radians."""

    root: float  # distance of the petal's root from the axis
    length: float
    width: float  # half, at the widest
    lift: float  # 0 lies flat, pi / 2 stands up
    curl: float  # by how much the lift changes from root to tip
    tip_power: float  # 0.1 square, 0.4 round, 1 pointed
    root_power: float = 0.5  # 0.2 broad at the root, 1 narrow
    cup: float = 0.3  # how far the sides rise above the middle
    jitter: float = 0.08  # relative spread between petals
    rows: int = 7
    columns: int = 4


@dataclass(frozen=True)
class Paint:
    """Colours along one petal, BGR 0..255."""

    root: Floats
    middle: Floats
    tip: Floats
    edge: float = 0.12  # how much darker the edges are; negative: lighter
    streaks: float = 0.05  # spread of brightness across the petal


def bgr(code: str) -> Floats:
    """BGR (3,) 0..255 of "rrggbb"."""
    return np.array([int(code[at : at + 2], 16) for at in (4, 2, 0)], np.float64)


def pick(rng: np.random.Generator, *codes: str, spread: float = 7.0) -> Floats:
    """One of the colours, a little off."""
    return np.asarray(np.clip(bgr(codes[rng.integers(len(codes))]) + rng.normal(0, spread, 3), 0, 255), np.float64)


def stations(rows: int) -> Floats:
    """Positions (rows + 1,) 0..1 along a petal, closer together towards the tip, where it turns."""
    return np.asarray(1 - (1 - np.linspace(0.0, 1.0, rows + 1)) ** 1.7, np.float64)


def outline(along: Floats, root_power: float, tip_power: float) -> Floats:
    """Relative width of a petal, 0..1, at 0..1 along it."""
    peak = root_power / (root_power + tip_power)
    highest = peak**root_power * (1 - peak) ** tip_power
    return np.asarray(along**root_power * (1 - along) ** tip_power / highest, np.float64)


def tint(paint: Paint, rng: np.random.Generator, pieces: int, rows: int, columns: int) -> Floats:
    """Colours (P, R, C, 3): a gradient from root to tip, streaks along it, darker edges."""
    borders = stations(rows)
    along = (borders[1:] + borders[:-1]) / 2
    stops = np.array([0.0, 0.45, 1.0])
    key = np.stack([paint.root, paint.middle, paint.tip])
    gradient = np.stack([np.interp(along, stops, key[:, channel]) for channel in range(3)], axis=-1)
    across = np.abs((np.arange(columns) + 0.5) / columns * 2 - 1)
    shade = 1 - paint.edge * across**2
    streaks = rng.normal(1.0, paint.streaks, (pieces, 1, columns)) * rng.normal(1.0, paint.streaks, (pieces, 1, 1))
    return np.asarray(gradient[None, :, None] * (shade * streaks)[..., None], np.float64)


def ring(rng: np.random.Generator, petal: Petal, paint: Paint, angles: Floats, tier: int) -> Facets:
    """Petals around the axis at `angles` (P,)."""
    count = len(angles)
    spread = rng.normal(1.0, petal.jitter, (3, count, 1))
    along = stations(petal.rows)
    lift = petal.lift + rng.normal(0, petal.jitter, (count, 1)) + petal.curl * along * spread[2]
    step = petal.length * np.clip(spread[0], 0.6, 1.3) * np.diff(along, prepend=0.0)
    radial = petal.root + np.cumsum(np.cos(lift) * step, axis=1)
    height = np.cumsum(np.sin(lift) * step, axis=1)
    side = np.linspace(-1.0, 1.0, petal.columns + 1)
    half = petal.width * spread[1] * outline(along, petal.root_power, petal.tip_power) + 0.004
    sideways = half[..., None] * side + 0.06 * petal.length * (spread[2] - 1)[..., None] * along[:, None] ** 2
    raised = height[..., None] + petal.cup * half[..., None] * side**2 + np.zeros_like(sideways)
    points = np.stack([np.broadcast_to(radial[..., None], sideways.shape), sideways, raised], axis=-1)
    return from_grids(_spun(points, angles), tint(paint, rng, count, petal.rows, petal.columns), tier)


def _spun(points: Floats, angles: Floats) -> Floats:
    """Each piece (P, ..., 3) turned about the axis by its own angle (P,)."""
    cosine, sine = (wave(angles)[:, None, None] for wave in (np.cos, np.sin))
    x, y = points[..., 0], points[..., 1]
    return np.stack([x * cosine - y * sine, x * sine + y * cosine, points[..., 2]], axis=-1)


def around(rng: np.random.Generator, count: int, unevenness: float = 0.25) -> Floats:
    """`count` angles about evenly round the axis."""
    step = 2 * np.pi / count
    return np.asarray((np.arange(count) + rng.normal(0, unevenness, count)) * step + rng.uniform(0, 6.3), np.float64)


def dome(rng: np.random.Generator, radius: float, height: float, count: int, stops: Floats, tier: int) -> Facets:
    """A disc of `count` small florets in a golden spiral; `stops` (S, 3) are colours from centre to rim."""
    share = np.sqrt((np.arange(count) + 0.5) / count)
    angle = np.arange(count) * GOLDEN_ANGLE
    outward = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    slope = 2 * height / radius * share
    centre = np.concatenate([radius * share[:, None] * outward, height * (1 - share[:, None] ** 2)], axis=1)
    radial = np.concatenate([outward, -slope[:, None]], axis=1)
    aside = np.stack([-outward[:, 1], outward[:, 0], np.zeros(count)], axis=1)
    size = 1.15 * radius / np.sqrt(count)
    corners = np.stack(
        [centre - size * radial, centre + size * aside, centre + size * radial, centre - size * aside], 1
    )
    positions = np.linspace(0.0, 1.0, len(stops))
    colours = np.stack([np.interp(share, positions, stops[:, channel]) for channel in range(3)], axis=1)
    colours *= rng.normal(1.0, 0.13, (count, 1))
    seeds = Facets(corners, colours, np.full(count, tier), np.zeros(count, np.int64))
    return join([_plate(radius, height, stops[-1] * 0.55, tier - 1), seeds])


def _plate(radius: float, height: float, colour: Floats, tier: int) -> Facets:
    """The ground under a dome's florets."""
    share, angle = np.linspace(0.0, 1.04, 4)[:, None], np.linspace(0.0, 2 * np.pi, 25)[None]
    flat = height * (1 - share**2) + 0 * angle
    points = np.stack([radius * share * np.cos(angle), radius * share * np.sin(angle), flat], axis=-1)
    return from_grids(points[None], np.broadcast_to(colour, (1, 3, 24, 3)), tier)


def hairs(starts: Floats, ends: Floats, half_width: float, colour: Floats) -> Facets:
    """Thin straight facets from starts (H, 3) to ends (H, 3)."""
    along = ends - starts
    aside = np.cross(along, [0.2, 0.3, 1.0])
    aside *= half_width / np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
    corners = np.stack([starts - aside, starts + aside, ends + aside, ends - aside], axis=1)
    count = len(corners)
    return Facets(corners, np.tile(colour, (count, 1)), np.ones(count, np.int64), np.arange(count))


@dataclass(frozen=True)
class Shell:
    """A petal that wraps round the axis. Lengths are in head radii, angles in radians."""

    reach: float  # greatest distance from the axis
    bottom: float  # height of the root
    rim: float  # height of the tip
    curl: float  # how far the rim rolls outwards and down
    span: float  # half the angle it covers, at the widest
    swirl: float  # one side lies outside its neighbour, the other inside
    tip_power: float
    root_power: float
    mouth: float  # distance of the tip from the axis, relative to reach
    grid: tuple[int, int] = (9, 10)  # facets along and across


def shell(rng: np.random.Generator, shape: Shell, paint: Paint, angle: float, tier: int) -> Facets:
    """One wrapping petal with its middle at `angle`."""
    rows, columns = shape.grid
    along = stations(rows)[:, None]
    side = np.linspace(-1.0, 1.0, columns + 1)[None]
    belly = 1 - (1 - np.minimum(along / 0.5, 1.0)) ** 2
    closing = np.clip((along - 0.5) / 0.5, 0.0, 1.0) ** 1.5
    radius = shape.reach * belly * (1 + (shape.mouth - 1) * closing)
    radius = radius * (1 + shape.swirl * side + rng.normal(0, 0.03) * side**2) + shape.curl * 0.28 * along**7
    height = (
        shape.bottom + (shape.rim - shape.bottom) * along**1.15 - shape.curl * 0.25 * along**9 - 0.08 * side**2 * along
    )
    bearing = angle + shape.span * outline(along, shape.root_power, shape.tip_power) * side
    points = np.stack([radius * np.cos(bearing), radius * np.sin(bearing), height + 0 * bearing], axis=-1)
    return from_grids(points[None], tint(paint, rng, 1, rows, columns), tier)
