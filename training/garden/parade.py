"""The rendered clip: flowers that pass by the camera one after another, to try the live loop on.

In:  a seed, a size in pixels as (width, height), how many flowers and frames.
Out: an MJPEG .avi, which OpenCV writes and reads with no other library, and the frames in which each flower is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from edge.base.progress import Bar, no_bar
from edge.errors import UsageError
from edge.picture.geometry import Picture
from edge.picture.video import VideoWriter
from training.garden.blossoms import HEADS
from training.garden.facets import Layer, Plane, Sun, laid_over, paint, under
from training.garden.meadow import Weather, backdrop, develop, draw_weather, grass
from training.garden.specimen import Specimen, draw_radius, grow, posed

SUPERSAMPLING = 2
SMALLEST_SIDE = 32  # pixels
FAR_SPEED, MIDDLE_SPEED, NEAR_SPEED = 0.35, 0.7, 1.35  # of backdrop, grass behind and grass in front; flowers: 1
SPACING = 1.05  # between flowers, in picture widths: midway, half a flower is left at either side
SWAYS_PER_S = 0.45
FEWEST_FRAMES = 10  # per flower; with fewer a flower would jump, not drift
IN_VIEW = 0.24  # short sides from the centre within which a flower counts as being shown
OUT_OF_VIEW = 0.75  # spacings from the centre from which on nothing of a flower's head is in the middle of the picture
NOTHING = ""  # in the place of a species


@dataclass(frozen=True)
class ClipScene:
    """Frames of a clip, both ends included, in which one flower is in the middle of the picture, or none is in it."""

    species: str  # NOTHING: no flower
    first_frame: int
    last_frame: int


def render_clip(
    path: Path,
    seed: int,
    size_wh: tuple[int, int] = (320, 240),
    flowers: int = 8,
    frames_per_flower: int = 30,
    fps: int = 15,
    bar: Bar = no_bar,
    *,
    empty: int = 0,
) -> list[ClipScene]:
    """Write an MJPEG .avi past which `flowers` flowers drift, every species among them; returns when each is shown.

    Between two scenes only the backdrop and halves of flowers are seen; at `empty` places, evenly between the flowers,
    nothing but grass grows, and these are scenes too. `bar` gets (done, total) frames. Raises UsageError for impossible
    options, OutputError where the clip cannot be written.
    """
    check_request(seed, size_wh)
    _check_clip(path, flowers, frames_per_flower, fps)
    stops = _stops(flowers, empty)
    parade = _lay_out(seed, size_wh, [number for number, is_flower in enumerate(stops) if is_flower], len(stops))
    positions = [_position(frame, frames_per_flower) for frame in range(len(stops) * frames_per_flower)]
    _write_clip(path, _frames(parade, positions, fps, seed, bar), fps)
    return [_scene(parade, stop, positions) for stop in range(len(stops))]


def _stops(flowers: int, empty: int) -> list[bool]:
    """At which places a flower grows."""
    after = {(number + 1) * flowers // (empty + 1) for number in range(empty)}
    if len(after) < empty or 0 in after:
        raise UsageError(f"{empty} places without flowers; expected fewer than the {flowers} flowers")
    return [is_flower for flower in range(flowers) for is_flower in ([False] * (flower in after) + [True])]


def check_request(seed: int, size_wh: tuple[int, int]) -> None:
    """Raise UsageError for a seed or a size that cannot be rendered."""
    if seed < 0:
        raise UsageError(f"seed {seed}; expected 0 or more")
    if min(size_wh) < SMALLEST_SIDE:
        raise UsageError(f"picture size {size_wh[0]}x{size_wh[1]}; expected at least {SMALLEST_SIDE} pixels a side")


def _check_clip(path: Path, flowers: int, frames_per_flower: int, fps: int) -> None:
    if path.suffix.lower() != ".avi":
        raise UsageError(f"{path}: expected a name that ends in .avi, the one container OpenCV writes on its own")
    if flowers < len(HEADS):
        raise UsageError(f"{flowers} flowers; expected at least {len(HEADS)}, one of each species")
    if frames_per_flower < FEWEST_FRAMES:
        raise UsageError(f"{frames_per_flower} frames per flower; expected at least {FEWEST_FRAMES}")
    if fps < 1:
        raise UsageError(f"{fps} frames per second; expected at least 1")


@dataclass(frozen=True)
class Parade:
    """What passes by: flowers in a row, between strips of scenery that slide at their own speeds."""

    specimens: tuple[Specimen, ...]
    stops: tuple[int, ...]  # the place of each, in spacings
    heights: tuple[float, ...]  # of each head above the middle, short sides
    phases: tuple[float, ...]  # of each flower's sway
    weather: Weather
    far: Plane  # (H, W', 3) BGR
    middle: Plane  # (H, W'', 4) BGR times alpha, alpha
    near: Plane
    size_wh: tuple[int, int]

    @property
    def spacing(self) -> float:
        """Between flowers, in short sides."""
        return SPACING * self.size_wh[0] / min(self.size_wh)

    @property
    def in_view(self) -> float:
        """How far the camera may be from a flower that it shows, in spacings."""
        return IN_VIEW / self.spacing


def _lay_out(seed: int, size_wh: tuple[int, int], stops: list[int], places: int) -> Parade:
    rng, flowers = np.random.default_rng([seed, len(HEADS)]), len(stops)
    weather = draw_weather(rng)
    specimens = tuple(grow(species, draw_radius(rng), rng) for species in _running_order(rng, flowers))
    heights, phases = rng.uniform(-0.06, 0.06, flowers).tolist(), rng.uniform(0, 2 * np.pi, flowers).tolist()
    return Parade(
        specimens=specimens,
        stops=tuple(stops),
        heights=tuple(heights),
        phases=tuple(phases),
        weather=weather,
        far=_panorama(rng, size_wh, places),
        middle=_strip(rng, size_wh, places, MIDDLE_SPEED, 7, 0.015, weather.sun),
        near=_strip(rng, size_wh, places, NEAR_SPEED, 1, 0.012, weather.sun),
        size_wh=size_wh,
    )


def _running_order(rng: np.random.Generator, flowers: int) -> list[str]:
    """Every species once before any comes again; never the same twice running."""
    order: list[str] = []
    while len(order) < flowers:
        turn = [str(species) for species in rng.permutation(list(HEADS))]
        order += turn if order[-1:] != turn[:1] else turn[::-1]
    return order[:flowers]


def _strip_width(size_wh: tuple[int, int], places: int, speed: float) -> int:
    return size_wh[0] + int(np.ceil(places * SPACING * size_wh[0] * speed)) + 1


def _panorama(rng: np.random.Generator, size_wh: tuple[int, int], places: int) -> Plane:
    """Backdrops side by side, each fading into the next."""
    width, height = size_wh
    total = _strip_width(size_wh, places, FAR_SPEED)
    scenes = [backdrop(rng, (2 * width, height)) for _ in range(total // width + 2)]
    fade = (0.5 - 0.5 * np.cos(np.linspace(0, np.pi, width))).astype(np.float32)[None, :, None]
    blended = [left[:, width:] * (1 - fade) + right[:, :width] * fade for left, right in pairwise(scenes)]
    return np.concatenate(blended, axis=1)


def _strip(
    rng: np.random.Generator, size_wh: tuple[int, int], places: int, speed: float, blades: int, blur: float, sun: Sun
) -> Plane:
    """Blurred grass, about `blades` a picture width, as wide as the parade is long."""
    width, height = size_wh
    short = min(size_wh)
    total = _strip_width(size_wh, places, speed)
    canvas = np.zeros((height, total, 4), np.uint8)
    facets = grass(rng, blades * total // width + 1, (0, total / short), (0.008, 0.035))
    paint(canvas, facets, short, (0.0, height / 2), sun)
    return np.asarray(cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), blur * short), np.float32)


def _position(frame: int, frames_per_flower: int) -> float:
    """Where the camera is, in spacings: flower 0 is at 0. It lingers at flowers and hurries between them."""
    flower, step = divmod(frame, frames_per_flower)
    share = 2 * (step + 0.5) / frames_per_flower - 1
    return flower + 0.5 * (0.2 * share + 0.8 * share**5)


def _frames(parade: Parade, positions: list[float], fps: int, seed: int, bar: Bar) -> Iterator[Picture]:
    rng = np.random.default_rng([seed, len(HEADS) + 1])
    for number, position in enumerate(positions):
        yield develop(_scenery(parade, position, number / fps), parade.weather, rng)
        bar(number + 1, len(positions))


def _scenery(parade: Parade, position: float, time_s: float) -> Plane:
    picture = _slid(parade.far, parade, position, FAR_SPEED)
    picture = under(picture, _slid(parade.middle, parade, position, MIDDLE_SPEED))
    for index, specimen in enumerate(parade.specimens):
        away = parade.stops[index] - position
        if abs(away) < 1.0:
            sway = 0.07 * np.sin(2 * np.pi * SWAYS_PER_S * time_s + parade.phases[index])
            at_xy = (away * parade.spacing, parade.heights[index])
            picture = laid_over(picture, Layer(posed(specimen, sway), at_xy), parade.weather.sun, SUPERSAMPLING)
    return under(picture, _slid(parade.near, parade, position, NEAR_SPEED))


def _slid(strip: Plane, parade: Parade, position: float, speed: float) -> Plane:
    width = parade.size_wh[0]
    left = round((position + 0.5) * SPACING * width * speed)
    return strip[:, left : left + width]


def _scene(parade: Parade, stop: int, positions: list[float]) -> ClipScene:
    """That of the flower at a place, or of the place where none grows."""
    species = {at: specimen.species for at, specimen in zip(parade.stops, parade.specimens, strict=True)}
    within = parade.in_view if stop in species else 1 - OUT_OF_VIEW
    shown = [frame for frame, position in enumerate(positions) if abs(position - stop) <= within]
    return ClipScene(species.get(stop, NOTHING), shown[0], shown[-1])


def _write_clip(path: Path, frames: Iterator[Picture], fps: int) -> None:
    clip = VideoWriter(path, fps)
    try:
        for frame in frames:
            clip.add(frame)
    except BaseException:
        clip.discard()
        raise
    clip.close()
