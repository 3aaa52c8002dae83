"""Calibrated probabilities: the temperature that logits are divided by before the softmax.

In:  logits (n, num_classes), float, of photos that the network was not fitted to, and their class numbers (n,).
Out: one temperature; below 1 it makes answers more certain, above 1 less.

Temperature scaling is due to Guo et al. 2017. The targets are Platt's (1999):
of n photos the true class is believed (n + 1) / (n + num_classes) and not 1, since a few hundred photos cannot show
that a class is certain, and since the network's best epoch was picked on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge.errors import PhotoError

LIMITS = (0.125, 8.0)
ROUNDS = 30  # of the search; each takes a third off the range


def fit(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """The temperature with the least cross-entropy. Raises PhotoError when there is nothing to fit to."""
    if not len(logits):
        raise PhotoError("there are no validation photos to fit the temperature to; expected some of each class")
    targets = _targets(truth, logits.shape[1])

    def loss(log_temperature: float) -> float:
        return -float((targets * _log_softmax(logits / math.exp(log_temperature))).sum())

    return math.exp(_lowest(loss, math.log(LIMITS[0]), math.log(LIMITS[1])))


def _lowest(loss: Callable[[float], float], low: float, high: float) -> float:
    """Ternary search; the loss has one minimum, since it is convex in the reciprocal of the temperature."""
    for _ in range(ROUNDS):
        third = (high - low) / 3
        low, high = (low, high - third) if loss(low + third) < loss(high - third) else (low + third, high)
    return (low + high) / 2


def _targets(truth: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
    """Platt's: rows (n, num_classes) that add up to 1."""
    targets = np.full((len(truth), num_classes), 1.0 / (len(truth) + num_classes))
    targets[np.arange(len(truth)), truth] += len(truth) / (len(truth) + num_classes)
    return targets


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), np.float64)
