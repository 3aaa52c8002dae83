"""Facets: what is nearer or of a higher tier hides the rest."""

from __future__ import annotations

import itertools

import numpy as np

from edge.picture.geometry import Picture
from training.garden.facets import Facets, Sun, facing, from_grids, join, paint

FROM_ABOVE = Sun(np.array([0.0, 0.0, 1.0]), 0.5)


def square(colour: tuple[float, float, float], side: float, depth: float = 0.0, tier: int = 0) -> Facets:
    x, y = np.meshgrid([-side, side], [-side, side])
    points = np.stack([x, y, np.full_like(x, depth)], axis=-1)[None]
    return from_grids(points, np.array(colour).reshape(1, 1, 1, 3), tier)


def painted(facets: Facets) -> Picture:
    canvas = np.zeros((20, 20, 4), np.uint8)
    paint(canvas, facets, 10, (10, 10), FROM_ABOVE)
    return canvas


def test_nearer_facets_hide_farther_ones_whatever_their_order() -> None:
    near, far = square((0, 0, 200), 0.3, depth=0.2), square((200, 0, 0), 0.3, depth=-0.2)
    for pair in itertools.permutations([near, far]):
        assert painted(join(pair))[10, 10, 2] > 150


def test_higher_tier_hides_lower_one_whatever_its_depth() -> None:
    picture = painted(join([square((0, 0, 200), 0.3, depth=-0.2, tier=1), square((200, 0, 0), 0.3, depth=0.2)]))
    assert picture[10, 10, 2] > 150


def test_alpha_marks_what_is_painted() -> None:
    alpha = painted(square((9, 9, 9), 0.5))[..., 3]
    assert (alpha[10, 10], alpha[1, 1]) == (255, 0)


def test_head_that_faces_the_sky_points_up() -> None:
    np.testing.assert_allclose(facing(np.pi / 2, 0, 1.0) @ [0, 0, 1], [0, 1, 0], atol=1e-12)
