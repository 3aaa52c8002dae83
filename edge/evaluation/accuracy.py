"""How right a classifier is, numpy only: training, export and the device all report through this module.

In:  truth (n,) int class numbers, probabilities (n, K) float rows that sum to about 1, correct (n,) bool.
Out: shares in 0..1 (never percent) with their 95% intervals; `Scores` holds a whole evaluation.

K is the number of classes, n the number of photos. A quantity that is undefined (the precision of a class that
was never predicted) is None, never NaN, so that every result can be written as JSON. Photos and column of a class
"unknown" are left out (edge/evaluation/known.py): the answer is the most probable known class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.base.intervals import Z_95, wilson_interval
from edge.evaluation.calibration import checked_answers, expected_calibration_error, nll
from edge.evaluation.known import over_known

WIDEST_MATRIX = 16  # classes; a wider confusion matrix does not fit a terminal line


@dataclass(frozen=True)
class ClassScore:
    """One class: shares in 0..1 or None where undefined; `support` is its number of true photos."""

    label: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True)
class Confusion:
    """`count` photos of class `truth` were named `predicted`."""

    truth: str
    predicted: str
    count: int


@dataclass(frozen=True)
class McNemar:
    """`only_a` photos that A alone names rightly, `only_b` those that B alone does; exact two-sided p-value."""

    only_a: int
    only_b: int
    p_value: float


@dataclass(frozen=True)
class PairedDifference:
    """Accuracy of A minus accuracy of B on the same photos, with its confidence interval."""

    difference: float
    low: float
    high: float


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """Counts (K, K): row = true class, column = predicted class."""
    rows, columns = _same_length(truth, predicted, np.int64)
    both = np.concatenate([rows, columns])
    if both.size and (both.min() < 0 or both.max() >= num_classes):
        raise ValueError(f"class numbers {both.min()}..{both.max()}; expected 0..{num_classes - 1}")
    counts = np.bincount(rows * num_classes + columns, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def per_class(confusion: ArrayLike, labels: Sequence[str] | None = None) -> tuple[ClassScore, ...]:
    """Precision TP/(TP+FP), recall TP/(TP+FN), F1 2TP/(2TP+FP+FN) and support of each class of a (K, K) matrix."""
    matrix = np.asarray(confusion, np.int64)
    names = labels if labels is not None else [str(number) for number in range(len(matrix))]
    supports, predictions = matrix.sum(axis=1), matrix.sum(axis=0)
    return tuple(
        ClassScore(
            label=str(name),
            precision=_ratio(hits, predicted),
            recall=_ratio(hits, support),
            f1=_ratio(2 * hits, support + predicted),
            support=int(support),
        )
        for name, hits, support, predicted in zip(names, matrix.diagonal(), supports, predictions, strict=True)
    )


def top_confusions(confusion: ArrayLike, labels: Sequence[str], count: int = 5) -> tuple[Confusion, ...]:
    """The most frequent mistakes of a (K, K) matrix, most frequent first, ties in the order of the labels."""
    wrong = np.array(confusion, np.int64)
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    cells = [divmod(int(cell), len(wrong)) for cell in order]
    found = (Confusion(labels[row], labels[column], int(wrong[row, column])) for row, column in cells)
    return tuple(mistake for mistake in found if mistake.count)


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> McNemar:
    """Do A and B differ on the same photos? correct_* are (n,) bool (McNemar 1947, Psychometrika 12:153).

    Exact form: with b and c the photos that only A and only B names rightly, the p-value is
    min(1, 2 P(X <= min(b, c))), X binomial(b + c, 1/2). No difference at all gives 1.
    """
    only_a, only_b = _discordant(correct_a, correct_b)
    n = only_a + only_b
    tail = term = 1  # term: n over k, in whole numbers, so that thousands of photos lose nothing
    for k in range(min(only_a, only_b)):
        term = term * (n - k) // (k + 1)
        tail += term
    return McNemar(only_a, only_b, min(1.0, 2 * tail / 2**n))


def paired_difference(correct_a: ArrayLike, correct_b: ArrayLike, z: float = Z_95) -> PairedDifference:
    """Accuracy of A minus that of B on the same photos, correct_* (n,) bool, with its interval.

    Newcombe 1998, Statistics in Medicine 17:2635, method 10: the Wilson intervals of both accuracies, squared and
    added with the correlation phi of the two answers: below, √(dl_a² - 2 phi dl_a du_b + du_b²), and likewise above.
    """
    a, b = _same_length(correct_a, correct_b, np.bool_)
    n = len(a)
    if n == 0:
        return PairedDifference(0.0, -1.0, 1.0)
    share_a, share_b = float(a.mean()), float(b.mean())
    low_a, high_a = wilson_interval(int(a.sum()), n, z)
    low_b, high_b = wilson_interval(int(b.sum()), n, z)
    phi = _phi(a, b)
    down = _add_correlated(share_a - low_a, high_b - share_b, phi)
    up = _add_correlated(high_a - share_a, share_b - low_b, phi)
    difference = share_a - share_b
    return PairedDifference(difference, difference - down, difference + up)


def agreement(predicted_a: ArrayLike, predicted_b: ArrayLike) -> float:
    """Share of photos to which two models give the same class, right or wrong."""
    a, b = _same_length(predicted_a, predicted_b, np.int64)
    if len(a) == 0:
        raise ValueError("no predictions to compare; expected at least one")
    return float((a == b).mean())


@dataclass(frozen=True)
class Scores:
    """One model on one set of photos."""

    top1: float  # share of photos of known classes named rightly
    low: float  # Wilson 95% interval of top1
    high: float
    n: int  # photos
    labels: tuple[str, ...]  # (k,) the known ones
    classes: tuple[ClassScore, ...]  # (k,)
    confusion: tuple[tuple[int, ...], ...]  # (k, k), row = truth
    ece: float  # expected calibration error, 15 bins, of what is shown on a device, "unknown" included
    nll: float  # nats, likewise
    top_confusions: tuple[Confusion, ...]  # most frequent mistakes first

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and None, for `json.dumps`."""
        return {**asdict(self), "labels": list(self.labels), "confusion": [list(row) for row in self.confusion]}

    def headline(self) -> str:
        """Top-1 with its interval, in one line."""
        return f"top-1 {self.top1:.1%}, 95% interval {self.low:.1%} to {self.high:.1%} ({self.n} photos)"

    def table(self) -> str:
        """A text table for a person: top-1, each class, the confusion matrix, the commonest mistakes."""
        parts = [[self.headline(), f"calibration error {self.ece:.3f}"], self._class_lines()]
        if len(self.labels) <= WIDEST_MATRIX:
            parts.append(self._matrix_lines())
        if self.top_confusions:
            mistakes = [f"  {m.count:4d}  {m.truth} -> {m.predicted}" for m in self.top_confusions]
            parts.append(["commonest mistakes (truth -> answer)", *mistakes])
        return "\n\n".join("\n".join(part) for part in parts)

    def _class_lines(self) -> list[str]:
        width = max(len("class"), *map(len, self.labels))
        rows = [
            f"{row.label:<{width}}" + "".join(map(_percent, (row.precision, row.recall, row.f1))) + f"{row.support:9d}"
            for row in self.classes
        ]
        return [f"{'class':<{width}}  precision     recall         F1  support", *rows]

    def _matrix_lines(self) -> list[str]:
        numbered = [f"{number} {label}" for number, label in enumerate(self.labels, 1)]
        width = max(map(len, numbered))
        cell = max(4, *(len(str(count)) + 1 for row in self.confusion for count in row))
        heads = "".join(f"{number:>{cell}}" for number in range(1, len(numbered) + 1))
        rows = [
            f"{name:<{width}}" + "".join(f"{count:>{cell}}" for count in row)
            for name, row in zip(numbered, self.confusion, strict=True)
        ]
        return ["confusion matrix (row: truth, column: answer)", " " * width + heads, *rows]


def score(truth: ArrayLike, probabilities: ArrayLike, labels: Sequence[str]) -> Scores:
    """Evaluate answers (n, K) against truth (n,), K = len(labels), at least one photo of a known class.

    A tie goes to the lower class number. Calibration is that of all K outputs, on the same photos.
    """
    answers, classes = checked_answers(probabilities, truth)
    if answers.shape[1] != len(labels):
        raise ValueError(f"{answers.shape[1]} probabilities a photo for {len(labels)} labels; expected one each")
    known = over_known(classes, answers, labels)
    shown, classes = answers[known.photos], classes[known.photos]
    matrix = confusion_matrix(known.truth, known.named, len(known.labels))
    hits, n = int(matrix.trace()), len(known.truth)
    if n == 0:
        raise ValueError('photos of the class "unknown" alone; expected at least one of a known class')
    low, high = wilson_interval(hits, n)
    return Scores(
        top1=hits / n,
        low=low,
        high=high,
        n=n,
        labels=known.labels,
        classes=per_class(matrix, known.labels),
        confusion=tuple(tuple(int(count) for count in row) for row in matrix),
        ece=expected_calibration_error(shown, classes),
        nll=nll(shown, classes),
        top_confusions=top_confusions(matrix, known.labels),
    )


def _same_length(a: ArrayLike, b: ArrayLike, dtype: type[np.generic]) -> tuple[NDArray[Any], NDArray[Any]]:
    first, second = np.asarray(a, dtype), np.asarray(b, dtype)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"shapes {first.shape} and {second.shape}; expected (n,) twice")
    return first, second


def _discordant(correct_a: ArrayLike, correct_b: ArrayLike) -> tuple[int, int]:
    a, b = _same_length(correct_a, correct_b, np.bool_)
    return int((a & ~b).sum()), int((b & ~a).sum())


def _phi(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Correlation of two (n,) bool answers, a positive one corrected for continuity by n/2 as method 10 asks."""
    n = len(a)
    both, neither = int((a & b).sum()), int((~a & ~b).sum())
    only_a, only_b = _discordant(a, b)
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    product = both * neither - only_a * only_b
    if margins == 0:
        return 0.0
    return (max(product - n / 2, 0.0) if product > 0 else product) / math.sqrt(margins)


def _add_correlated(x: float, y: float, phi: float) -> float:
    return math.sqrt(max(x * x - 2 * phi * x * y + y * y, 0.0))


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _percent(share: float | None) -> str:
    return f"{'-':>11}" if share is None else f"{share:>11.1%}"
