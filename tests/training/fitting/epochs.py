"""One epoch of a small photo cache, photo by photo, for the tests of the cache and of augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.training.runs import MIXED
from training.fitting.augmentation import Augmentation, epoch_batches

SIZE = 32
STRONG = Augmentation(SIZE, crop=0.3, colour=1.0, dropout=0.4, channels=64)


def epoch(cache: Path, how: Augmentation = STRONG, *, batch: int = 1, seed: int = 3, number: int = 0) -> dict[int, Any]:
    """(image, keep mask) of each photo in one epoch, by photo; each photo is a class of its own."""
    found: dict[int, Any] = {}
    weights = (np.arange(MIXED) / 10).astype(np.float32)
    data = epoch_batches(cache, np.arange(MIXED), weights, how, batch=batch, seed=seed, epoch=number)
    assert data.options().autotune.enabled is False  # the thread that tunes holds up the end of an epoch
    for (images, keep), targets, weight in data:
        for row in range(len(images)):
            photo = int(targets[row].numpy().argmax())
            assert photo not in found
            assert targets[row].numpy().sum() == 1
            assert weight[row] == weights[photo]
            found[photo] = (images[row].numpy(), keep[row].numpy())
    return found
