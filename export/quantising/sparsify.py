"""Magnitude pruning with tensorflow-model-optimization.

In:  a trained flat Keras model and augmented training batches.
Out: the same network with the smallest weights of its 1x1 convolutions set to zero, fine-tuned, wrappers stripped.

Zeros make a file compress better (see the gzip column); they do not make it run faster, in whatever pattern.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.base.progress import Bar, no_bar
from edge.errors import UsageError
from training.fitting.phase import StepBar, WarmCosine, make_variables
from training.network.backbone import EVIDENCE
from training.network.keras import keras

# isort: split
import tensorflow_model_optimization as tfmot  # after training.network.keras, which chooses the Keras that it needs


@dataclass(frozen=True)
class Pruning:
    """How a network is pruned: sparsity rises over the first two thirds of the steps, the rest lets it settle."""

    sparsity: float  # share of each pruned layer's weights that becomes zero
    epochs: int
    steps: int  # per epoch
    rate: float  # peak learning rate
    label_smoothing: float
    seed: int = 0  # of the dropout
    pattern: tuple[int, int] | None = None  # (2, 4): 2 zeros among every 4 inputs of an output channel, from the start

    def __post_init__(self) -> None:
        if self.pattern is None:
            return
        zeros, among = self.pattern
        if not 0 < zeros < among or self.sparsity != zeros / among:
            raise UsageError(
                f"pattern {zeros}:{among} with sparsity {self.sparsity:g}: expected fewer zeros than weights, "
                "and their share as the sparsity, as in 2:4 with 0.5"
            )


@dataclass(frozen=True)
class Sparsity:
    """Share of exact zeros in each convolution's kernel, and in all of them together."""

    by_layer: dict[str, float]
    total: float


def prune(model: Any, batches: Callable[[int], Any], how: Pruning, progress: Bar = no_bar) -> Any:
    """Prune and fine-tune a copy of `model`; the given one stays as it is. `batches(epoch)` as in training."""
    keras.utils.set_random_seed(how.seed)
    total = how.epochs * how.steps
    pruned = _wrapped(model, _schedule(how.sparsity, total), how.pattern)
    optimizer = keras.optimizers.Adam(WarmCosine(how.rate, how.steps // 2, total))
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=how.label_smoothing)
    pruned.compile(optimizer, loss)
    make_variables(pruned)
    for epoch in range(how.epochs):
        data = batches(epoch).map(lambda inputs, target, weight: (inputs[0], target, weight))
        note = f"epoch {epoch + 1}/{how.epochs}"
        steps = StepBar(progress, total, note, before=epoch * how.steps)
        pruned.fit(data, verbose=0, callbacks=[tfmot.sparsity.keras.UpdatePruningStep(), steps])
    return tfmot.sparsity.keras.strip_pruning(pruned)


def is_prunable(layer: Any) -> bool:
    """1x1 convolutions, where nearly all weights are; not the head, which is small and last."""
    return type(layer) is keras.layers.Conv2D and layer.kernel_size == (1, 1) and layer.name != EVIDENCE


def sparsity_of(model: Any) -> Sparsity:
    """Zeros in the kernels of all convolutions, pruned or not."""
    kernels = {
        layer.name: layer.get_weights()[0]
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
    }
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels.values())
    by_layer = {name: float(np.mean(kernel == 0)) for name, kernel in kernels.items()}
    return Sparsity(by_layer, zeros / sum(kernel.size for kernel in kernels.values()))


def _schedule(sparsity: float, total: int) -> Any:
    """Sparsity by step; masks are drawn anew about 27 times. tfmot counts steps from 1."""
    end, every = max(1, total * 2 // 3), max(1, total // 40)
    begin = end % every  # so that the last mask is drawn at `end`, with the full sparsity
    return tfmot.sparsity.keras.PolynomialDecay(0.0, sparsity, begin, end, frequency=every)


def _wrapped(model: Any, schedule: Any, pattern: tuple[int, int] | None) -> Any:
    """A copy of `model` whose prunable layers are in pruning wrappers."""

    def wrap(layer: Any) -> Any:
        copy = layer.__class__.from_config(layer.get_config())  # tfmot would wrap, and prune, the layer itself
        if not is_prunable(layer):
            return copy
        return tfmot.sparsity.keras.prune_low_magnitude(copy, pruning_schedule=schedule, sparsity_m_by_n=pattern)

    pruned = keras.models.clone_model(model, clone_function=wrap)
    for source, target in zip(model.layers, pruned.layers, strict=True):
        inner = getattr(target, "layer", target)  # a wrapper holds its layer's variables and its own
        inner.set_weights(source.get_weights())
        target.trainable = source.trainable
    return pruned
