"""Picture to model input: the only decoding, cropping and resizing in the project.

In:  BGR uint8 (H, W, 3), as OpenCV delivers it.
Out: RGB uint8 (N, N, 3), raw pixel values; normalisation is the model's own business.

The rule, written into every card as `RULE`: take the centre square; shrink it by the greatest whole factor
that keeps the side >= N, averaging areas; resize bilinearly to N. A whole-factor average costs a
sixteenth of what an arbitrary one does, and the bilinear step then never skips a pixel.
Training's cache, calibration, evaluation and the live loop all call this module.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import PhotoError

Picture = NDArray[np.uint8]

RULE = "centre-square/area-whole-factor/bilinear"
QUICK_FACTORS = (3, 5)  # averages of all places, some then picked: the same bits (no n/9 or n/25 is a tie), sooner
SMALLEST_SIDE = 8  # pixels; below this a "photo" is a tracking pixel or an icon
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


def decode(data: bytes, name: str) -> Picture:
    """Decode an encoded picture to BGR uint8 (H, W, 3), EXIF orientation applied.

    `name` is only for the message. Raises PhotoError for what is no picture or is cut short beyond use.
    """
    if not data:
        raise PhotoError(f"{name}: the file is empty; expected a JPEG, PNG, BMP or WebP picture")
    try:
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise PhotoError(f"{name}: not a readable picture ({error.err or 'OpenCV refused it'})") from error
    if frame is None:
        raise PhotoError(f"{name}: not a readable picture; expected JPEG, PNG, BMP or WebP")
    if min(frame.shape[:2]) < SMALLEST_SIDE:
        height, width = frame.shape[:2]
        raise PhotoError(f"{name}: {width}x{height} pixels; expected at least {SMALLEST_SIDE} on the short side")
    return np.asarray(frame, np.uint8)


def read_photo(path: str | Path) -> Picture:
    """Read a photo file to BGR uint8 (H, W, 3). Raises PhotoError if it is missing or no picture."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read ({error.strerror or error})") from error
    return decode(data, str(path))


def centre_square(height: int, width: int) -> tuple[int, int, int]:
    """The centre square of a picture as (top, left, side), in pixels."""
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side


def resize_short_side(frame: Picture, size: int) -> Picture:
    """Shrink so that the short side is `size`, aspect kept, by the same rule; never enlarges. Any channel order."""
    height, width = frame.shape[:2]
    side = min(height, width)
    if side <= size:
        return frame
    scaled_wh = (max(size, round(width * size / side)), max(size, round(height * size / side)))
    return _bilinear(_whole_factor_area(frame, size), scaled_wh)


def model_input(frame_bgr: Picture, size: int) -> Picture:
    """Turn one BGR frame (H, W, 3) into the RGB (size, size, 3) that the model expects; C-contiguous uint8."""
    top, left, side = centre_square(*frame_bgr.shape[:2])
    square = _whole_factor_area(frame_bgr[top : top + side, left : left + side], size)
    return np.asarray(cv2.cvtColor(_bilinear(square, (size, size)), cv2.COLOR_BGR2RGB), np.uint8)


def _whole_factor_area(frame: Picture, size: int) -> Picture:
    """Average k x k blocks, k the greatest whole number that keeps the short side >= size."""
    height, width = frame.shape[:2]
    factor = min(height, width) // size
    if factor < 2:
        return frame
    trimmed = frame[: height // factor * factor, : width // factor * factor]
    shrunk_wh = (width // factor, height // factor)
    if factor in QUICK_FACTORS:
        averages = cv2.blur(trimmed, (factor, factor), anchor=(0, 0))
        return np.asarray(cv2.resize(averages, shrunk_wh, interpolation=cv2.INTER_NEAREST), np.uint8)
    return np.asarray(cv2.resize(trimmed, shrunk_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _bilinear(frame: Picture, size_wh: tuple[int, int]) -> Picture:
    if (frame.shape[1], frame.shape[0]) == size_wh:
        return frame
    return np.asarray(cv2.resize(frame, size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
