"""Knowledge distillation: a trained network teaches a slim one what it would answer to augmented photos.

In:  teacher and pupil, flat Keras networks, float32 [-1, 1] (batch, N, N, 3) -> probabilities, perhaps of different N.
Out: the pupil with the averaged weights of its best epoch on validation photos.

The pupil is shown no label: its targets are the teacher's probabilities for the very picture that it sees (Hinton et
al. 2015), mixtures of two photos included (Beyer et al. 2022 on patience and consistency).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.backbone import training_model
from training.checkpoint import Progress, State, load_state
from training.keras import keras, tf
from training.phase import AveragedModel, Phase, StepProgress, Validation, prepare, run_phase

NAME = "distilling"


@dataclass(frozen=True)
class Distillation:
    """How a pupil is taught."""

    epochs: int
    steps: int  # per epoch
    rate: float = 1e-3  # peak learning rate
    weight_decay: float = 0.02
    average: float = 0.99  # momentum of the weight average
    softness: float = 2.0  # temperature of both softmaxes
    mixing: float = 0.5  # greatest share of a second photo; 0 mixes none
    seed: int = 0


class _Pupil(AveragedModel):
    """Trains on the teacher's answers to what it sees itself, which may be smaller."""

    def taught_by(self, teacher: Any, softness: float) -> None:
        answer = tf.function(lambda photos: teacher(photos, training=False), reduce_retracing=True)
        # Behind a closure, so that Keras does not take the teacher's weights for the pupil's.
        self._targets: Callable[[Any], Any] = lambda photos: _softened(answer(photos), softness)

    def train_step(self, data: Any) -> Any:
        (photos, seen, keep), _, weights = data
        return super().train_step(((seen, keep), self._targets(photos), weights))


def distil(
    teacher: Any, pupil: Any, batches: Callable[[int], Any], how: Distillation, validation: Validation,
    progress: StepProgress | None = None, checkpoint: Path | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Teach `pupil` in place; returns the history, a row for each epoch.

    `batches(epoch)` as in training, at the teacher's size. With a `checkpoint` file, what broke off is gone on with.
    """
    size, state = int(pupil.input_shape[1]), (load_state(checkpoint) if checkpoint else None)
    state = state or State(Progress(), [], [], [], [])
    phase = Phase(
        NAME, how.epochs, how.rate, how.steps, how.weight_decay, 0.0, how.average, patience=how.epochs
    )  # fmt: skip
    training = training_model(pupil)
    softened = keras.layers.Rescaling(1 / how.softness)(training.output)
    network = _Pupil(training.inputs, softened)
    network.taught_by(teacher, how.softness)
    prepare(network, phase)
    run_phase(
        network, phase, lambda epoch: _seen(batches(epoch), size, how, epoch), validation, state, checkpoint, progress
    )
    network.set_weights(state.best)
    return state.progress.history


def _softened(probabilities: Any, softness: float) -> Any:
    """softmax(logits / softness), from softmax(logits)."""
    return tf.nn.softmax(tf.math.log(tf.clip_by_value(probabilities, 1e-7, 1.0)) / softness)


def _seen(batches: Any, size: int, how: Distillation, epoch: int) -> Any:
    """Mix photos, and add them as the pupil sees them: ((photos, seen, keep), target, weight)."""

    def prepared(number: Any, data: Any) -> Any:
        (photos, keep), target, weight = data
        seed = tf.stack([how.seed + epoch, tf.cast(number, tf.int32)])
        share = tf.random.stateless_uniform((tf.shape(photos)[0], 1, 1, 1), seed, 0.0, max(how.mixing, 1e-9))
        photos = photos * (1.0 - share) + tf.roll(photos, 1, axis=0) * share
        seen = tf.image.resize(photos, (size, size), antialias=True) if photos.shape[1] != size else photos
        return (photos, seen, keep), target, weight

    return batches.enumerate().map(prepared, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(2)
