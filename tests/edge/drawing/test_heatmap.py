"""The heat map, judged by its pixels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract.result import Result
from edge.drawing.heatmap import STRENGTH, draw_heatmap, label_evidence
from edge.drawing.overlay import GREEN
from edge.errors import ModelError
from edge.picture.geometry import Picture

GRID = 7  # cells, each way


def grey(width: int, height: int) -> Picture:
    return np.full((height, width, 3), 90, np.uint8)


def evidence(row: int, column: int, value: float = 5.0, elsewhere: float = -1.0) -> NDArray[np.float32]:
    """Evidence at one place of the grid."""
    found = np.full((GRID, GRID), elsewhere, np.float32)
    found[row, column] = value
    return found


def changed(picture: Picture) -> NDArray[np.bool_]:
    """Where a grey frame is not grey any more, the outline aside."""
    is_outline = (picture == np.array(GREEN, np.uint8)).all(axis=2)
    return np.asarray((picture != 90).any(axis=2) & ~is_outline)


def result(of_labels: list[float], maps: NDArray[np.float32] | None) -> Result:
    return Result(("a", "b"), np.array(of_labels, np.float32), 0.0, 0.0, evidence=maps)


def test_the_frame_itself_is_not_touched() -> None:
    frame = grey(640, 480)
    draw_heatmap(frame, evidence(3, 3))
    assert (frame == 90).all()


@pytest.mark.parametrize(
    ("row", "column", "x", "y"),
    [
        pytest.param(0, 0, 80 + 34, 34, id="top left"),
        pytest.param(0, 6, 80 + 445, 34, id="top right"),
        pytest.param(6, 0, 80 + 34, 445, id="bottom left"),
        pytest.param(3, 3, 320, 240, id="middle"),
    ],
)
def test_heat_lies_over_its_cell_of_the_centre_square(row: int, column: int, x: int, y: int) -> None:
    hot = changed(draw_heatmap(grey(640, 480), evidence(row, column)))
    rows, columns = np.nonzero(hot)
    assert hot[y, x]
    assert abs(rows - y).max() <= 480 / GRID
    assert abs(columns - x).max() <= 480 / GRID


def test_what_the_model_did_not_see_stays_as_it_was() -> None:
    drawn = draw_heatmap(grey(640, 480), np.ones((GRID, GRID), np.float32))
    assert (drawn[:, :80] == 90).all()
    assert (drawn[:, 560:] == 90).all()
    assert changed(drawn)[10:470, 90:550].all()


def test_the_outline_is_the_first_and_last_line_of_the_square() -> None:
    drawn = draw_heatmap(grey(640, 480), evidence(3, 3))
    assert tuple(drawn[100, 80]) == tuple(drawn[100, 559]) == tuple(drawn[0, 320]) == tuple(drawn[479, 320]) == GREEN


def test_heat_and_outline_lie_over_the_square_that_was_seen() -> None:
    drawn = draw_heatmap(grey(640, 480), np.ones((GRID, GRID), np.float32), (40, 300, 200))
    rows, columns = np.nonzero((drawn != 90).any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (40, 239, 300, 499)
    assert tuple(drawn[100, 300]) == tuple(drawn[239, 400]) == GREEN
    assert changed(drawn)[50:230, 310:490].all()


@pytest.mark.parametrize("values", [-2.0, 0.0], ids=["against", "none"])
def test_without_evidence_for_the_label_nothing_is_coloured(values: float) -> None:
    assert not changed(draw_heatmap(grey(320, 240), np.full((GRID, GRID), values, np.float32))).any()


def test_colours_are_relative_to_the_strongest_place() -> None:
    weak, strong = (draw_heatmap(grey(320, 240), evidence(2, 4, value)) for value in (0.01, 50.0))
    assert (weak == strong).all()


def test_more_evidence_hides_more_of_the_frame() -> None:
    maps = evidence(1, 1, 4.0, elsewhere=0.0)
    maps[5, 5] = 2.0
    dark, light = (draw_heatmap(np.full((490, 490, 3), value, np.uint8), maps).astype(int) for value in (50, 150))
    left = (light - dark)[..., 0] / 100  # of the frame's own contrast
    assert left[105, 105] == pytest.approx(1 - STRENGTH, abs=0.02)
    assert left[385, 385] == pytest.approx(1 - STRENGTH / 2, abs=0.02)
    assert left[245, 245] == 1


@pytest.mark.parametrize("size_wh", [(8, 8), (300, 16), (224, 224), (480, 640), (641, 479)])
def test_a_frame_of_any_size_keeps_its_shape(size_wh: tuple[int, int]) -> None:
    assert draw_heatmap(grey(*size_wh), evidence(3, 3)).shape == (size_wh[1], size_wh[0], 3)


def test_the_map_is_that_of_the_most_probable_label() -> None:
    maps = np.stack([evidence(0, 0), evidence(6, 6)], axis=-1)
    assert label_evidence(result([0.2, 0.8], maps), "m")[6, 6] == 5
    assert label_evidence(result([0.7, 0.3], maps), "m")[0, 0] == 5


def test_a_model_without_a_map_is_one_line() -> None:
    with pytest.raises(ModelError, match=r"^m\.tflite: has no class evidence map; .* flora export RUN --evidence$"):
        label_evidence(result([0.2, 0.8], None), "m.tflite")
