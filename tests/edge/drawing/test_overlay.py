"""What is drawn over a frame, judged by its pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.contract.frame import Frame
from edge.drawing.overlay import AMBER, GREEN, SMALLEST_SIDE, WHITE, draw_banner, draw_crop, draw_overlay
from edge.picture.geometry import Picture, centre_square
from edge.picture.region import Roi
from tests.edge.fakes import decision, frame


def grey(width: int, height: int, roi: str = "0,0,1,1") -> Frame:
    return replace(frame(size_wh=(width, height)), roi=Roi.parse(roi))


def of_colour(picture: Picture, colour: tuple[int, int, int]) -> int:
    return int((picture == np.array(colour, np.uint8)).all(axis=2).sum())


def test_the_frame_itself_is_not_touched() -> None:
    given = grey(640, 480)
    draw_overlay(given, decision())
    assert (given.image_bgr == 90).all()


def test_the_crop_square_is_drawn_where_the_model_looks() -> None:
    drawn = draw_overlay(grey(640, 480), decision())
    _, left, side = centre_square(480, 640)
    middle_row = drawn[200]
    assert tuple(middle_row[left]) == GREEN
    assert tuple(middle_row[left + side - 1]) == GREEN
    assert (middle_row[left + 10 : left + side - 10] == 90).all()


@pytest.mark.parametrize("size_wh", [(640, 480), (160, 120)], ids=["as it is", "enlarged"])
def test_a_region_of_interest_is_outlined_and_the_square_lies_within_it(size_wh: tuple[int, int]) -> None:
    width, height = size_wh
    given = grey(width, height, "0.5,0.25,1,0.5")
    drawn = draw_overlay(given, decision())
    factor = drawn.shape[1] // width
    middle = round(0.375 * drawn.shape[0])
    white, green = (np.flatnonzero((drawn[middle] == colour).all(axis=1)) for colour in (WHITE, GREEN))
    _, left, side = given.square
    assert (white.min(), white.max()) == (drawn.shape[1] // 2, drawn.shape[1] - 1)
    assert (green.min(), green.max()) == (left * factor, (left + side) * factor - 1)


def test_without_a_region_of_interest_there_is_one_outline() -> None:
    assert of_colour(draw_overlay(grey(640, 480), decision())[200:201], WHITE) == 0


@pytest.mark.parametrize("unit", [0.5, 2.0])
def test_the_outline_of_the_square_stays_within_it(unit: float) -> None:
    canvas = grey(100, 80).image_bgr
    draw_crop(canvas, (20, 30, 40), GREEN, unit)
    rows, columns = np.nonzero((canvas == GREEN).all(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 59, 30, 69)


def test_an_answer_that_was_held_names_no_time_of_the_model() -> None:
    asked, held = (draw_overlay(grey(640, 480), replace(decision(), is_held=is_held)) for is_held in (False, True))
    rows = np.flatnonzero((asked != held).any(axis=(1, 2)))
    assert rows.min() > 440


def test_a_banner_darkens_the_picture_and_crosses_it() -> None:
    canvas = grey(640, 480).image_bgr
    draw_banner(canvas, "no picture for 4 s")
    assert (canvas[:200] < 60).all()
    assert (canvas[:, 600] < 60).all()
    assert of_colour(canvas[210:270], AMBER) > 100


def test_an_unknown_answer_has_another_colour() -> None:
    known, unknown = (draw_overlay(grey(640, 480), decision(threshold=limit)) for limit in (None, 0.9))
    assert of_colour(known, AMBER) == 0
    assert of_colour(unknown, AMBER) > 1000
    assert of_colour(unknown, GREEN) == 0


def test_what_is_nearest_is_written_small_beside_nothing_known() -> None:
    shown, beside = (slice(0, 48), slice(0, 190)), (slice(0, 48), slice(260, 640))
    known = draw_overlay(grey(640, 480), decision())
    roses, tulips = (
        draw_overlay(grey(640, 480), decision(values, threshold=0.9)) for values in ((0.1, 0.8, 0.1), (0.1, 0.1, 0.8))
    )
    assert (roses[shown] == tulips[shown]).all()  # the words are the same
    assert (roses[beside] != tulips[beside]).any()
    assert of_colour(roses[beside], WHITE) > 0
    assert of_colour(known[beside], WHITE) == 0


def test_a_class_of_other_things_is_drawn_as_nothing_known() -> None:
    labels, values = ("unknown", "roses", "tulips"), (0.75, 0.0625, 0.1875)
    taught = draw_overlay(grey(640, 480), decision(values, labels=labels))
    words = draw_overlay(grey(640, 480), decision(values, labels=("nothing known", *labels[1:]), threshold=0.9))
    assert (taught[:, :190] == words[:, :190]).all()  # what is nearest is beside that
    assert (taught[374:] == words[374:]).all()  # the bars


def test_a_more_probable_label_has_a_longer_bar() -> None:
    sure, unsure = (draw_overlay(grey(640, 480), decision(values)) for values in ((0.0, 1.0, 0.0), (0.3, 0.4, 0.3)))
    panel = slice(374, 398), slice(180, 310)  # the first bar
    assert of_colour(sure[panel], GREEN) > 2 * of_colour(unsure[panel], GREEN)


def test_different_labels_look_different() -> None:
    one, other = (draw_overlay(grey(640, 480), decision(values)) for values in ((0.8, 0.1, 0.1), (0.1, 0.8, 0.1)))
    assert (one[:48] != other[:48]).any()


@pytest.mark.parametrize("size_wh", [(8, 8), (300, 16), (224, 224), (1920, 1080), (480, 640)])
def test_a_frame_keeps_its_shape_and_a_small_one_is_enlarged_by_a_whole_factor(size_wh: tuple[int, int]) -> None:
    drawn = draw_overlay(grey(*size_wh), decision())
    factor = drawn.shape[0] // size_wh[1]
    assert drawn.shape == (size_wh[1] * factor, size_wh[0] * factor, 3)
    assert (factor == 1) == (min(size_wh) >= SMALLEST_SIDE)


def test_labels_in_any_script_can_be_drawn() -> None:
    accented = draw_overlay(grey(640, 480), decision(labels=("Gänseblümchen", "バラ", "")))
    plain = draw_overlay(grey(640, 480), decision(labels=("Ganseblumchen", "??", "")))
    assert (accented == plain).all()
