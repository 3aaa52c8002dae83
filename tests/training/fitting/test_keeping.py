"""Features that are kept near those before: by how much, and that the labels are learned all the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.fitting.keeping import keeping_model
from training.fitting.phase import Phase, prepare
from training.network import backbone
from training.network.keras import keras, tf

PHASE = Phase("fine-tune", 3, 3e-3, 4, 0.0, 0.0, 0.5, 9)
SIZE = 32


def trained(weight: float) -> tuple[Any, list[float]]:
    """How far the features went, and the losses on labels that colours tell."""
    keras.utils.set_random_seed(4)
    model = backbone.build("mobilenet", 0.25, SIZE, 2, momentum=0.0)
    backbone.initialise(model, 1)
    truth = np.arange(32) % 2
    contrast = np.where(truth, 0.2, 1.0)[:, None, None, None]
    photos = (np.random.default_rng(1).uniform(-1, 1, (32, SIZE, SIZE, 3)) * contrast).astype(np.float32)
    model(photos, training=True)  # statistics of these photos: without any, activations end at their limits
    for layer in backbone.batch_norms(model):
        layer.trainable = False
    features = backbone.feature_model(model)
    before = features(photos).numpy()
    network = keeping_model(model, backbone.training_model(model), weight)
    prepare(network, PHASE)
    keep = np.ones((32, before.shape[1]), np.float32)
    data = tf.data.Dataset.from_tensor_slices(((photos, keep), np.eye(2, dtype=np.float32)[truth])).batch(8)
    losses = network.fit(data, epochs=3, verbose=0).history["loss"]
    return np.abs(features(photos).numpy() - before).mean() / np.abs(before).mean(), losses


def test_the_more_weight_the_nearer_the_features_stay() -> None:
    (free, losses), (held, _) = trained(0.0), trained(30.0)
    assert free > 0.01
    assert held < 0.5 * free
    assert losses[-1] < losses[0]
