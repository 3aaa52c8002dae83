"""An honest "unknown": how surely a picture shows a known class, and a threshold below which that is not enough.

In:  probabilities (num_classes,) or (n, num_classes).
Out: a surety of 0 to 1 for each picture; higher is more surely known. Below the threshold the answer is "unknown".

A class that is itself called "unknown" was taught with pictures of other things: its label is the same answer.

One word each: UNKNOWN is what files, JSON and MQTT carry, and NOTHING_KNOWN what a person reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.base.formats import Lasting, if_missing
from edge.errors import UsageError

UNKNOWN = "unknown"  # for programs, and the label of a class of other things
NOTHING_KNOWN = "nothing known"  # the same for a person; edge/sinks/web/page/parts.js has it, too


def surety(name: str, probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """By the measure `name`, (n,) of probabilities (n, num_classes), or one () of (num_classes,)."""
    return _SURETIES[name](np.asarray(probabilities, np.float64))


@dataclass(frozen=True)
class Rejection(Lasting):
    """When a picture is called unknown."""

    score: str = field(metadata=if_missing("probability"))  # the measure, one of SURETIES; "score" as the card has it
    threshold: float  # 0 to 1; a picture of less surety is unknown
    coverage: float | None = None  # share of known photos that it was chosen to keep; None: set by hand

    def rejects(self, probabilities: NDArray[Any]) -> bool:
        """True if probabilities (num_classes,) are too unsure to name a class."""
        if self.score == PROBABILITY:  # without a detour: this is asked for each frame
            return float(probabilities.max()) < self.threshold
        return float(surety(self.score, probabilities)) < self.threshold


def is_unknown(label: str, probabilities: NDArray[Any], rejection: Rejection | None) -> bool:
    """Whether the answer to show is "unknown"."""
    return label == UNKNOWN or (rejection is not None and rejection.rejects(probabilities))


def said(label: str) -> str:
    """The word for a person, of a label or of what `shown` is."""
    return NOTHING_KNOWN if label == UNKNOWN else label


def overridden(rejection: Rejection | None, threshold: float | None) -> Rejection | None:
    """The model's own rule, or its measure with a threshold given by hand. Raises UsageError unless 0 <= it <= 1."""
    if threshold is None:
        return rejection
    if not 0.0 <= threshold <= 1.0:
        raise UsageError(f"--threshold {threshold}: expected a score from 0 (never unknown) to 1")
    return Rejection(rejection.score if rejection else PROBABILITY, threshold)


def _probability(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """The greatest probability (Hendrycks and Gimpel 2017)."""
    return np.asarray(probabilities.max(axis=-1))


def _margin(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """The greatest probability less the second."""
    two = np.sort(probabilities, axis=-1)[..., -2:]
    return np.asarray(two[..., 1] - two[..., 0])


def _entropy(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """One less the entropy as a share of its greatest value, ln num_classes; a probability of 0 adds nothing."""
    shares = probabilities / probabilities.sum(axis=-1, keepdims=True)
    logarithms = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    return np.asarray(1.0 + (shares * logarithms).sum(axis=-1) / np.log(shares.shape[-1]))


PROBABILITY = "probability"
_SURETIES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    PROBABILITY: _probability,
    "margin": _margin,
    "entropy": _entropy,
}
SURETIES = tuple(_SURETIES)


def known_sureties(name: str, probabilities: ArrayLike, labels: Sequence[str]) -> NDArray[np.float64]:
    """Sureties (n,) of probabilities (n, K) by the measure `name`, with a class called "unknown" taken at its word.

    Where that class is the answer it is -1 less what it would be: below every threshold, the surer the lower.
    """
    answers = np.asarray(probabilities, np.float64)
    found = surety(name, answers)
    if UNKNOWN not in labels:
        return found
    return np.where(answers.argmax(axis=1) == list(labels).index(UNKNOWN), -1.0 - found, found)
