"""One phase of training: epochs of steps, an averaged model that is validated, a checkpoint after each.

Both phases use it: the head on frozen features, and the whole network on augmented photos.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.progress import Bar, no_bar
from edge.errors import ModelError, UsageError
from training.fitting.checkpoint import Reached, State, save_state
from training.network.keras import keras, tf


@dataclass(frozen=True)
class Phase:
    """How one phase is trained."""

    name: str
    epochs: int
    rate: float  # peak learning rate: one epoch of linear warm-up, then cosine to zero
    steps: int  # per epoch
    weight_decay: float
    label_smoothing: float
    average: float  # momentum of the weight average
    patience: int


@dataclass(frozen=True)
class Validation:
    """Held-out inputs for the averaged weights: arrays as the model takes them, and the class numbers (n,)."""

    predict: Callable[[], NDArray[np.float32]]  # -> probabilities (n, num_classes)
    truth: NDArray[np.int64]


class WarmCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up over `warm` steps, then a half cosine to zero at `total` steps."""

    def __init__(self, peak: float, warm: int, total: int) -> None:
        self.peak, self.warm, self.total = peak, max(1, warm), max(2, total)

    def __call__(self, step: Any) -> Any:
        done = tf.cast(step, tf.float32) + 1.0
        through = tf.clip_by_value((done - self.warm) / max(1, self.total - self.warm), 0.0, 1.0)
        return self.peak * tf.where(done < self.warm, done / self.warm, 0.5 * (1.0 + tf.cos(math.pi * through)))

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warm": self.warm, "total": self.total}


class AveragedModel(keras.Model):
    """A functional model whose training step also keeps an exponential moving average of every variable.

    BatchNorm's moving statistics are averaged along with the weights they belong to.
    """

    def start_average(self, momentum: float) -> None:
        """Begin the average at the present weights. Call once, inside the strategy's scope."""
        shadows = [
            tf.Variable(value, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
            for value in self.weights
        ]
        # Behind a closure, so that Keras does not take the average for weights of the model.
        self._shadows: Callable[[], list[Any]] = lambda: shadows
        self._momentum = momentum

    def train_step(self, data: Any) -> Any:
        logs = super().train_step(data)
        self.follow()
        return logs

    def follow(self) -> None:
        """Move the average a step towards the present weights."""
        step = tf.cast(self.optimizer.iterations, tf.float32)
        momentum = tf.minimum(self._momentum, (1.0 + step) / (10.0 + step))  # early on, forget the start faster
        for shadow, value in zip(self._shadows(), self.weights, strict=True):
            shadow.assign(momentum * shadow + (1.0 - momentum) * tf.cast(value, shadow.dtype))

    def average(self) -> list[NDArray[Any]]:
        return [shadow.numpy() for shadow in self._shadows()]

    def restore_average(self, arrays: list[NDArray[Any]]) -> None:
        for shadow, array in zip(self._shadows(), arrays, strict=True):
            shadow.assign(array)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the model has its averaged weights."""
        raw = self.get_weights()
        self.set_weights(self.average())
        try:
            yield
        finally:
            self.set_weights(raw)


def averaged_model(model: Any) -> AveragedModel:
    """The same layers, as a model that keeps its average."""
    return AveragedModel(model.inputs, model.outputs[0])


def prepare(model: AveragedModel, phase: Phase) -> None:
    """Compile `model` for `phase` and start its average. Call inside the strategy's scope."""
    schedule = WarmCosine(phase.rate, phase.steps, phase.steps * phase.epochs)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=phase.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=phase.label_smoothing)
    # Keras wraps the optimizer for loss scaling itself under a float16 policy.
    model.compile(optimizer, loss, metrics=["accuracy"])
    make_variables(model)
    model.start_average(phase.average)


def make_variables(model: Any) -> None:
    """Make the optimizer's and the metrics' of a compiled model with one output, before it is fitted.

    Were they made by the first batch, TensorFlow would trace the whole step a second time.
    """
    model.optimizer.build(model.trainable_variables)
    sample = tf.zeros((1, *model.output_shape[1:]))
    model.compiled_loss.build(sample)
    model.compiled_metrics.build(sample, sample)


def run_phase(
    model: AveragedModel,
    phase: Phase,
    batches: Callable[[int], Any],
    validation: Validation,
    state: State,
    path: Path | None,
    bar: Bar = no_bar,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Train until the phase's epochs are done or its patience is over; `state` ends with the best weights.

    `batches(epoch)` gives the epoch's dataset. A `state` of this phase is gone on from; one of another
    phase keeps its history only. After each epoch the state is saved to `path` (None: nowhere). Raises UsageError
    when the loss is no number any more.
    """
    if state.reached.phase == phase.name:
        _restore(model, state)
    else:
        state.reached = Reached(phase.name, history=state.reached.history)
    for epoch in range(state.reached.epoch, phase.epochs):
        if epoch - state.reached.best_epoch >= phase.patience:
            break
        started = clock()
        steps = StepBar(bar, phase.steps * phase.epochs, _note(phase, epoch, state), before=epoch * phase.steps)
        logs = model.fit(batches(epoch), verbose=0, callbacks=[steps]).history
        loss, accuracy = validate(model, validation, phase)
        row = {
            "phase": phase.name, "epoch": epoch + 1, "loss": logs["loss"][-1], "accuracy": logs["accuracy"][-1],
            "val_loss": loss, "val_accuracy": accuracy, "learning_rate": float(model.optimizer.learning_rate.numpy()),
            "seconds": round(clock() - started, 2),
        }  # fmt: skip
        _record(model, state, row)
        if path is not None:
            save_state(path, state)


def cross_entropy(probabilities: NDArray[Any], truth: NDArray[np.int64], smoothing: float) -> float:
    """Mean cross-entropy of probabilities (n, K) against smoothed targets, as in training."""
    num_classes = probabilities.shape[1]
    logs = np.log(np.clip(probabilities.astype(np.float64), 1e-7, 1.0))
    hit = logs[np.arange(len(truth)), truth]
    return float(-((1.0 - smoothing) * hit + smoothing / num_classes * logs.sum(axis=1)).mean())


def validate(model: AveragedModel, validation: Validation, phase: Phase) -> tuple[float, float]:
    """Loss and accuracy of the averaged weights. Raises UsageError when the loss is no number any more."""
    with model.averaged():
        probabilities = validation.predict()
    loss = cross_entropy(probabilities, validation.truth, phase.label_smoothing)
    if not math.isfinite(loss):
        raise UsageError(
            f"{phase.name}: the validation loss is {loss}, expected a number; "
            "give a lower learning rate: --rate, --head-rate"
        )
    return loss, float((probabilities.argmax(axis=1) == validation.truth).mean())


def _record(model: AveragedModel, state: State, row: dict[str, Any]) -> None:
    reached = state.reached
    reached.epoch = row["epoch"]
    reached.history.append(row)
    state.weights, state.average = model.get_weights(), model.average()
    state.optimizer = [variable.numpy() for variable in model.optimizer.variables()]
    if row["val_loss"] < reached.best_loss:
        reached.best_loss, reached.best_epoch = row["val_loss"], row["epoch"]
        state.best = state.average


def _restore(model: AveragedModel, state: State) -> None:
    try:
        model.set_weights(state.weights)
        model.restore_average(state.average)
        for variable, array in zip(model.optimizer.variables(), state.optimizer, strict=True):
            variable.assign(array)
    except ValueError as error:
        raise ModelError(
            "the checkpoint is that of another network than config.json asks for; start a new run"
        ) from error


def _note(phase: Phase, epoch: int, state: State) -> str:
    """Beside a bar for the whole phase, so that the time left is the phase's: the last validation accuracy."""
    note = f"epoch {epoch + 1}/{phase.epochs}"
    if epoch > 0:
        note += f"  validation {state.reached.history[-1]['val_accuracy']:.1%}"
    return note


class StepBar(keras.callbacks.Callback):
    """Hands each step of Keras' to a progress bar: `steps` in all, `before` of them in earlier epochs."""

    def __init__(self, bar: Bar, steps: int, note: str, *, before: int) -> None:
        super().__init__()
        self._bar, self._steps, self._note, self._before = bar, steps, note, before

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        loss = (logs or {}).get("loss", math.nan)
        self._bar(self._before + batch + 1, self._steps, f"{self._note}  loss {loss:.3f}")
