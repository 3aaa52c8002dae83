"""What surrounds a rendered flower: out-of-focus backdrops, grass, light and lens.

In:  a random generator, sizes in pixels as (width, height).
Out: backdrops as BGR float32 (H, W, 3) 0..255, and `develop`, which turns such a picture into BGR uint8.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge.picture.geometry import Picture
from training.garden.facets import Facets, Floats, Plane, Sun, bezier, join, ribbon
from training.garden.petals import bgr, outline, pick

SCENES = (  # sky or far edge, middle, ground
    ("b9d3e8", "8fb26a", "3f6b2c"),
    ("1d2b1a", "2c4424", "16220f"),
    ("a9cf6a", "7fae3f", "4e7f2a"),
    ("8a6a4a", "6b5238", "4a3826"),
    ("5b93d6", "8ab4e3", "c6d8e6"),
    ("c9a060", "8f7a3c", "4e4a24"),
    ("b5b2aa", "989489", "6f6c64"),
    ("d8a083", "86696e", "2f3440"),
    ("3f6a35", "5a8a45", "2a4a22"),
    ("2a3a4a", "33523a", "20301c"),
)
FAR_FLOWERS = ("f7f6f0", "f7c21c", "d01c2a", "f2a0b8", "8e3a8c", "f07a1c", "f2a105", "d9c8ec")
GRASSES = ("5d8a35", "3f6b2a", "7fa04a", "2f5226", "94a85c", "6f7a3a")


@dataclass(frozen=True)
class Weather:
    """Light and lens of one picture."""

    sun: Sun
    gains: Floats  # (3,) BGR, the colour of the light
    exposure: float
    contrast: float
    vignette: float  # how much darker the corners are, 0..1
    glare: float  # strength of stray light, 0..1
    glare_xy: tuple[float, float]  # where it comes from, in picture widths and heights
    softness: float  # blur, sigma as a share of the short side
    noise: float  # sigma, grey levels


def draw_weather(rng: np.random.Generator) -> Weather:
    """Anything from a dull morning to a low sun."""
    across, up, towards = rng.uniform(-0.8, 0.8), rng.uniform(0.2, 0.9), rng.uniform(0.35, 0.9)
    direction = np.array([across, up, towards])
    warmth = float(np.clip(rng.normal(0, 0.05), -0.08, 0.12))
    return Weather(
        sun=Sun(direction / np.linalg.norm(direction), rng.uniform(0.5, 0.8)),
        gains=np.array([1 - warmth, 1 + rng.normal(0, 0.015), 1 + warmth]),
        exposure=rng.uniform(0.8, 1.22),
        contrast=rng.uniform(0.85, 1.15),
        vignette=rng.uniform(0.0, 0.35),
        glare=rng.uniform(0.15, 0.45) if rng.random() < 0.2 else 0.0,
        glare_xy=(rng.uniform(0, 1), rng.uniform(-0.1, 0.3)),
        softness=rng.uniform(0.0, 0.005),
        noise=rng.uniform(0.5, 4.0),
    )


def backdrop(rng: np.random.Generator, size_wh: tuple[int, int]) -> Plane:
    """A scene so far out of focus that only its colours are left."""
    width, height = size_wh[0] // 2 + 1, size_wh[1] // 2 + 1  # half size: nothing in it is sharp
    plane: Plane = _gradient(rng, width, height)
    plane += _clouds(rng, width, height, cells=4, strength=26) + _clouds(rng, width, height, cells=9, strength=14)
    for _ in range(int(rng.integers(4, 22))):
        _blade(rng, plane)
    for _ in range(int(rng.integers(0, 9)) if rng.random() < 0.6 else 0):
        _far_flower(rng, plane)
    sigma = rng.uniform(0.012, 0.05) * min(width, height) + 0.6
    plane = cv2.GaussianBlur(plane, (0, 0), sigma).astype(np.float32)
    if rng.random() < 0.45:
        _bokeh(rng, plane)
    return np.asarray(cv2.resize(plane, size_wh, interpolation=cv2.INTER_LINEAR), np.float32)


def _gradient(rng: np.random.Generator, width: int, height: int) -> Plane:
    colours = np.stack([np.clip(bgr(code) + rng.normal(0, 9, 3), 0, 255) for code in SCENES[rng.integers(len(SCENES))]])
    colours *= rng.uniform(0.7, 1.15)
    rows = np.linspace(0.0, 1.0, height)
    stops = [0.0, rng.uniform(0.3, 0.7), 1.0]
    column = np.stack([np.interp(rows, stops, colours[:, channel]) for channel in range(3)], axis=-1)
    return np.asarray(np.broadcast_to(column[:, None], (height, width, 3)), np.float32).copy()


def _clouds(rng: np.random.Generator, width: int, height: int, cells: int, strength: float) -> Plane:
    """Smooth patches of light and shade, the same in all channels but for a little colour."""
    across = max(2, round(cells * width / height))
    seeds = rng.normal(0, strength, (cells, across, 1)) + rng.normal(0, strength * 0.25, (cells, across, 3))
    return np.asarray(cv2.resize(seeds.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _blade(rng: np.random.Generator, plane: Plane) -> None:
    height, width = plane.shape[:2]
    foot = (int(rng.uniform(-0.1, 1.1) * width), int(height * rng.uniform(0.8, 1.2)))
    tip = (int(foot[0] + rng.normal(0, 0.3) * height), int(height * rng.uniform(-0.1, 0.8)))
    colour = pick(rng, *GRASSES, spread=12) * rng.uniform(0.5, 1.15)
    cv2.line(plane, foot, tip, colour.tolist(), max(1, int(rng.uniform(0.01, 0.07) * height)), cv2.LINE_AA)


def _far_flower(rng: np.random.Generator, plane: Plane) -> None:
    height, width = plane.shape[:2]
    size = rng.uniform(0.03, 0.12) * height
    centre = (int(rng.uniform(0, 1) * width), int(rng.uniform(0, 1) * height))
    axes = (max(1, int(size)), max(1, int(size * rng.uniform(0.5, 1))))
    cv2.ellipse(
        plane, centre, axes, rng.uniform(0, 180), 0, 360, pick(rng, *FAR_FLOWERS, spread=12).tolist(), -1, cv2.LINE_AA
    )


def _bokeh(rng: np.random.Generator, plane: Plane) -> None:
    """Discs of light, as a wide lens makes of the gaps between leaves."""
    height, width = plane.shape[:2]
    light = np.zeros(plane.shape, np.float32)
    for _ in range(int(rng.integers(4, 18))):
        centre = (int(rng.uniform(0, 1) * width), int(rng.uniform(0, 1) * height))
        disc = np.zeros((height, width), np.float32)
        cv2.circle(disc, centre, int(rng.uniform(0.02, 0.08) * height) + 1, rng.uniform(20, 75), -1, cv2.LINE_AA)
        light += disc[..., None] * (pick(rng, "fff6d8", "e8ffd0", "ffffff", spread=5) / 255).astype(np.float32)
    plane += cv2.GaussianBlur(light, (0, 0), 0.8)


def grass(
    rng: np.random.Generator, count: int, x_range: tuple[float, float], half_width: tuple[float, float]
) -> Facets:
    """Blades that rise from below the picture; x in short sides from the centre, y = -0.5 is its lower edge."""
    return join([_grass_blade(rng, rng.uniform(*x_range), rng.uniform(*half_width)) for _ in range(count)])


def _grass_blade(rng: np.random.Generator, x: float, half_width: float) -> Facets:
    steps = 10
    bend = rng.normal(0, 0.18)
    tip = np.array([x + 2.2 * bend, rng.uniform(-0.2, 0.55), 0.0])
    spine = bezier(np.array([x, -0.9, 0.0]), np.array([x + 0.3 * bend, tip[1] * 0.5 - 0.2, 0.0]), tip, steps)
    widths = half_width * outline(np.linspace(0.15, 1.0, steps + 1), 0.3, 0.7) + 0.001
    shade = rng.uniform(0.7, 1.1) * np.linspace(0.7, 1.1, steps)[:, None] * np.array([0.85, 1.1, 0.9])
    return ribbon(spine, widths, shade[..., None] * pick(rng, *GRASSES, spread=10), tier=0, fold=0.4)


def develop(picture: Plane, weather: Weather, rng: np.random.Generator) -> Picture:
    """Light, lens and sensor: BGR float32 (H, W, 3) to uint8."""
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.linspace(0, 1, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32))
    if weather.softness > 0:
        picture = cv2.GaussianBlur(picture, (0, 0), weather.softness * min(width, height) + 1e-3).astype(np.float32)
    shade = 1 - weather.vignette * ((x - 0.5) ** 2 + (y - 0.5) ** 2) * 2
    gains = (weather.gains * weather.exposure).astype(np.float32)
    exposed = (picture * shade[..., None] * gains - 110) * np.float32(weather.contrast) + 110
    distance = np.hypot(x - weather.glare_xy[0], y - weather.glare_xy[1])
    exposed += (200 * weather.glare * np.exp(-3 * distance))[..., None]
    exposed += rng.standard_normal(exposed.shape, np.float32) * np.float32(weather.noise)
    return np.asarray(np.clip(np.rint(exposed), 0, 255), np.uint8)
