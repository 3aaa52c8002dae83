"""Magnitude pruning with tensorflow-model-optimization.

In:  a trained flat Keras model and augmented training batches.
Out: the same network with the smallest weights of its 1x1 convolutions set to zero, fine-tuned, wrappers stripped.

Zeros make a file compress better (see the gzip column); they do not make an int8 file run faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow_model_optimization as tfmot

from training.keras import keras
from training.phase import StepProgress, WarmCosine, step_callback


@dataclass(frozen=True)
class Pruning:
    """How a network is pruned: sparsity rises over the first two thirds of the steps, the rest lets it settle."""

    sparsity: float  # share of each pruned layer's weights that becomes zero
    epochs: int
    steps: int  # per epoch
    rate: float  # peak learning rate
    label_smoothing: float


def prune(model: Any, batches: Callable[[int], Any], how: Pruning, progress: StepProgress | None = None) -> Any:
    """Prune and fine-tune a copy of `model`; the given one stays as it is. `batches(epoch)` as in training."""
    total = how.epochs * how.steps
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        0.0, how.sparsity, 0, max(1, total * 2 // 3), frequency=max(1, total // 40)
    )

    def wrap(layer: Any) -> Any:
        if is_prunable(layer):
            return tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)
        return layer.__class__.from_config(layer.get_config())

    pruned = keras.models.clone_model(model, clone_function=wrap)
    _copy_weights(model, pruned)
    optimizer = keras.optimizers.Adam(WarmCosine(how.rate, how.steps // 2, total))
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=how.label_smoothing)
    pruned.compile(optimizer, loss)
    for epoch in range(how.epochs):
        data = batches(epoch).map(lambda inputs, target, weight: (inputs[0], target, weight))
        callbacks: list[Any] = [tfmot.sparsity.keras.UpdatePruningStep()]
        callbacks += [step_callback(progress, how.steps, f"epoch {epoch + 1}/{how.epochs}")] if progress else []
        pruned.fit(data, verbose=0, callbacks=callbacks)
    return tfmot.sparsity.keras.strip_pruning(pruned)


def is_prunable(layer: Any) -> bool:
    """1x1 convolutions, where nearly all weights are; not the head, which is small and last."""
    return type(layer) is keras.layers.Conv2D and layer.kernel_size == (1, 1) and layer.name != "evidence"


def sparsity_of(model: Any) -> dict[str, float]:
    """Share of exact zeros in each convolution's kernel, by layer name, and of all kernels together as "total"."""
    kernels = {
        layer.name: layer.get_weights()[0]
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
    }
    shares = {name: float(np.mean(kernel == 0)) for name, kernel in kernels.items()}
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels.values())
    return {**shares, "total": zeros / sum(kernel.size for kernel in kernels.values())}


def _copy_weights(model: Any, pruned: Any) -> None:
    """Weights by layer; a wrapper holds its layer's variables and its own."""
    for source, target in zip(model.layers, pruned.layers, strict=True):
        inner = getattr(target, "layer", target)
        inner.set_weights(source.get_weights())
        target.trainable = source.trainable
