"""Measure models on pictures, all on the same ones: answers, what they are worth, and how well they tell the unknown.

In:  classifiers with the same labels, pictures BGR uint8 (H, W, 3) with their labels.
Out: `Answers` of each model, and their figures as `Evaluation`, as text or JSON.

A class called "unknown" is a class like any other in the accuracy and the confusion matrix. Coverage counts only the
photos of the other classes, and an answer "unknown" counts as none, by whichever way the model came to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.formats import plain
from edge.base.intervals import Interval, share
from edge.contract.rejection import PROBABILITY, UNKNOWN, Rejection, is_unknown, known_sureties
from edge.contract.result import PictureClassifier, Result
from edge.evaluation import accuracy
from edge.evaluation.accuracy import Scores
from edge.evaluation.held_out import Read
from edge.evaluation.unknowns import Coverage, Detected, coverage_of, detected


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Answers:
    """What one model said of n pictures."""

    labels: tuple[str, ...]  # (K,)
    probabilities: NDArray[np.float32]  # (n, K)
    rejection: Rejection | None

    @property
    def is_unknown(self) -> NDArray[np.bool_]:
        """Which pictures (n,) the model calls unknown."""
        named = ((self.labels[int(row.argmax())], row) for row in self.probabilities)
        return np.array([is_unknown(label, row, self.rejection) for label, row in named], np.bool_)

    @property
    def can_reject(self) -> bool:
        return self.rejection is not None or UNKNOWN in self.labels

    @property
    def sureties(self) -> NDArray[np.float64]:
        """How surely each picture shows a known class (n,); the highest probability for a model without a rule."""
        name = self.rejection.score if self.rejection else PROBABILITY
        return known_sureties(name, self.probabilities, self.labels)


@dataclass(frozen=True)
class Asked:
    """n pictures, and what each model said of them."""

    labels: tuple[str, ...]  # (n,), the true ones
    sha256s: frozenset[str]  # of the files
    answers: tuple[Answers, ...]  # of each model


@dataclass(frozen=True)
class Evaluation:
    """One model on one set of photos. What could not be measured is None."""

    scores: Scores
    rejection: Rejection | None
    answered: Coverage | None  # None: the model never says "unknown"
    unknown_class: Interval | None  # share of the class "unknown" that was called so; None: no photos of it
    unknown: Detected | None  # None: no pictures of unknown things were given

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and None, for `json.dumps`."""
        return {
            **self.scores.to_json(),
            "rejection": plain(self.rejection),
            "answered": asdict(self.answered) if self.answered else None,
            "unknown_class": asdict(self.unknown_class) if self.unknown_class else None,
            "unknown": asdict(self.unknown) if self.unknown else None,
        }

    def text(self) -> str:
        """For a person: the table of the scores, then a paragraph on "unknown" where there is something to say."""
        lines = [*self._answered_lines(), *self._unknown_lines()]
        if not lines:
            return self.scores.table()
        return "\n".join([f"{self.scores.table()}\n", self.rule(), *lines])

    def rule(self) -> str:
        """When the model says "unknown", in a sentence."""
        rule, has_class = self.rejection, UNKNOWN in self.scores.labels
        if rule is None and has_class:
            return f'"{UNKNOWN}" is the answer of its class alone: this model has no threshold'
        if rule is None:
            return f'"{UNKNOWN}" is never the answer: this model has no threshold'
        score = "highest probability" if rule.score == PROBABILITY else rule.score
        kept = f", chosen to keep {rule.coverage:.0%} of known photos" if rule.coverage is not None else ""
        or_class = ", or by its class" if has_class else ""
        return f'"{UNKNOWN}" is the answer when the {score} is below {rule.threshold:.3f}{kept}{or_class}'

    def _answered_lines(self) -> list[str]:
        found = self.answered
        if found is None:
            return []
        right = found.accuracy.percent() if found.accuracy else "none was answered"
        return [
            f"  known photos answered    {found.coverage.percent()} of {found.photos}",
            f"  right among those        {right}",
        ]

    def _unknown_lines(self) -> list[str]:
        lines = []
        if self.unknown_class:
            lines.append(f"  class unknown called so  {self.unknown_class.percent()}")
        if self.unknown and self.unknown.called_unknown:
            called = self.unknown.called_unknown.percent()
            lines.append(f"  unknown things called so {called} of {self.unknown.pictures}")
        if self.unknown:
            lines.append(
                f"  known against unknown    AUROC {self.unknown.auroc:.3f}; a threshold that keeps 95% of these known "
                f"photos accepts {self.unknown.fpr_at_95:.1%} of the {self.unknown.pictures} unknown"
            )
        return lines


def ask(classifiers: Sequence[PictureClassifier], pictures: Iterable[Read]) -> Asked:
    """The answers of each model to at least one picture; each is decoded once for all models and kept by none."""
    labels, sha256s = [], set()
    results: list[list[Result]] = [[] for _ in classifiers]
    for picture in pictures:
        labels.append(picture.label)
        sha256s.add(picture.sha256)
        for found, classify in zip(results, classifiers, strict=True):
            found.append(classify(picture.frame))
    return Asked(tuple(labels), frozenset(sha256s), tuple(map(_answers, results)))


def evaluate(truth: NDArray[np.int64], known: Answers, unknown: Answers | None = None) -> Evaluation:
    """What answers to photos of classes truth (n,) are worth, beside those of the same model to unknown things."""
    is_right = known.probabilities.argmax(axis=1) == truth
    is_known = np.array(known.labels)[truth] != UNKNOWN
    called = known.is_unknown
    taught = called[~is_known]
    return Evaluation(
        accuracy.score(truth, known.probabilities, known.labels),
        known.rejection,
        coverage_of(called[is_known], is_right[is_known]) if known.can_reject and is_known.any() else None,
        share(int(taught.sum()), len(taught)) if len(taught) else None,
        _detected(known, is_known, unknown) if unknown is not None and is_known.any() else None,
    )


def _detected(known: Answers, is_known: NDArray[np.bool_], unknown: Answers) -> Detected:
    called = unknown.is_unknown if unknown.can_reject else None
    return detected(called, known.sureties[is_known], unknown.sureties)


def _answers(results: list[Result]) -> Answers:
    return Answers(
        results[0].labels,
        np.stack([result.probabilities for result in results]),
        results[0].rejection,
    )
