"""What is measured over the known classes alone: photos and column of a class "unknown" are left out.

In:  truth (n,) int class numbers, probabilities (n, K), labels (K,).
Out: `Known`: the photos of known classes, and what a model says of them if it has to name one.

A class called "unknown" was taught with pictures of other things; how many photos are given that answer is their
coverage, a matter beside their top-1. With fewer than two other classes it is a class like any other: a rose or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.contract.rejection import UNKNOWN

FEWEST = 2  # known classes that there is something to tell apart


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Known:
    """m of n photos, and k of K classes."""

    labels: tuple[str, ...]  # (k,)
    photos: NDArray[np.bool_]  # (n,) which photos are of these classes
    truth: NDArray[np.int64]  # (m,) numbers of `labels`
    probabilities: NDArray[np.float64]  # (m, k); a row sums to less than 1 where "unknown" has its part

    @property
    def named(self) -> NDArray[np.int64]:
        """The most probable known class (m,); a tie goes to the lower number."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """(m,)"""
        return np.asarray(self.named == self.truth)


def known_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Those that accuracy is measured over, in order."""
    others = tuple(label for label in labels if label != UNKNOWN)
    return others if len(others) >= FEWEST else tuple(labels)


def over_known(truth: ArrayLike, probabilities: ArrayLike, labels: Sequence[str]) -> Known:
    """The photos and the columns of known classes."""
    classes, answers = np.asarray(truth, np.int64), np.asarray(probabilities, np.float64)
    names = known_labels(labels)
    columns = [number for number, label in enumerate(labels) if label in names]
    number_of = np.full(len(labels), -1, np.int64)
    number_of[columns] = np.arange(len(columns))
    photos = number_of[classes] >= 0
    return Known(names, photos, number_of[classes[photos]], answers[photos][:, columns])
