"""Golden pictures are the same bytes everywhere, and what a card says of them is not trusted."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from edge.base.formats import plain
from edge.errors import ModelError
from edge.model.golden import LATTICE, MOST_CASES, PATTERNS, GoldenCase, cases_from, expected, frame
from edge.picture.geometry import centre_square

LABELS = ("red", "green", "blue")
CASE = GoldenCase("lattice", 5, 128, 96, {"red": 0.5, "green": 0.25})
CONTENT = plain(CASE)


def case(pattern: str, seed: int, width: int, height: int) -> GoldenCase:
    return GoldenCase(pattern, seed, width, height, {"red": 1.0})


@pytest.mark.parametrize(
    ("pattern", "seed", "width", "height", "sha256"),
    [
        ("scene", 1, 320, 240, "828fea4fb908569a"),
        ("margins", 2, 640, 480, "69e662892dc2c50b"),
        ("margins", 3, 90, 160, "c32fe483783b3d29"),
        ("lattice", 4, 896, 672, "66373c6b464c5fa0"),
        ("checker", 5, 1280, 720, "ebe1abe08e5aa798"),
        ("checker", 2**31 - 1, 9, 8, "cd8391704d8a40b0"),
    ],
    ids=["scene", "margins", "portrait", "lattice", "checker", "smallest frame, greatest seed"],
)
def test_a_frame_is_the_same_bytes_everywhere(pattern: str, seed: int, width: int, height: int, sha256: str) -> None:
    picture = frame(case(pattern, seed, width, height))

    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8
    assert hashlib.sha256(picture.tobytes()).hexdigest()[:16] == sha256


def test_another_seed_gives_another_picture() -> None:
    pictures = {frame(case("scene", seed, 64, 48)).tobytes() for seed in range(50)}

    assert len(pictures) == 50


@pytest.mark.parametrize(("width", "height"), [(160, 90), (90, 160)], ids=["landscape", "portrait"])
def test_margins_show_another_scene_outside_the_centre_square(width: int, height: int) -> None:
    plain, margins = (frame(case(pattern, 7, width, height)) for pattern in ("scene", "margins"))
    top, left, side = centre_square(height, width)
    inside = np.zeros((height, width), bool)
    inside[top : top + side, left : left + side] = True

    assert (plain[inside] == margins[inside]).all()
    assert (plain[~inside] != margins[~inside]).any(axis=1).mean() > 0.9


def test_a_lattice_shows_the_other_scene_to_a_device_that_skips_pixels() -> None:
    plain, lattice = (frame(case(pattern, 11, 128, 96))[:, 16:112] for pattern in ("scene", "lattice"))
    other = (lattice != plain).any(axis=2)

    for y in range(LATTICE):
        for x in range(LATTICE):
            share = other[y::LATTICE, x::LATTICE].mean()
            assert share > 0.9 if (y, x) in {(0, 0), (1, 1)} else share == 0


def test_a_checker_takes_turns() -> None:
    plain, checker = (frame(case(pattern, 11, 128, 96))[:, 16:112] for pattern in ("scene", "checker"))
    other = (checker != plain).any(axis=2)
    turns = np.indices(other.shape).sum(axis=0) % 2 == 1

    assert not other[~turns].any()
    assert other[turns].mean() > 0.9


def test_cases_survive_the_card() -> None:
    cases = (CASE, case("scene", 0, 64, 64))

    assert cases_from(json.loads(json.dumps([plain(c) for c in cases])), LABELS) == cases


def test_answers_come_in_the_order_of_the_labels_and_the_small_ones_are_zero() -> None:
    assert expected(CASE, ("blue", "green", "red")).tolist() == [0.0, 0.25, 0.5]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("none", "a list of at most"),
        ([CONTENT] * (MOST_CASES + 1), "a list of at most"),
        (["scene"], "golden case 1: is 'scene', expected a JSON object"),
        ([{key: value for key, value in CONTENT.items() if key != "seed"}], "golden case 1: seed is missing"),
        ([{**CONTENT, "pattern": "spiral"}], f"one of {', '.join(PATTERNS)}"),
        ([{**CONTENT, "pattern": ["scene"]}], "pattern is ['scene'], expected text"),
        ([{**CONTENT, "seed": -1}], "a whole number from 0"),
        ([{**CONTENT, "seed": 2**31}], "a whole number from 0"),
        ([{**CONTENT, "seed": True}], "seed is True, expected a whole number"),
        ([{**CONTENT, "seed": 1.0}], "seed is 1.0, expected a whole number"),
        ([{**CONTENT, "width": 7}], "8 to"),
        ([{**CONTENT, "height": 10**12}], "8 to"),
        ([{**CONTENT, "width": 100_000, "height": 100_000}], "at most 8388608 pixels"),
        ([{**CONTENT, "answers": {}}], "labels with probabilities"),
        ([{**CONTENT, "answers": {"red": 1.5}}], "labels with probabilities"),
        ([{**CONTENT, "answers": {"red": float("nan")}}], "answers 'red' is nan, expected a number"),
        ([{**CONTENT, "answers": {"red": "1"}}], "answers 'red' is '1', expected a number"),
        ([{**CONTENT, "answers": {"mauve": 0.5}}], "labels of this model"),
        ([CONTENT, {**CONTENT, "answers": {"a\nb" * 99: 0.5}}], "labels of this model"),
    ],
    ids=[
        "no list", "too many", "no object", "missing field", "pattern", "pattern no text",
        "seed below", "seed above", "seed true", "seed a float", "too narrow", "absurd side", "absurd area",
        "no answers", "above one", "not a number", "text", "unknown label", "label of two lines",
    ],
)  # fmt: skip
def test_a_strange_card_is_refused_in_one_line(content: Any, complaint: str) -> None:
    with pytest.raises(ModelError) as raised:
        cases_from(content, LABELS, "flowers.tflite")

    message = str(raised.value)
    assert message.startswith("flowers.tflite: ")
    assert complaint in message
    assert "\n" not in message
    assert len(message) < 300


def test_a_card_without_cases_is_no_error() -> None:
    assert cases_from([], LABELS) == ()
