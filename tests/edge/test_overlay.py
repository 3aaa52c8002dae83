"""What is drawn over a frame, judged by its pixels."""

from __future__ import annotations

import numpy as np
import pytest

from edge.geometry import Picture, centre_square
from edge.overlay import AMBER, GREEN, SMALLEST_SIDE, draw_overlay
from tests.edge.fakes import decision


def grey(width: int, height: int) -> Picture:
    return np.full((height, width, 3), 90, np.uint8)


def of_colour(picture: Picture, colour: tuple[int, int, int]) -> int:
    return int((picture == np.array(colour, np.uint8)).all(axis=2).sum())


def test_the_frame_itself_is_not_touched() -> None:
    frame = grey(640, 480)
    assert draw_overlay(frame, decision()) is not frame
    assert (frame == 90).all()


def test_the_crop_square_is_drawn_where_the_model_looks() -> None:
    frame = grey(640, 480)
    drawn = draw_overlay(frame, decision())
    _, left, side = centre_square(480, 640)
    middle_row = drawn[200]
    assert tuple(middle_row[left]) == GREEN
    assert tuple(middle_row[left + side - 1]) == GREEN
    assert (middle_row[left + 10 : left + side - 10] == 90).all()


def test_an_unknown_answer_has_another_colour() -> None:
    known, unknown = (draw_overlay(grey(640, 480), decision(threshold=limit)) for limit in (None, 0.9))
    assert of_colour(known, AMBER) == 0
    assert of_colour(unknown, AMBER) > 1000
    assert of_colour(unknown, GREEN) == 0


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
