"""Picture to model input: the written rule against a slow reference, and what cannot be a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import PhotoError
from edge.picture.geometry import (
    QUICK_FACTORS,
    Picture,
    _whole_factor_area,
    centre_square,
    decode,
    model_input,
    read_photo,
    resize_short_side,
)

ORIENTATIONS = {  # EXIF orientation -> what it does to an upright picture when stored
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


def noise(height: int, width: int) -> Picture:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), np.uint8)


def reference(frame_bgr: Picture, size: int) -> NDArray[np.float64]:
    """The rule as it is written, pixel by pixel in float: square, whole-factor mean, bilinear, RGB."""
    height, width = frame_bgr.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = frame_bgr[top : top + side, left : left + side].astype(np.float64)
    factor = max(1, side // size)
    count = side // factor
    blocks = square[: count * factor, : count * factor].reshape(count, factor, count, factor, 3)
    return bilinear(np.rint(blocks.mean(axis=(1, 3))), size)[..., ::-1]


def bilinear(square: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Pixel centres at half: destination x lies at (x + 1/2) * scale - 1/2 of the source, held at the borders."""
    last = len(square) - 1
    result = np.empty((size, size, 3))
    for y in range(size):
        for x in range(size):
            at_y, at_x = (min(max((i + 0.5) * len(square) / size - 0.5, 0), last) for i in (y, x))
            y0, x0 = int(at_y), int(at_x)
            y1, x1 = min(y0 + 1, last), min(x0 + 1, last)
            upper = square[y0, x0] * (1 - at_x + x0) + square[y0, x1] * (at_x - x0)
            lower = square[y1, x0] * (1 - at_x + x0) + square[y1, x1] * (at_x - x0)
            result[y, x] = upper * (1 - at_y + y0) + lower * (at_y - y0)
    return result


@pytest.mark.parametrize("factor", QUICK_FACTORS)
@pytest.mark.parametrize("size_wh", [(7, 5), (16, 16), (128, 224)], ids=str)
def test_the_quick_average_is_the_average_bit_by_bit(factor: int, size_wh: tuple[int, int]) -> None:
    frame = noise(factor * size_wh[1] + factor - 1, factor * size_wh[0] + factor - 1)
    trimmed = frame[: factor * size_wh[1], : factor * size_wh[0]]
    expected = cv2.resize(trimmed, size_wh, interpolation=cv2.INTER_AREA)
    assert np.array_equal(_whole_factor_area(frame, min(size_wh)), expected)


@pytest.mark.parametrize(
    ("height", "width"),
    [
        pytest.param(16, 16, id="already right"),
        pytest.param(32, 32, id="whole factor 2"),
        pytest.param(48, 48, id="whole factor 3"),
        pytest.param(67, 67, id="factor 4 and a rest"),
        pytest.param(31, 31, id="just below factor 2"),
        pytest.param(40, 71, id="landscape, odd margin"),
        pytest.param(71, 40, id="portrait, odd margin"),
        pytest.param(9, 12, id="smaller than the model"),
    ],
)
def test_a_frame_becomes_what_the_rule_says(height: int, width: int) -> None:
    frame = noise(height, width)
    found = model_input(frame, 16)
    assert found.shape == (16, 16, 3)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    # Mean and result are rounded, on arm64 the steps between as well; another rule is tens of levels away on noise.
    assert np.abs(found - reference(frame, 16)).max() <= 2.01


def test_blue_green_red_becomes_red_green_blue() -> None:
    frame = np.full((16, 16, 3), (10, 20, 30), np.uint8)
    assert model_input(frame, 16)[0, 0].tolist() == [30, 20, 10]


def test_a_whole_factor_averages_every_pixel() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[::4, ::4] = 160  # a plain bilinear resize would see all of it or nothing
    assert (model_input(frame, 16) == 10).all()


def test_the_frame_itself_is_not_changed() -> None:
    frame = noise(40, 71)
    before = frame.copy()
    model_input(frame, 16)
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize(
    ("height", "width", "square"),
    [(10, 10, (0, 0, 10)), (10, 15, (0, 2, 10)), (16, 9, (3, 0, 9))],
    ids=["square", "landscape", "portrait"],
)
def test_the_centre_square_is_in_the_middle(height: int, width: int, square: tuple[int, int, int]) -> None:
    assert centre_square(height, width) == square


@pytest.mark.parametrize(
    ("height", "width", "shape"),
    [
        pytest.param(100, 200, (20, 40, 3), id="landscape"),
        pytest.param(90, 37, (49, 20, 3), id="portrait, off the factor"),
        pytest.param(20, 30, (20, 30, 3), id="already right"),
        pytest.param(12, 90, (12, 90, 3), id="smaller stays"),
    ],
)
def test_the_short_side_is_shrunk_and_the_aspect_kept(height: int, width: int, shape: tuple[int, ...]) -> None:
    assert resize_short_side(noise(height, width), 20).shape == shape


def test_a_square_shrinks_to_the_same_pixels_as_the_model_input() -> None:
    frame = noise(67, 67)
    np.testing.assert_array_equal(resize_short_side(frame, 16)[..., ::-1], model_input(frame, 16))


# Decoding


def quarters(height: int = 32, width: int = 48) -> Picture:
    """A picture that is different in every orientation: four quarters of different grey."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[: height // 2, : width // 2], frame[: height // 2, width // 2 :] = 40, 100
    frame[height // 2 :, : width // 2], frame[height // 2 :, width // 2 :] = 160, 220
    return frame


def jpeg(frame: Picture, orientation: int | None = None) -> bytes:
    data = cv2.imencode(".jpg", np.ascontiguousarray(frame), [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    if orientation is None:
        return data
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00" + orientation.to_bytes(2, "little") + b"\x00\x00"
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00" + entry + b"\x00\x00\x00\x00"
    return data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_photo_comes_out_upright_whatever_its_exif_orientation(orientation: int) -> None:
    upright = quarters()
    stored = ORIENTATIONS[orientation](upright)
    found = decode(jpeg(stored, orientation), "photo.jpg")
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).mean() < 2


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        pytest.param(np.full((16, 16), 77, np.uint8), (77, 77, 77), id="greyscale"),
        pytest.param(np.full((16, 16, 4), (10, 20, 30, 0), np.uint8), (10, 20, 30), id="alpha is dropped"),
        pytest.param(np.full((16, 16, 3), 0x4D4D, np.uint16), (77, 77, 77), id="16 bit"),
    ],
)
def test_every_png_becomes_bgr_of_8_bit(stored: NDArray[np.uint8], expected: tuple[int, ...]) -> None:
    found = decode(cv2.imencode(".png", stored)[1].tobytes(), "picture.png")
    assert found.dtype == np.uint8
    assert found.shape == (16, 16, 3)
    assert found[8, 8].tolist() == list(expected)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "x.jpg: the file is empty; expected", id="empty"),
        pytest.param(b"hello\nworld" * 20, "x.jpg: not a readable picture; expected JPEG, PNG, BMP or WebP", id="text"),
        pytest.param(jpeg(quarters())[:40], "x.jpg: not a readable picture", id="header only"),
        pytest.param(jpeg(noise(7, 20)), "x.jpg: 20x7 pixels; expected at least 8 on the short side", id="tiny"),
    ],
)
def test_what_is_no_picture_is_one_line(data: bytes, message: str) -> None:
    with pytest.raises(PhotoError) as caught:
        decode(data, "x.jpg")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_refusal_by_opencv_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise cv2.error("too many pixels")

    monkeypatch.setattr(cv2, "imdecode", refuse)
    with pytest.raises(PhotoError, match=r"^x\.jpg: not a readable picture \(.+\)$"):
        decode(b"data", "x.jpg")


def test_a_photo_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "blütenstaub.png"
    path.write_bytes(cv2.imencode(".png", noise(9, 11))[1].tobytes())
    np.testing.assert_array_equal(read_photo(path), noise(9, 11))


@pytest.mark.parametrize(("name", "reason"), [("gone.jpg", "No such file"), (".", "Is a directory")])
def test_a_photo_that_cannot_be_read_says_why(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=rf"cannot be read \({reason}"):
        read_photo(tmp_path / name)
