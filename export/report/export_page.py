"""One HTML page that shows a whole export: variants, calibration, the threshold of "unknown", golden cases.

In:  `ExportReport`: the answers of the written file to held-out photos, with the temperature and without.
Out: FOLDER/report.html, self-contained, FOLDER/pareto.png and FOLDER/plots/*.png.

Every figure of calibration and of unknowns is computed here from the answers, so that page and plots cannot differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base.intervals import Interval
from edge.contract.rejection import UNKNOWN, Rejection
from edge.evaluation import calibration
from edge.evaluation.accuracy import Scores
from edge.evaluation.calibration import error_change, error_interval, luck
from edge.evaluation.evaluation import Answers, Evaluation, evaluate
from edge.evaluation.known import over_known
from edge.evaluation.unknowns import Detected, risk_coverage
from edge.model.golden import GoldenCase
from export.report import slimmed
from export.report.pareto import plot_pareto
from export.slimming.record import Slimmed
from export.variants.table import KERAS, against_keras, figures, threads, zeros
from export.variants.variant import Variant
from training.report import plots
from training.report.page import Markup, boxes, element, figure, pairs, table, write_page


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Measured:
    """The answers of one model file to n photos that it was not trained on."""

    truth: NDArray[np.int64]  # (n,) class numbers
    before: NDArray[np.float32]  # (n, K) probabilities with a temperature of 1
    after: NDArray[np.float32]  # (n, K) those of the written file

    def over_known(self, labels: Sequence[str]) -> Measured:
        """The photos of known classes."""
        photos = over_known(self.truth, self.after, labels).photos
        return Measured(self.truth[photos], self.before[photos], self.after[photos])


@dataclass(frozen=True, eq=False)
class ExportReport:
    """All that the page shows."""

    name: str  # of the model file
    labels: tuple[str, ...]  # (K,)
    variants: Sequence[Variant]
    float_validation: Scores
    float_test: Scores
    temperature: float  # fitted on the validation photos
    rejection: Rejection | None  # chosen on the validation photos
    validation: Measured
    test: Measured
    unknown: NDArray[np.float32] | None = None  # (m, K) answers to pictures of unknown things, where some were given
    unknown_note: str = ""  # where they come from, and whether the threshold was chosen with them
    golden: Sequence[GoldenCase] = ()
    slimmed: Sequence[Slimmed] = ()  # how each slim network was made
    facts: Sequence[tuple[str, str]] = ()  # (name, value): sizes, runtimes, licence and whatever else is of interest


def write_export_report(folder: Path, found: ExportReport) -> Path:
    """Draw the plots, write the page; returns its path. Raises OutputError."""
    test, validation = (
        evaluate(measured.truth, Answers(found.labels, measured.after, found.rejection), _unknown(found))
        for measured in (found.test, found.validation)
    )
    parts = [_results(found, test), *_variants(found), *_pareto(found, folder / "pareto.png")]
    parts += [part for one in found.slimmed for part in slimmed.section(one, folder / "plots")]
    parts += _calibration(found, folder / "plots")
    parts += [*_threshold(found, validation, test, folder / "plots"), *_golden(found)]
    if found.facts:
        parts += [element("h2", "The file"), pairs(found.facts)]
    path = folder / "report.html"
    write_page(path, f"Flora: {found.name}", parts)
    return path


def _unknown(found: ExportReport) -> Answers | None:
    return None if found.unknown is None else Answers(found.labels, found.unknown, found.rejection)


def _results(found: ExportReport, test: Evaluation) -> Markup:
    scores, known = test.scores, found.test.over_known(found.labels)
    before = calibration.expected_calibration_error(known.before, known.truth)
    cells = [
        (
            f"{scores.top1:.1%}",
            f"top-1 on {scores.n} test photos",
            f"95% interval {scores.low:.1%} to {scores.high:.1%}",
        ),
        (f"{scores.ece:.3f}", "calibration error", f"{before:.3f} before the temperature"),
    ]
    if test.answered:
        kept, right = test.answered.coverage, test.answered.accuracy
        remark = f"{right.value:.1%} of those answers right" if right else "no answer at all"
        cells.append((f"{kept.value:.1%}", "of the known photos answered", remark))
    return boxes(cells)


def _variants(found: ExportReport) -> list[Markup]:
    heads = (
        "variant", "validation", "test (95%)", "points to keras (95%)", "p", "agreement", "kB", "gzip kB",
        "million multiply-adds", "ms", "ms p95", f"ms {threads(found.variants)} threads", "speed (95%)", "MB",
    )  # fmt: skip
    network = (KERAS, f"{found.float_validation.top1:.1%}", _top1(found.float_test), *[""] * (len(heads) - 3))
    rows = [network, *map(_variant, found.variants)]
    pruned = [element("p", line) for v in found.variants if (line := zeros(v))]
    return [element("h2", "Variants"), element("p", HOW_TO_READ["variants"]), table(heads, rows), *pruned]


def _variant(v: Variant) -> tuple[str, ...]:
    name, speed = f"{v.name}{' (written)' if v.is_chosen else ''}", slimmed.speed(v.speed) if v.speed else "-"
    compared = against_keras(v.test_change or v.change, "-")
    return (name, f"{v.validation.top1:.1%}", _top1(v.test), *compared, *figures(v, speed))


def _pareto(found: ExportReport, path: Path) -> list[Markup]:
    plot_pareto(found.variants, path)
    return [figure("Which variant for how much time?", path, HOW_TO_READ["pareto"])]


def _top1(scores: Scores | None) -> str:
    return "-" if scores is None else f"{scores.top1:.1%} ({scores.low:.1%} to {scores.high:.1%})"


def _calibration(found: ExportReport, folder: Path) -> list[Markup]:
    plot = folder / "calibration.png"
    test, validation = (one.over_known(found.labels) for one in (found.test, found.validation))
    plots.plot_calibration(test.before, test.after, test.truth, plot)
    heads = ("calibration error", "photos", "before", "after", "change", "by luck alone")
    rows = [_calibration_row("validation", validation), _calibration_row("test", test)]
    return [
        figure("Are the probabilities right? (test photos)", plot, HOW_TO_READ["calibration"]),
        element("p", f"Temperature: {found.temperature:.3f}, fitted on the validation photos."),
        table(heads, rows),
    ]


def _calibration_row(name: str, measured: Measured) -> tuple[str, ...]:
    before, after = (calibration.confidences(answers, measured.truth) for answers in (measured.before, measured.after))
    mean, high = luck(after[0])
    return (
        name,
        str(len(measured.truth)),
        _error(error_interval(*before)),
        _error(error_interval(*after)),
        _error(error_change(before, after), "+.3f"),
        f"{mean:.3f} (95% below {high:.3f})",
    )


def _error(found: Interval, form: str = ".3f") -> str:
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"


def _threshold(found: ExportReport, validation: Evaluation, test: Evaluation, folder: Path) -> list[Markup]:
    """The threshold with its cost, the risk-coverage curve, and the spread of the scores."""
    parts = [element("h2", "Unknown"), element("p", f"{test.rule()}."), *_coverage_table(found, validation, test)]
    if test.unknown:
        parts += [element("p", found.unknown_note), pairs(_detected(test.unknown))]
    risk, spread = folder / "risk-coverage.png", folder / "scores.png"
    _draw(found, test, risk, spread)
    return [
        *parts,
        figure("What is gained by answering less? (test photos)", risk, HOW_TO_READ["risk"]),
        figure("How surely are the pictures known? (test photos)", spread, HOW_TO_READ["scores"]),
    ]


def _coverage_table(found: ExportReport, validation: Evaluation, test: Evaluation) -> list[Markup]:
    """Nothing where nothing is ever called unknown."""
    heads = ("known photos", "photos", "asked to answer", "answered", "of those right", "of all right")
    asked = found.rejection.coverage if found.rejection else None
    rows = [
        (
            name,
            str(one.answered.photos),
            "-" if asked is None else f"{asked:.1%}",
            one.answered.coverage.percent(),
            one.answered.accuracy.percent() if one.answered.accuracy else "-",
            f"{one.scores.top1:.1%}",
        )
        for name, one in (("validation", validation), ("test", test))
        if one.answered
    ]
    return [table(heads, rows)] if rows else []


def _detected(unknown: Detected) -> list[tuple[str, str]]:
    called = unknown.called_unknown
    rows = [("pictures of unknown things", str(unknown.pictures))]
    rows += [("called unknown", called.percent())] if called else []
    return [
        *rows,
        ("AUROC, known test photos against them", f"{unknown.auroc:.3f}"),
        ("accepted by a threshold that keeps 95% of the test photos", f"{unknown.fpr_at_95:.1%}"),
    ]


def _draw(found: ExportReport, test: Evaluation, risk: Path, spread: Path) -> None:
    """Photos of a class "unknown" are left out of both plots: there is nothing to answer."""
    known = over_known(found.test.truth, found.test.after, found.labels)
    is_known = np.array(known.labels)[known.truth] != UNKNOWN
    answers, is_right = Answers(found.labels, found.test.after, found.rejection), known.is_right[is_known]
    scores = answers.sureties[known.photos][is_known]
    answered, others = test.answered, _unknown(found)
    stands = (answered.coverage.value, 1 - answered.accuracy.value) if answered and answered.accuracy else None
    plots.plot_risk_coverage(risk_coverage(scores, is_right), stands, risk)
    threshold = found.rejection.threshold if found.rejection else None
    plots.plot_scores(scores, None if others is None else others.sureties, threshold, spread)


def _golden(found: ExportReport) -> list[Markup]:
    if not found.golden:
        return []
    rows = [(case.pattern, str(case.seed), f"{case.width} x {case.height}", _top(case)) for case in found.golden]
    heads = ("frame", "seed", "pixels", "answer")
    return [element("h2", "Golden cases"), element("p", HOW_TO_READ["golden"]), table(heads, rows)]


def _top(case: GoldenCase) -> str:
    label = max(case.answers, key=case.answers.__getitem__)
    return f"{label} {case.answers[label]:.1%}"


HOW_TO_READ = {
    "variants": (
        "Top-1 as measured by the TFLite runtime. Validation photos chose the variant; test photos were read after the "
        "choice. Points to keras: top-1 on test photos less that of the trained network, p by McNemar's exact test, "
        "how often luck alone would make so great a difference. Agreement is the share of validation photos that get "
        "the same answer as from the trained network. Times: a picture on the machine that exported, one thread, "
        "median and 95th percentile, the variants taking turns; speed: how many times as fast as int8 that is. MB: "
        "memory of a fresh process at its peak. Zeros make a file compress better, they do not make it run faster."
    ),
    "pareto": (
        "Further left is faster, higher up more often right; a larger mark is a larger file. On the dashed line lie "
        "the variants that no other one beats in both. Intervals that overlap by far do not mean "
        "that two variants are equally good: see the paired differences in the table."
    ),
    "calibration": (
        "Of the answers given with 80% confidence, 80% should be right: dots on the dashed line. Below it the file is "
        "too sure of itself, above it too modest. The temperature divides what goes into the softmax; it changes how "
        "sure the answers are, never which class comes first. An error cannot be told from none while it is no larger "
        "than what luck alone makes: a perfectly calibrated file shows some error on so few photos too. Intervals: "
        "95%, photos resampled."
    ),
    "risk": (
        "The file answers the surest photos first. The longer the curve stays low, the better its score tells right "
        "answers from wrong ones; a score that knows nothing follows the dashed line. Photos that are equally sure are "
        "answered together, so the curve begins where the surest ones end. The dot, if there is one, is the file's "
        "threshold."
    ),
    "scores": (
        "The dotted line, if there is one, is the threshold: what lies left of it is called unknown. Pictures that "
        "resemble a class, such as other flowers, are harder to tell from it than pictures of anything else."
    ),
    "golden": (
        "Frames that every device can compute by a written formula, with the answers of this file. A device that "
        "crops, resizes or orders colours differently answers them differently; flora inspect checks them on the spot."
    ),
}
