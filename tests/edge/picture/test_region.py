"""The region of interest: shares of a picture in, pixels out."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import UsageError
from edge.picture.region import WHOLE, Roi
from tests.edge.fakes import one_line


@pytest.mark.parametrize(
    ("text", "box", "square"),
    [
        ("0,0,1,1", (0, 0, 48, 64), (0, 8, 48)),
        ("0.5,0.5,1,1", (24, 32, 24, 32), (24, 36, 24)),
        ("0, 0.25, 0.5, 1", (12, 0, 36, 32), (14, 0, 32)),
        ("0.99,0.99,1,1", (40, 56, 8, 8), (40, 56, 8)),
    ],
    ids=["whole", "quarter", "tall", "too small for a model"],
)
def test_a_region_in_pixels(text: str, box: tuple[int, ...], square: tuple[int, ...]) -> None:
    roi = Roi.parse(text)
    assert roi.box(48, 64) == box
    assert roi.square(48, 64) == square


def test_a_crop_is_what_the_box_says_and_no_copy() -> None:
    picture = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    crop = Roi.parse("0.5,0.5,1,1").crop(picture)
    assert np.array_equal(crop, picture[24:, 32:])
    assert np.shares_memory(crop, picture)


@pytest.mark.parametrize(
    "text", ["", "0,0,1", "0,0,1,1,1", "a,0,1,1", "0.5,0,0.5,1", "0,0.9,1,0.1", "-0.1,0,1,1", "0,0,1.1,1", "nan,0,1,1"]
)
def test_what_is_no_region_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Roi.parse(text)
    assert "expected x1,y1,x2,y2" in one_line(caught)


def test_it_reads_back_as_it_was_written() -> None:
    assert str(Roi.parse("0.2,0,0.8,1")) == "0.2,0,0.8,1"
    assert Roi.parse(str(WHOLE)) == WHOLE
