"""The temperature: what it is fitted to, and that it ends up where the truth is."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import PhotoError
from export.finishing.temperature import LIMITS, fit


def drawn(sharpness: float, photos: int = 5000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and classes drawn with the probabilities of softmax(logits / sharpness)."""
    draws = np.random.default_rng(seed)
    logits = draws.normal(0, 3, (photos, 4)).astype(np.float32)
    noise = draws.gumbel(size=logits.shape)
    return logits, (logits / sharpness + noise).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_classes_is_found(temperature: float) -> None:
    assert fit(*drawn(temperature)) == pytest.approx(temperature, rel=0.05)


def test_a_few_photos_that_are_all_right_do_not_make_certain() -> None:
    logits = np.eye(3, dtype=np.float32)[[0, 1, 2] * 10] * 4
    few = fit(logits, logits.argmax(axis=1))
    many = fit(np.tile(logits, (100, 1)), np.tile(logits.argmax(axis=1), 100))
    assert few == pytest.approx(4 / np.log(31), rel=0.01)  # 31 of 33 for the true class, 1 for each other
    assert LIMITS[0] < many < few


def test_without_photos_there_is_nothing_to_fit() -> None:
    with pytest.raises(PhotoError, match="no validation photos"):
        fit(np.zeros((0, 5), np.float32), np.zeros(0, np.int64))
