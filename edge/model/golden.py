"""Golden cases: pictures made by a written formula, with the answers that the exporter got for them.

In:  GoldenCase: a pattern, a seed and a size in pixels.
Out: its frame, BGR uint8 (height, width, 3): the same bytes on every platform and with every NumPy, for the formula
     knows whole numbers only.

A frame shows one or two scenes, A and B, each a smooth field of strong colours. The patterns lay them out so that a
device with a fault in its picture path sees another picture than the exporter did:

scene    A everywhere.
margins  A in the centre square, B outside it: a device that squeezes the whole frame sees both.
lattice  As margins, with B at the pixels of the square that a device without averaging would pick: those at (0, 0)
         and (1, 1) of every 3 x 3. Averaged over a factor of 3, seven ninths of the picture are still A.
checker  As margins, with A and B by turns, as the squares of a chessboard, one pixel each: an average where the
         rule is followed, bands of A and B where it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.base.formats import Lasting, read_fields
from edge.errors import ModelError
from edge.picture.geometry import Picture, centre_square

TOLERANCE = 12 / 256  # of a probability; two runtimes on one machine were seen 11/256 apart on the same int8 file
SMALLEST = 1 / 256  # answers below this are left out, so that the card of 1000 classes stays small
SMALLEST_SIDE, LARGEST_AREA, MOST_CASES = 8, 1 << 23, 16  # pixels, pixels, cases: more would be no quick check
LATTICE = 3  # pixels
PALETTE = 4  # colours of a scene
CELLS = (2, 3, 4, 5, 6, 8, 11, 16)  # of a scene, along the short side of its frame
STRENGTHS = (0, 32, 64, 96)  # of the grain, in levels
GRAINS = (112, 56, 28)  # along the short side
TILE = 64  # grains; then they repeat

_Words: TypeAlias = NDArray[np.uint32]
_Places: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class GoldenCase(Lasting):
    """One picture and the right answer to it. A label that `answers` does not name was below 1/256."""

    pattern: str
    seed: int  # 0 to 2^31 - 1
    width: int  # pixels
    height: int
    answers: dict[str, float]  # label -> probability


def frame(case: GoldenCase) -> Picture:
    """The picture of one case, BGR uint8 (height, width, 3)."""
    return PATTERNS[case.pattern](case.seed, case.height, case.width)


def expected(case: GoldenCase, labels: Sequence[str]) -> NDArray[np.float32]:
    """The answers of one case in the order of `labels`, (num_classes,)."""
    return np.array([case.answers.get(label, 0.0) for label in labels], np.float32)


def cases_from(content: Any, labels: Sequence[str], name: str = "the model") -> tuple[GoldenCase, ...]:
    """Build the cases from a card's JSON, a list of objects with the fields of GoldenCase.

    Raises ModelError, beginning with `name`, for anything that `frame` should not be asked for.
    """
    if not isinstance(content, list) or len(content) > MOST_CASES:
        raise ModelError(_refusal(name, "golden cases are", content, f"a list of at most {MOST_CASES}"))
    known = frozenset(labels)
    return tuple(_case(item, known, f"{name}: golden case {number}") for number, item in enumerate(content, 1))


def _case(content: Any, labels: frozenset[str], name: str) -> GoldenCase:
    try:
        case = read_fields(GoldenCase, content)
    except ValueError as error:
        raise ModelError(f"{name}: {error}; copy or export it again") from error
    for field, is_right, wanted in _RULES:
        if not is_right(getattr(case, field)):
            raise ModelError(_refusal(name, f"{field} is", getattr(case, field), wanted))
    if case.width * case.height > LARGEST_AREA:
        raise ModelError(_refusal(name, "size is", f"{case.width}x{case.height}", f"at most {LARGEST_AREA} pixels"))
    strange = set(case.answers) - labels
    if strange:
        raise ModelError(_refusal(name, "answers name", sorted(strange)[0], "labels of this model"))
    return case


def _refusal(name: str, what: str, received: Any, wanted: str) -> str:
    return f"{name}: its {what} {received!r:.60}; expected {wanted}; copy or export it again"


def _is_side(value: int) -> bool:
    return SMALLEST_SIDE <= value <= LARGEST_AREA


def _are_answers(answers: dict[str, float]) -> bool:
    return len(answers) > 0 and all(0 <= share <= 1 for share in answers.values())


def _scene_only(seed: int, height: int, width: int) -> Picture:
    return _scene(seed, 0, height, width, np.arange(height), np.arange(width))


def _margins(seed: int, height: int, width: int) -> Picture:
    picture = np.empty((height, width, 3), np.uint8)
    ys, xs = np.arange(height), np.arange(width)
    top, left, side = centre_square(height, width)
    picture[top : top + side, left : left + side] = _scene(
        seed, 0, height, width, ys[top : top + side], xs[left : left + side]
    )
    bands: tuple[tuple[slice, slice], ...] = (
        (slice(None), slice(None, left)),
        (slice(None), slice(left + side, None)),
        (slice(None, top), slice(None)),
        (slice(top + side, None), slice(None)),
    )
    for rows, columns in bands:
        picture[rows, columns] = _scene(seed, 1, height, width, ys[rows], xs[columns])
    return picture


def _mixed(step: int, places: Sequence[tuple[int, int]]) -> Callable[[int, int, int], Picture]:
    """As `_margins`, with B at `places` (y, x) of every step x step pixels of the centre square."""

    def pattern(seed: int, height: int, width: int) -> Picture:
        picture = _margins(seed, height, width)
        top, left, side = centre_square(height, width)
        for y, x in places:
            rows, columns = slice(top + y, top + side, step), slice(left + x, left + side, step)
            ys, xs = np.arange(height)[rows], np.arange(width)[columns]
            picture[rows, columns] = _scene(seed, 1, height, width, ys, xs)
        return picture

    return pattern


PATTERNS: dict[str, Callable[[int, int, int], Picture]] = {
    "scene": _scene_only,
    "margins": _margins,
    "lattice": _mixed(LATTICE, ((0, 0), (1, 1))),
    "checker": _mixed(2, ((0, 1), (1, 0))),
}

_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("pattern", lambda value: value in PATTERNS, f"one of {', '.join(PATTERNS)}"),
    ("seed", lambda value: 0 <= value < 2**31, "a whole number from 0 to 2^31 - 1"),
    ("width", _is_side, f"{SMALLEST_SIDE} to {LARGEST_AREA} pixels"),
    ("height", _is_side, f"{SMALLEST_SIDE} to {LARGEST_AREA} pixels"),
    ("answers", _are_answers, "labels with probabilities from 0 to 1"),
)


def _scene(seed: int, which: int, height: int, width: int, ys: _Places, xs: _Places) -> Picture:
    """Scene 0 (A) or 1 (B) of a height x width frame, at the rows `ys` and the columns `xs`.

    Corners of square cells have one of four colours each; between the corners colours change linearly. Grey grain
    lies over them, because on a picture without any texture a network answers to the last bit of every pixel.
    """
    stream, side = 2 * seed + which, min(height, width)
    cells, strength, grains = (
        options[int(word) % len(options)]
        for options, word in zip((CELLS, STRENGTHS, GRAINS), _words(stream, 0, 3), strict=True)
    )
    palette = _levels(stream, 1, 3 * PALETTE, 256 - strength).reshape(PALETTE, 3)
    pitch = -(-side // cells)
    down, across = height // pitch + 2, width // pitch + 2
    corners = palette[_words(stream, 2, down * across).reshape(down, across) % np.uint32(PALETTE)]
    picture = _between(_between(corners, xs, pitch, 1), ys, pitch, 0).astype(np.uint8)
    tile = _levels(stream, 3, TILE * TILE, strength).astype(np.uint8).reshape(TILE, TILE, 1).repeat(3, axis=2)
    picture += tile.take(xs * grains // side % TILE, 1).take(ys * grains // side % TILE, 0)
    return picture


def _between(corners: NDArray[np.uint16], places: _Places, pitch: int, axis: int) -> NDArray[np.uint16]:
    """Linear between corners (down, across, 3) that lie `pitch` apart along one axis; 255 * 256 just fits 16 bits.

    Rows are multiplied flat: with colours as an axis of their own, NumPy would loop over three numbers at a time.
    """
    share = (places % pitch * 256 // pitch).astype(np.uint16)
    share = share[:, None] if axis == 0 else share.repeat(3)[None]
    before, after = (corners.take(places // pitch + step, axis) for step in (0, 1))
    blend = before.reshape(before.shape[0], 3 * before.shape[1])
    blend *= 256 - share
    after = after.reshape(blend.shape)
    after *= share
    blend += after
    blend >>= 8
    return blend.reshape(before.shape)


def _levels(stream: int, part: int, count: int, below: int) -> NDArray[np.uint16]:
    """`count` evenly spread whole numbers from 0 to `below` - 1, `below` at most 256."""
    return ((_words(stream, part, count) >> np.uint32(24)) * np.uint32(below) >> np.uint32(8)).astype(np.uint16)


def _words(stream: int, part: int, count: int) -> _Words:
    """`count` words of 32 well-mixed bits, given by the number of a stream and of a part of it."""
    start = _mix(np.array([stream], np.uint32)) ^ np.uint32(part)
    return _mix(_mix(start) ^ np.arange(count, dtype=np.uint32))


def _mix(words: _Words) -> _Words:
    """Two rounds of xor-shift and multiply; arrays of uint32 wrap around."""
    words = (words ^ (words >> np.uint32(16))) * np.uint32(0x7FEB352D)
    words = (words ^ (words >> np.uint32(15))) * np.uint32(0x846CA68B)
    return words ^ (words >> np.uint32(16))
