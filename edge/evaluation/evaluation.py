"""Measure models on pictures, all on the same ones: answers, what they are worth, and how well they tell the unknown.

In:  classifiers with the same known classes, pictures BGR uint8 (H, W, 3) with their labels.
Out: `Answers` of each model, and their figures as `Evaluation`, as text or JSON.

Accuracy is measured over the known classes (edge/evaluation/known.py). Coverage counts only their photos, and an answer
"unknown" counts as none, by whichever way the model came to it. Photos of a class "unknown" are pictures of other
things, whether or not a model has that class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.formats import plain
from edge.base.intervals import Interval, share
from edge.contract.rejection import PROBABILITY, UNKNOWN, Rejection, is_unknown, known_sureties
from edge.contract.result import PictureClassifier, Result
from edge.evaluation import accuracy, others
from edge.evaluation.accuracy import Scores
from edge.evaluation.comparison import Comparison, compare
from edge.evaluation.held_out import Read
from edge.evaluation.known import Known, over_known
from edge.evaluation.others import Others
from edge.evaluation.unknowns import Coverage, Detected, coverage_of, detected

OF_CLASS = f"photos of class {UNKNOWN}"
POOLED = "the folders together"


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Answers:
    """What one model said of n pictures."""

    labels: tuple[str, ...]  # (K,)
    probabilities: NDArray[np.float32]  # (n, K)
    rejection: Rejection | None

    @property
    def is_unknown(self) -> NDArray[np.bool_]:
        """Which pictures (n,) the model calls unknown."""
        return np.array([word == UNKNOWN for word in self.shown], np.bool_)

    @property
    def shown(self) -> tuple[str, ...]:
        """The word for a person (n,): a label, or "unknown"."""
        named = ((self.labels[int(row.argmax())], row) for row in self.probabilities)
        return tuple(UNKNOWN if is_unknown(label, row, self.rejection) else label for label, row in named)

    @property
    def can_reject(self) -> bool:
        return self.rejection is not None or UNKNOWN in self.labels

    @property
    def sureties(self) -> NDArray[np.float64]:
        """How surely each picture shows a known class (n,); the highest probability for a model without a rule."""
        name = self.rejection.score if self.rejection else PROBABILITY
        return known_sureties(name, self.probabilities, self.labels)

    def of(self, pictures: NDArray[Any]) -> Answers:
        """Those to some of the pictures, by number or by (n,) bool."""
        return replace(self, probabilities=self.probabilities[pictures])


@dataclass(frozen=True)
class Asked:
    """n pictures, and what each model said of them."""

    labels: tuple[str, ...]  # (n,), the true ones
    sha256s: tuple[str, ...]  # (n,) of the files
    answers: tuple[Answers, ...]  # of each model


@dataclass(frozen=True)
class Evaluation:
    """One model on one set of photos. What could not be measured is None."""

    scores: Scores
    rejection: Rejection | None
    answered: Coverage | None  # None: the model never says "unknown"
    unknown_class: Interval | None  # share of the class "unknown" that was called so; None: no photos of it
    unknown: Detected | None  # None: no pictures of unknown things were given
    has_class: bool = False  # the model has a class "unknown"
    others: tuple[Others, ...] = ()  # pictures of other things, each folder by itself
    pooled: Others | None = None  # all folders that were given, a picture that is in several counted once

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and None, for `json.dumps`."""
        return {
            **self.scores.to_json(),
            "rejection": plain(self.rejection),
            "answered": asdict(self.answered) if self.answered else None,
            "unknown_class": asdict(self.unknown_class) if self.unknown_class else None,
            "unknown": asdict(self.unknown) if self.unknown else None,
            "others": [one.to_json() for one in self.others],
            "others_pooled": self.pooled.to_json() if self.pooled else None,
        }

    def text(self) -> str:
        """For a person: the table of the scores, then a paragraph on "unknown" where there is something to say."""
        lines = [*self._answered_lines(), *self._unknown_lines(), *self._others_lines()]
        if not lines:
            return self.scores.table()
        return "\n".join([f"{self.scores.table()}\n", self.rule(), *lines])

    def rule(self) -> str:
        """When the model says "unknown", in a sentence."""
        rule, has_class = self.rejection, self.has_class
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

    def _others_lines(self) -> list[str]:
        folders = [one for one in self.others if one.name != OF_CLASS]
        together = [self.pooled] if self.pooled and len(folders) > 1 else []
        return ["", *others.table([*self.others, *together])] if self.others else []


def ask(classifiers: Sequence[PictureClassifier], pictures: Iterable[Read]) -> Asked:
    """The answers of each model to at least one picture; each is decoded once for all models and kept by none."""
    labels, sha256s = [], []
    results: list[list[Result]] = [[] for _ in classifiers]
    for picture in pictures:
        labels.append(picture.label)
        sha256s.append(picture.sha256)
        for found, classify in zip(results, classifiers, strict=True):
            found.append(classify(picture.frame))
    return Asked(tuple(labels), tuple(sha256s), tuple(map(_answers, results)))


def measure(asked: Asked, folders: Sequence[tuple[str, Asked]] = ()) -> list[Evaluation]:
    """Each model on the same photos, at least one of them of a known class, and on folders of other things, by name.

    Photos of a class "unknown" are one more folder, which is pooled with no other.
    """
    return [_measured(asked, folders, model) for model in range(len(asked.answers))]


def comparisons(asked: Asked) -> list[Comparison]:
    """Every model but the first against the first, over the known classes."""
    first, *later = (_known(asked, model) for model in range(len(asked.answers)))
    return [compare(one, first) for one in later]


def evaluate(
    truth: NDArray[np.int64],
    known: Answers,
    unknown: Answers | None = None,
    folders: Sequence[tuple[str, Answers]] = (),
) -> Evaluation:
    """What answers to photos of classes truth (n,) are worth, beside those of the same model to unknown things.

    `unknown` are all pictures of such things, `folders` the same or others by name.
    """
    is_right = known.probabilities.argmax(axis=1) == truth
    is_known = np.array(known.labels)[truth] != UNKNOWN
    called = known.is_unknown
    taught = called[~is_known]
    sureties = known.sureties[is_known]
    rows = [_others(name, sureties, one) for name, one in folders] if is_known.any() else []
    return Evaluation(
        accuracy.score(truth, known.probabilities, known.labels),
        known.rejection,
        coverage_of(called[is_known], is_right[is_known]) if known.can_reject and is_known.any() else None,
        share(int(taught.sum()), len(taught)) if len(taught) else None,
        _detected(sureties, unknown) if unknown is not None and is_known.any() else None,
        UNKNOWN in known.labels,
        tuple(rows),
        _others(POOLED, sureties, unknown) if unknown is not None and rows else None,
    )


def _measured(asked: Asked, folders: Sequence[tuple[str, Asked]], model: int) -> Evaluation:
    is_other, answers = np.array(asked.labels) == UNKNOWN, asked.answers[model]
    pooled = _pooled(folders, model)
    rows = [(name, one.answers[model]) for name, one in folders]
    if is_other.any():
        rows.append((OF_CLASS, answers.of(is_other)))
        if pooled is None and UNKNOWN not in answers.labels:
            pooled = answers.of(is_other)
    return evaluate(*_of_its_classes(asked, model), pooled, rows)


def _known(asked: Asked, model: int) -> Known:
    truth, answers = _of_its_classes(asked, model)
    return over_known(truth, answers.probabilities, answers.labels)


def _of_its_classes(asked: Asked, model: int) -> tuple[NDArray[np.int64], Answers]:
    """Class numbers and answers, without photos of "unknown" where the model has no such class."""
    answers = asked.answers[model]
    has_class = [label in answers.labels or label != UNKNOWN for label in asked.labels]
    truth = [answers.labels.index(label) for label, has in zip(asked.labels, has_class, strict=True) if has]
    return np.array(truth, np.int64), answers.of(np.array(has_class))


def _pooled(folders: Sequence[tuple[str, Asked]], model: int) -> Answers | None:
    """What a model said of each picture in the folders; None without a folder."""
    if not folders:
        return None
    answers = [one.answers[model] for _, one in folders]
    _, first = np.unique([sha256 for _, one in folders for sha256 in one.sha256s], return_index=True)
    return replace(answers[0], probabilities=np.concatenate([one.probabilities for one in answers])).of(np.sort(first))


def _others(name: str, known: NDArray[np.float64], found: Answers) -> Others:
    return others.measured(name, found.shown, found.probabilities.max(axis=1), known, found.sureties)


def _detected(known: NDArray[np.float64], unknown: Answers) -> Detected:
    return detected(unknown.is_unknown if unknown.can_reject else None, known, unknown.sureties)


def _answers(results: list[Result]) -> Answers:
    return Answers(
        results[0].labels,
        np.stack([result.probabilities for result in results]),
        results[0].rejection,
    )
