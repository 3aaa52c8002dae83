"""Photos as the device sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.errors import PhotoError
from edge.picture import geometry
from tests.training.runs import MIXED, Names
from training.photos.views import device_views

SIZE = 32


def test_views_are_what_the_device_sees(root: Path, names: Names) -> None:
    done = list[tuple[int, int]]()
    views = device_views(root, names[0], SIZE, lambda *call: done.append(call))
    for view, path in zip(views, names[0], strict=True):
        np.testing.assert_array_equal(view, geometry.model_input(geometry.read_photo(root / path), SIZE))
    assert done == [(number, MIXED) for number in range(1, MIXED + 1)]


def test_view_of_a_photo_that_is_gone_is_told(root: Path) -> None:
    with pytest.raises(PhotoError, match=r"gone\.png: cannot be read"):
        device_views(root, ["gone.png"], SIZE)


def test_validation_sees_the_photos_as_the_device_does(garden: Path) -> None:
    paths = [path.relative_to(garden).as_posix() for path in sorted(garden.rglob("*.jpg"))[:2]]
    for view, path in zip(device_views(garden, paths, SIZE), paths, strict=True):
        np.testing.assert_array_equal(view, geometry.model_input(geometry.read_photo(garden / path), SIZE))
