"""A garden of rendered flowers, for the demo and for tests that need pictures.

In:  a species, a seed and a size in pixels as (width, height).
Out: BGR uint8 (H, W, 3) pictures, a folder of class folders of them, or an MJPEG .avi in which they pass by.

The same seed gives the same picture, bit for bit, on the same versions of NumPy and OpenCV.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge.base.files import write_atomically
from edge.base.progress import Bar, no_bar
from edge.contract.rejection import UNKNOWN
from edge.errors import UsageError
from edge.picture.geometry import Picture
from training.garden.facets import Layer, laid_over
from training.garden.meadow import backdrop, develop, draw_weather, grass
from training.garden.parade import check_request
from training.garden.specimen import draw_radius, grow, posed

SPECIES = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
SUPERSAMPLING = 3  # painted so many times larger, then averaged: smooth edges
JPEG_QUALITY = 92


def render_flower(species: str, seed: int, size_wh: tuple[int, int] = (160, 160)) -> Picture:
    """One photo of a flower, BGR uint8 (H, W, 3).

    Raises UsageError for an unknown species, a tiny size or a negative seed.
    """
    if species not in SPECIES:
        raise UsageError(f"unknown species {species!r}; expected one of: {', '.join(SPECIES)}")
    check_request(seed, size_wh)
    rng = np.random.default_rng([seed, SPECIES.index(species)])
    weather = draw_weather(rng)
    layers = [*_companions(species, rng), _subject(species, rng), *_foreground(rng)]
    picture = backdrop(rng, size_wh)
    for layer in layers:
        picture = laid_over(picture, layer, weather.sun, 1 if layer.blur else SUPERSAMPLING)
    return develop(picture, weather, rng)


def _subject(species: str, rng: np.random.Generator) -> Layer:
    offset = np.clip(rng.normal(0, 0.06, 2), -0.12, 0.12)
    return Layer(posed(grow(species, draw_radius(rng), rng)), (float(offset[0]), float(offset[1])))


def _companions(species: str, rng: np.random.Generator) -> list[Layer]:
    """Grass behind and, often, more flowers of the kind, smaller and out of focus."""
    layers = []
    if rng.random() < 0.6:
        layers.append(
            Layer(grass(rng, int(rng.integers(3, 12)), (-0.9, 0.9), (0.006, 0.03)), blur=rng.uniform(0.008, 0.03))
        )
    for _ in range(int(rng.choice([0, 1, 2], p=[0.6, 0.25, 0.15]))):
        at_xy = (rng.choice([-1, 1]) * rng.uniform(0.3, 0.6), rng.uniform(-0.35, 0.4))
        layers.append(Layer(posed(grow(species, rng.uniform(0.1, 0.2), rng)), at_xy, blur=rng.uniform(0.006, 0.03)))
    return layers


def _foreground(rng: np.random.Generator) -> list[Layer]:
    """Now and then a blade of grass between lens and flower."""
    if rng.random() > 0.25:
        return []
    x_range = (0.05, 0.5) if rng.random() < 0.5 else (-0.5, -0.05)
    blades = grass(rng, int(rng.integers(1, 4)), x_range, (0.015, 0.045))
    return [Layer(blades, blur=rng.uniform(0.008, 0.02))]


def render_meadow(rng: np.random.Generator, size_wh: tuple[int, int] = (160, 160)) -> Picture:
    """One photo of a garden with nothing in bloom near by, BGR uint8 (H, W, 3)."""
    weather, picture = draw_weather(rng), backdrop(rng, size_wh)
    for _ in range(int(rng.integers(0, 3))):
        blades = grass(rng, int(rng.integers(2, 20)), (-0.9, 0.9), (0.006, 0.04))
        picture = laid_over(picture, Layer(blades, blur=rng.uniform(0.002, 0.03)), weather.sun, 1)
    return develop(picture, weather, rng)


def plant(
    folder: Path,
    per_class: int,
    seed: int,
    size_wh: tuple[int, int] = (160, 128),
    bar: Bar = no_bar,
    *,
    empty: int = 0,
) -> int:
    """Write `per_class` photos of each species to folder/<species>/<species>_0001.jpg ...; returns how many.

    With `empty` also so many without a flower, to folder/unknown. Photos are landscape, portrait or square. `bar` gets
    (done, total). Raises UsageError, OutputError.
    """
    if per_class < 1:
        raise UsageError(f"{per_class} photos per class; expected at least 1")
    check_request(seed, size_wh)
    total = per_class * len(SPECIES) + empty
    for done, (species, number) in enumerate(_labels(per_class, empty), start=1):
        own_seed = seed * 1_000_003 + number
        shape_wh = _aspect(own_seed, size_wh)
        _write_jpeg(folder / species / f"{species}_{number:04d}.jpg", _rendered(species, own_seed, shape_wh))
        bar(done, total)
    return total


def _rendered(species: str, seed: int, size_wh: tuple[int, int]) -> Picture:
    if species == UNKNOWN:
        return render_meadow(np.random.default_rng([seed, len(SPECIES)]), size_wh)
    return render_flower(species, seed, size_wh)


def _labels(per_class: int, empty: int) -> Iterator[tuple[str, int]]:
    yield from ((species, number) for species in SPECIES for number in range(1, per_class + 1))
    yield from ((UNKNOWN, number) for number in range(1, empty + 1))


def _aspect(seed: int, size_wh: tuple[int, int]) -> tuple[int, int]:
    width, height = size_wh
    short = min(size_wh)
    return (size_wh, size_wh, (height, width), (short, short))[int(np.random.default_rng([seed, 7]).integers(4))]


def _write_jpeg(path: Path, picture: Picture) -> None:
    write_atomically(path, cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())
