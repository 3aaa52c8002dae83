"""Fine-tuning that stays near what the pretrained network knows: it has seen a cat, and the photos have none.

In:  the network that is trained, and the maps of features that it had before.
Out: an AveragedModel whose loss also has the share of those maps' variance that the new ones miss.

A fine-tuned network forgets what it is not shown; features that are kept near the pretrained ones still lie elsewhere
for pictures of other things (learning without forgetting, Li and Hoiem 2016, with features in place of answers).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from training.fitting.phase import AveragedModel
from training.network.backbone import FEATURES
from training.network.keras import keras, tf

LEAST = 1e-9  # variance


class KeepingModel(AveragedModel):
    """Trains on labels, and on the features that it had."""

    def keep_near(self, features: Any, before: Any, weight: float) -> None:
        """`features` gives logits and features of (photos, keep), `before` the pretrained features of photos."""
        # Behind closures, so that Keras does not take their weights for the network's.
        self._answers: Callable[[Any], Any] = lambda inputs: features(inputs, training=True)
        self._before: Callable[[Any], Any] = lambda photos: before(photos, training=False)
        self._weight = weight

    def train_step(self, data: Any) -> Any:
        inputs, target, weights = keras.utils.unpack_x_y_sample_weight(data)
        wanted = tf.cast(self._before(inputs[0]), tf.float32)
        with tf.GradientTape() as tape:
            logits, found = self._answers(inputs)
            loss = self.compute_loss(inputs, target, logits, weights)
            loss += self._weight * _missing(tf.cast(found, tf.float32), wanted)
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        self.follow()
        return self.compute_metrics(inputs, target, logits, weights)


def keeping_model(model: Any, training: Any, weight: float) -> KeepingModel:
    """As `averaged_model(training)`; `model` is the whole network, with its pretrained weights."""
    maps = model.get_layer(FEATURES).output
    before = keras.models.clone_model(keras.Model(model.input, maps))
    before.set_weights(keras.Model(model.input, maps).get_weights())
    before.trainable = False
    network = KeepingModel(training.inputs, training.outputs[0])
    network.keep_near(keras.Model(training.inputs, [training.outputs[0], maps]), before, weight)
    return network


def _missing(found: Any, wanted: Any) -> Any:
    """Mean square of the difference over the variance of what is wanted, over all channels.

    Of several devices each gives its part: gradients are summed over them.
    """
    here, places = tf.distribute.get_replica_context(), (0, 1, 2)
    moments = [tf.reduce_mean(wanted, places), tf.reduce_mean(wanted**2, places)]
    mean, square = here.all_reduce(tf.distribute.ReduceOp.MEAN, moments)
    difference = tf.reduce_sum(tf.reduce_mean((found - wanted) ** 2, places))
    return difference / (tf.reduce_sum(square - mean**2) + LEAST) / here.num_replicas_in_sync
