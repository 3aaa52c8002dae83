"""Whole pictures are told from cut and damaged ones, and from files that are none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import PhotoError
from edge.photos import damage as damage_module
from edge.photos.damage import checked_photo, damage
from tests.edge.fakes import one_line


def encoded(kind: str) -> bytes:
    frame = np.random.default_rng(3).integers(0, 256, (24, 32, 3), np.uint8)
    return cv2.imencode(kind, frame)[1].tobytes()


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".bmp"])
def test_a_whole_picture_is_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo{kind}"
    path.write_bytes(encoded(kind))
    data, frame = checked_photo(path)
    assert data == encoded(kind)
    assert frame.shape == (24, 32, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(encoded(".jpg")[:-30], "cut short: a JPEG without its end marker", id="cut JPEG"),
        pytest.param(encoded(".png")[:-30], "cut short: a PNG without its end chunk", id="cut PNG"),
        pytest.param(
            encoded(".png")[:60] + b"!" + encoded(".png")[61:], "damaged: a PNG whose checksum is wrong", id="bad PNG"
        ),
        pytest.param(encoded(".webp")[:-30], "cut short: a WebP with less data", id="cut WebP"),
        pytest.param(b"\x00\x00\x00\x18ftypheic" + bytes(40), "a HEIC picture, which OpenCV cannot read", id="HEIC"),
        pytest.param(b"", "the file is empty; expected", id="empty"),
        pytest.param(b"just text\n" * 9, "not a readable picture; expected", id="text"),
    ],
)
def test_what_is_no_whole_picture_names_its_file_and_the_reason(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(PhotoError) as caught:
        checked_photo(path)
    assert one_line(caught).startswith(f"{path}: {message}")


def test_a_jpeg_with_a_whole_preview_but_half_a_picture_is_cut_short() -> None:
    preview = encoded(".jpg")
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    whole = preview[:2] + segment + preview[2:]
    assert damage(whole) is None
    assert damage(whole[:-2]) == "cut short: a JPEG without its end marker"


@pytest.mark.parametrize(("name", "message"), [("gone.jpg", "no such file"), (".", "not a file")])
def test_what_is_no_file_is_one_line(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=f": {message}") as caught:
        checked_photo(tmp_path / name)
    one_line(caught)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "film.jpg"
    with path.open("wb") as file:
        file.truncate(damage_module.LARGEST_FILE + 1)
    with pytest.raises(PhotoError, match="256 MiB; expected a photo of at most 256 MiB"):
        checked_photo(path)
