"""Pictures of nothing, made of training photos and of noise: what "none of these" is learned from where there is
nothing better, and beside it.

In:  photo files that are trained on.
Out: FOLDER/<kind>-<number>.jpg, squares of SIDE pixels, the same for the same photos and seed.

Each kind takes away what makes a photo one of its class and leaves something of how it looks: colours without places,
places without a subject, light alone. export/UNKNOWN.md says what each brought.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from edge.base.files import write_atomically
from edge.base.progress import Bar, no_bar
from edge.contract.rejection import UNKNOWN
from edge.picture import geometry
from edge.picture.geometry import Picture
from training.garden.facets import Plane
from training.garden.planting import render_meadow
from training.photos.survey import Found

SIDE = 256  # pixels
JPEG_QUALITY = 92
TILES = (3, 4, 5, 6, 8)  # each way
CORNER = (0.25, 0.4)  # side of a corner, as a share of the photo's short side
BLUR = (18.0, 40.0)  # sigma in pixels: nothing is left but patches of colour

Draw = np.random.Generator


def make_others(folder: Path, photos: Sequence[Path], count: int, seed: int, bar: Bar = no_bar) -> tuple[Found, ...]:
    """Write `count` pictures into `folder`, of every kind as many; they are for training alone.

    Raises PhotoError for a photo that is gone, OutputError for a disk that is full.
    """
    made = []
    for number in range(count):
        draw = np.random.default_rng([seed, number])
        name, kind = list(KINDS.items())[number % len(KINDS)]
        photo = geometry.read_photo(photos[int(draw.integers(len(photos)))])
        picture = cv2.resize(kind(draw, photo), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
        path = folder / f"{name}-{number:05d}.jpg"
        write_atomically(path, data)
        sha256 = hashlib.sha256(data).hexdigest()
        made.append(Found(path.name, sha256, UNKNOWN, SIDE, SIDE, is_train_only=True, root=folder.name))
        bar(number + 1, count)
    return tuple(made)


def shuffled(draw: Draw, photo: Picture) -> Picture:
    """Tiles of the photo in another order, turned."""
    number = int(draw.choice(TILES))
    side = SIDE // number
    square = np.asarray(geometry.model_input(photo, side * number)[..., ::-1])
    tiles = [
        square[row * side : (row + 1) * side, column * side : (column + 1) * side]
        for row in range(number)
        for column in range(number)
    ]
    turned = [np.rot90(tiles[i], int(draw.integers(4))) for i in draw.permutation(len(tiles))]
    rows = [np.concatenate(turned[i : i + number], axis=1) for i in range(0, len(turned), number)]
    return np.ascontiguousarray(np.concatenate(rows))


def corner(draw: Draw, photo: Picture) -> Picture:
    """The corner that is least like the middle in its colours: it is the likeliest to be without the subject."""
    height, width = photo.shape[:2]
    side = max(8, int(min(height, width) * draw.uniform(*CORNER)))
    top, left = (height - side) // 2, (width - side) // 2
    middle = _colours(photo[top : top + side, left : left + side])
    corners = [photo[y : y + side, x : x + side] for y in (0, height - side) for x in (0, width - side)]
    return max(corners, key=lambda one: float(np.abs(_colours(one) - middle).sum()))


def _colours(picture: Picture) -> Plane:
    histogram = cv2.calcHist([np.ascontiguousarray(picture)], [0, 1, 2], None, [4, 4, 4], [0, 256] * 3)
    return np.asarray(histogram / max(1.0, float(histogram.sum())), np.float32)


def blurred(draw: Draw, photo: Picture) -> Picture:
    """Patches of the photo's colours."""
    square = np.ascontiguousarray(geometry.model_input(photo, SIDE)[..., ::-1])
    return np.asarray(cv2.GaussianBlur(square, (0, 0), float(draw.uniform(*BLUR))), np.uint8)


def dull(draw: Draw, photo: Picture) -> Picture:
    """A wall, a hand before the lens, the dark: one colour with a shade across it, and the sensor's noise."""
    colour = draw.uniform(0, 255, 3) if draw.random() < 0.5 else np.full(3, draw.uniform(0, 40))
    cells = tuple(draw.integers(2, 6, 2))
    coarse = draw.normal(0, draw.uniform(2, 40), cells).astype(np.float32)
    shade = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)[..., None]
    noise = draw.normal(0, draw.uniform(0, 25), (SIDE, SIDE, 3))
    return np.asarray(np.clip(colour + shade + noise, 0, 255), np.uint8)


def shapes(draw: Draw, photo: Picture) -> Picture:
    """Plain and striped shapes that lie over one another, as things do, of many sizes and any colour."""
    canvas: Plane = np.full((SIDE, SIDE, 3), draw.uniform(0, 255, 3), np.float32)
    square = geometry.model_input(photo, SIDE)[..., ::-1].astype(np.float32)
    sizes = np.minimum(0.6 * SIDE, 6 / np.maximum(draw.random(int(draw.integers(30, 200))), 1e-3))
    for size in np.sort(sizes)[::-1]:
        mask = _shape(draw, float(size))[..., None] / np.float32(255)
        canvas = np.asarray(canvas * (1 - mask) + _surface(draw, square) * mask, np.float32)
    return np.asarray(np.clip(cv2.GaussianBlur(canvas, (0, 0), float(draw.uniform(0.3, 1.5))), 0, 255), np.uint8)


def _shape(draw: Draw, size: float) -> Picture:
    mask, turn = np.zeros((SIDE, SIDE), np.uint8), float(draw.uniform(0, 180) if draw.random() < 0.6 else 0)
    centre = (int(draw.integers(SIDE)), int(draw.integers(SIDE)))
    flat = float(size * draw.uniform(0.1, 1.0))
    if draw.random() < 0.4:
        cv2.ellipse(mask, centre, (max(1, int(size)), max(1, int(flat))), turn, 0, 360, 255, -1, cv2.LINE_AA)
    else:
        box = cv2.boxPoints((centre, (2 * size, 2 * flat), turn))
        cv2.fillConvexPoly(mask, np.rint(box).astype(np.int32), 255, cv2.LINE_AA)
    return mask


def _surface(draw: Draw, photo: Plane) -> Plane:
    """What a shape is covered with, float32 (SIDE, SIDE, 3)."""
    kind, colour = draw.random(), draw.uniform(0, 255, 3)
    if kind < 0.2:  # a piece of the photo
        side = int(draw.integers(20, 80))
        y, x = draw.integers(0, SIDE - side, 2)
        return np.asarray(cv2.resize(photo[y : y + side, x : x + side], (SIDE, SIDE)), np.float32)
    grey = np.full(3, colour.mean()) if draw.random() < 0.5 else colour
    plain = np.broadcast_to(grey.astype(np.float32), (SIDE, SIDE, 3))
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    along = np.cos(angle := draw.uniform(0, np.pi)) * x + np.sin(angle) * y
    if kind < 0.4:  # stripes
        return np.asarray(plain + 40 * np.sign(np.sin(along * draw.uniform(0.05, 0.8)))[..., None], np.float32)
    return np.asarray(plain + (along / SIDE * draw.uniform(-80, 80))[..., None], np.float32)


def meadow(draw: Draw, photo: Picture) -> Picture:
    """A rendered garden with nothing in bloom near by."""
    return render_meadow(draw, (SIDE, SIDE))


KINDS: dict[str, Callable[[Draw, Picture], Picture]] = {
    "shuffled": shuffled, "corner": corner, "blurred": blurred, "dull": dull, "shapes": shapes, "meadow": meadow,
}  # fmt: skip
