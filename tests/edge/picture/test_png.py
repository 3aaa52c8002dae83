"""A note inside a PNG: it is found again, and the picture is the same to every reader."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.photos.damage import damage
from edge.picture.geometry import decode
from edge.picture.png import GROUP, HEAD_BYTES, LONGEST_GROUP, TRAIN_ONLY, group_of, is_train_only, note_of, with_note

PICTURE = np.random.default_rng(3).integers(0, 255, (20, 30, 3), np.uint8)
PNG = cv2.imencode(".png", PICTURE)[1].tobytes()


def test_note_is_found_again_and_the_picture_is_unchanged() -> None:
    noted = with_note(PNG, {"answers": [["Gänseblümchen", 0.5]], TRAIN_ONLY: True})
    assert note_of(noted) == {"answers": [["Gänseblümchen", 0.5]], TRAIN_ONLY: True}
    assert (decode(noted, "it") == PICTURE).all()
    assert damage(noted) is None  # the checksums are right


def test_the_head_of_a_file_is_enough() -> None:
    large = cv2.imencode(".png", np.random.default_rng(3).integers(0, 255, (200, 300, 3), np.uint8))[1].tobytes()
    noted = with_note(large, {"mark": "0" * 1024})
    assert len(noted) > HEAD_BYTES
    assert note_of(noted[:HEAD_BYTES]) == {"mark": "0" * 1024}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(cv2.imencode(".jpg", PICTURE)[1].tobytes(), id="a JPEG"),
        pytest.param(PNG, id="no note"),
        pytest.param(PNG[:20], id="cut in its header"),
        pytest.param(with_note(PNG, {"a": 1})[:45], id="cut in its note"),
        pytest.param(with_note(PNG, {"a": 1}).replace(b'{"a"', b'<"a"'), id="not JSON"),
        pytest.param(with_note(PNG, {"a": 1}).replace(b'{"a": 1}', b'["a",21]'), id="not an object"),
        pytest.param(with_note(PNG, {"a": 1}).replace(b"Flora", b"Title"), id="another program's text"),
    ],
)
def test_a_file_without_our_note_has_none(data: bytes) -> None:
    assert note_of(data) is None
    assert not is_train_only(data)
    assert group_of(data) is None


@pytest.mark.parametrize("value", [False, "true", 1, None])
def test_only_a_plain_true_keeps_a_photo_for_training(value: object) -> None:
    assert not is_train_only(with_note(PNG, {TRAIN_ONLY: value}))
    assert is_train_only(with_note(PNG, {TRAIN_ONLY: True}))


def test_a_photo_says_what_it_belongs_to() -> None:
    data = with_note(PNG, {GROUP: "camera 0 2026-11-30T17:26"})
    assert group_of(data) == "camera 0 2026-11-30T17:26"
    assert not is_train_only(data)
    assert group_of(with_note(PNG, {GROUP: "é" * LONGEST_GROUP})) == "é" * LONGEST_GROUP
    assert group_of(with_note(PNG, {TRAIN_ONLY: True})) is None


@pytest.mark.parametrize(
    "value",
    [None, True, 0, 7, 1.5, "", [], ["a"], {"a": "b"}, "x" * (LONGEST_GROUP + 1), "a\nb", "\udce9", "\x1b[2J"],
    ids=ascii,
)
def test_a_group_of_a_stranger_that_is_no_short_text_is_none(value: object) -> None:
    assert group_of(with_note(PNG, {GROUP: value})) is None


def test_only_a_png_can_take_a_note() -> None:
    with pytest.raises(ValueError, match="not the bytes of a PNG"):
        with_note(b"\xff\xd8\xff", {})
