"""A backbone of two convolutions in the place of a MobileNet, for trainings that are about something else.

`backbone._trunk = small.trunk`; it takes what the real one takes, and is built and traced in a tenth of the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.network.keras import keras


def trunk(backbone: str, alpha: float, size: int, weights: str | None) -> Any:
    inputs = keras.Input((size, size, 3))
    features = keras.layers.Conv2D(8, 3, 4, use_bias=False, name="stem")(inputs)
    features = keras.layers.ReLU()(keras.layers.BatchNormalization(name="norm")(features))
    return keras.Model(inputs, keras.layers.Conv2D(16, 3, 2, name="wide")(features))


def write_weights(path: Path) -> Path:
    """A weights file of it, randomly initialised, as `--weights` takes it."""
    keras.utils.set_random_seed(5)
    trunk("mobilenet", 0.25, 32, None).save_weights(str(path))
    return path
