"""One flower: its size, its heart, and how it sways."""

from __future__ import annotations

import numpy as np
import pytest

from training.garden.facets import Layer, Sun, laid_over, moved
from training.garden.planting import SPECIES
from training.garden.specimen import grow, posed

FROM_ABOVE = Sun(np.array([0.0, 0.0, 1.0]), 0.5)
SUNNY = ("sunflowers", "dandelion")


@pytest.mark.parametrize("species", SPECIES)
@pytest.mark.parametrize("seed", range(4))
def test_head_fills_the_middle_and_stays_in_the_picture(species: str, seed: int) -> None:
    head = posed(grow(species, 0.3, np.random.default_rng(seed)))
    corners = head.corners[head.tiers >= 0]
    reach = np.abs(corners[..., :2]).max()
    assert 0.15 < reach < 0.5, "short sides from the centre of a picture one short side across"


def test_sunflower_is_dark_at_heart_and_dandelion_is_not() -> None:
    sunflowers, dandelions = ([heart_brightness(species, seed) for seed in range(9)] for species in SUNNY)
    assert max(sunflowers) < 110
    assert np.median(dandelions) > 110


def heart_brightness(species: str, seed: int) -> float:
    specimen = grow(species, 0.4, np.random.default_rng(seed))
    head = moved(specimen.head, np.eye(3), 0.4, np.zeros(3))
    picture = laid_over(np.zeros((80, 80, 3), np.float32), Layer(head), FROM_ABOVE, 2)
    return float(picture[36:44, 36:44].max(axis=-1).mean())


def test_sway_moves_the_head_and_leaves_the_root() -> None:
    specimen = grow("tulips", 0.3, np.random.default_rng(0))
    still, swayed = posed(specimen), posed(specimen, 0.1)
    head, stem = still.tiers >= 0, still.tiers == -10
    assert (swayed.corners[head] - still.corners[head])[..., 0].mean() < -0.05
    lowest = still.corners[stem][..., 1] < -1.39
    np.testing.assert_allclose(swayed.corners[stem][lowest], still.corners[stem][lowest], atol=0.02)
