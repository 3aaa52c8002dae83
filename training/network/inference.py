"""Ask a Keras network: pixels normalised, in batches, traced once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.progress import Bar, no_bar
from edge.errors import ModelError
from edge.photos import run_folder
from training.network.keras import tf
from training.network.keras_file import load_keras

PREDICT_BATCH = 64


def predict(model: Any, views: NDArray[np.uint8], bar: Bar = no_bar) -> NDArray[np.float32]:
    """Outputs (n, channels) of a Keras model for RGB uint8 (n, N, N, 3), normalised on the way."""
    return predictor(model)(views, bar)


def predictor(model: Any) -> Callable[..., NDArray[np.float32]]:
    """`predict` for one model, traced once for many calls: it follows the model's weights as they change."""
    infer = tf.function(lambda batch: model(batch, training=False), reduce_retracing=True)

    def run(views: NDArray[np.uint8], bar: Bar = no_bar) -> NDArray[np.float32]:
        outputs = []
        for start in range(0, len(views), PREDICT_BATCH):
            outputs.append(infer(normalise(views[start : start + PREDICT_BATCH])).numpy())
            bar(min(start + PREDICT_BATCH, len(views)), len(views))
        return np.asarray(np.concatenate(outputs), np.float32)

    return run


def load_model(folder: Path, name: str = run_folder.MODEL) -> Any:
    """Read a run's network. Raises ModelError when the training has not finished or the file is broken."""
    path = folder / name
    if not path.exists():
        raise ModelError(
            f"{folder}: no {name} in it: the training has not finished; go on with: flora train --resume {folder}"
        )
    return load_keras(path)


def normalise(pixels: Any) -> Any:
    """uint8 or float [0, 255] to float32 [-1, 1], as numpy or TensorFlow."""
    if isinstance(pixels, np.ndarray):
        return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1.0)
    return tf.cast(pixels, tf.float32) / 127.5 - 1.0
