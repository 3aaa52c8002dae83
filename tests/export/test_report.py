"""The page of an export: every figure as counted by hand, and nothing said of what was not measured."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.calibration_metrics import calibration_error
from edge.golden import GoldenCase
from edge.metrics import Scores, confidences, score, wilson_interval
from edge.rejection import Rejection
from export.report import ExportReport, Measured, write_export_report
from export.variants import Variant
from tests.training.test_report import Reader
from training import plots

LABELS = ("daisy", "rose", "tulip")
PLOTS = {"calibration.png", "risk-coverage.png", "scores.png"}


def answers(seed: int, n: int, sharpness: float = 1.0) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Truth (n,) and probabilities (n, 3) that are right more often than not, sharpened by a power."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(3, size=n)
    raw = (generator.dirichlet(np.ones(3), n) + np.eye(3)[truth]) ** sharpness
    return truth, np.asarray(raw / raw.sum(axis=1, keepdims=True), np.float32)


def measured(seed: int, n: int) -> Measured:
    truth, before = answers(seed, n)
    return Measured(truth, before, answers(seed, n, 2.0)[1])


def scores(found: Measured) -> Scores:
    return score(found.truth, found.after, LABELS)


@pytest.fixture(scope="module")
def report() -> ExportReport:
    validation, test = measured(1, 60), measured(2, 40)
    variants = [
        Variant("float32", False, 9_876_000, 8_765_000, 7.89, 0.0, {}, scores(validation), 1.0),
        Variant("int8", True, 2_468_000, 1_357_000, 3.14, 0.5, {}, scores(validation), 0.98, scores(test), True),
    ]
    return ExportReport(
        name="flowers.tflite",
        labels=LABELS,
        variants=variants,
        float_validation=scores(validation),
        float_test=scores(test),
        temperature=0.5,
        rejection=Rejection("probability", 0.6, 0.9),
        validation=validation,
        test=test,
        unknown=answers(3, 30)[1],
        unknown_note="30 pictures of <other> things",
        golden=[GoldenCase("scene", 7, 640, 480, {"rose": 0.75, "daisy": 0.125})],
        facts=[("licence", "CC0-1.0")],
    )


def write(folder: Path, report: ExportReport) -> Reader:
    path = write_export_report(folder, report)
    assert path == folder / "report.html"
    return Reader(path.read_text(encoding="utf-8"))


def rows(folder: Path) -> list[list[str]]:
    """The cells of every table row of the page."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    lines = re.findall(r"<tr>(.*?)</tr>", page)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in lines]


def test_the_page_holds_its_plots_and_needs_nothing_from_outside(tmp_path: Path, report: ExportReport) -> None:
    page = write(tmp_path / "export" / "flowers", report)
    assert {path.name for path in (tmp_path / "export" / "flowers" / "plots").iterdir()} == PLOTS
    assert [address[:22] for address in page.addresses] == ["data:image/png;base64,"] * 3
    assert "script" not in page.tags


def test_every_variant_has_its_row(tmp_path: Path, report: ExportReport) -> None:
    write(tmp_path, report)
    validation, test = report.variants[1].validation, report.variants[1].test
    assert test is not None
    interval = f"{test.top1:.1%} ({test.low:.1%} to {test.high:.1%})"
    table = rows(tmp_path)
    assert [row[0] for row in table[:4]] == ["variant", "keras float32", "float32", "int8 (written)"]
    assert table[2][2] == "-"
    assert table[3][1:] == [f"{validation.top1:.1%}", interval, "98.0%", "2468", "1357", "50%", "3.14"]


def test_the_calibration_is_that_of_the_answers(tmp_path: Path, report: ExportReport) -> None:
    page = write(tmp_path, report)
    before, after = (
        calibration_error(*confidences(probabilities, report.test.truth))
        for probabilities in (report.test.before, report.test.after)
    )
    row = next(row for row in rows(tmp_path) if row[:2] == ["test", "40"])
    assert row[2].startswith(f"{before:.3f} (")
    assert row[3].startswith(f"{after:.3f} (")
    assert row[4].startswith(f"{after - before:+.3f} (")
    assert "Temperature: 0.500" in page.text
    assert f"{before:.3f} before the temperature" in page.text


def test_the_threshold_is_counted_on_validation_and_test_photos(tmp_path: Path, report: ExportReport) -> None:
    page = write(tmp_path, report)
    assert "when the highest probability is below 0.600, chosen to keep 90% of known photos." in page.text
    for name, found in (("validation", report.validation), ("test", report.test)):
        is_kept = found.after.max(axis=1) >= 0.6
        low, high = wilson_interval(int(is_kept.sum()), len(is_kept))
        right = (found.after.argmax(axis=1) == found.truth)[is_kept].mean()
        row = next(row for row in rows(tmp_path) if row[0] == name and row[2] == "90.0%")
        assert row[3] == f"{is_kept.mean():.1%} (95% interval {low:.1%} to {high:.1%})"
        assert row[4].startswith(f"{right:.1%} (")


def test_unknown_things_are_measured_against_the_test_photos(tmp_path: Path, report: ExportReport) -> None:
    page = write(tmp_path, report)
    assert report.unknown is not None
    called = (report.unknown.max(axis=1) < 0.6).mean()
    found = dict(row for row in rows(tmp_path) if len(row) == 2)
    assert found["pictures of unknown things"] == "30"
    assert found["called unknown"].startswith(f"{called:.1%} (")
    known, unknown = report.test.after.max(axis=1), report.unknown.max(axis=1)
    pairs = (known[:, None] > unknown).mean() + (known[:, None] == unknown).mean() / 2
    assert found["AUROC, known test photos against them"] == f"{pairs:.3f}"
    assert "30 pictures of <other> things" in page.text


def test_the_plots_show_the_same_answers_as_the_page(
    tmp_path: Path, report: ExportReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, tuple[Any, ...]] = {}

    def record(name: str) -> None:
        draw = getattr(plots, name)
        monkeypatch.setattr(plots, name, lambda *args: (given.update({name: args}), draw(*args)))

    for name in ("plot_calibration", "plot_risk_coverage", "plot_scores"):
        record(name)
    write(tmp_path, report)
    assert given["plot_calibration"][:3] == (report.test.before, report.test.after, report.test.truth)
    curve, stands = given["plot_risk_coverage"][:2]
    at_threshold = np.flatnonzero(np.isclose(curve.coverage, stands[0]))
    assert curve.risk[at_threshold].tolist() == pytest.approx([stands[1]])
    known, unknown, threshold = given["plot_scores"][:3]
    assert report.unknown is not None
    assert known == pytest.approx(report.test.after.max(axis=1))
    assert unknown == pytest.approx(report.unknown.max(axis=1))
    assert threshold == 0.6


def test_golden_cases_and_facts_are_listed(tmp_path: Path, report: ExportReport) -> None:
    write(tmp_path, report)
    assert ["scene", "7", "640 x 480", "rose 75.0%"] in rows(tmp_path)
    assert ["licence", "CC0-1.0"] in rows(tmp_path)


def test_nothing_is_said_of_what_was_not_measured(tmp_path: Path, report: ExportReport) -> None:
    page = write(tmp_path, replace(report, rejection=None, unknown=None, unknown_note="", golden=(), facts=()))
    assert '"unknown" is never the answer: this model has no threshold.' in page.text
    for absent in ("AUROC", "Golden cases", "asked to answer", "called unknown (", "licence"):
        assert absent not in page.text


def test_unknown_things_without_a_threshold_still_show_how_they_score(tmp_path: Path, report: ExportReport) -> None:
    write(tmp_path, replace(report, rejection=None))
    found = dict(row for row in rows(tmp_path) if len(row) == 2)
    assert "called unknown" not in found
    assert "AUROC, known test photos against them" in found


def test_a_threshold_that_refuses_everything_can_be_shown(tmp_path: Path, report: ExportReport) -> None:
    write(tmp_path, replace(report, rejection=Rejection("margin", 1.0, 0.95)))
    row = next(row for row in rows(tmp_path) if row[0] == "test" and row[2] == "95.0%")
    assert row[3].startswith("0.0% (")
    assert row[4] == "-"


def test_photos_of_a_class_unknown_are_not_among_the_known(tmp_path: Path, report: ExportReport) -> None:
    write(tmp_path, replace(report, labels=("daisy", "unknown", "tulip"), golden=()))
    row = next(row for row in rows(tmp_path) if row[0] == "test" and row[2] == "90.0%")
    assert row[1] == str(int((report.test.truth != 1).sum()))


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "$body", "a & b"])
def test_all_text_is_taken_as_text(tmp_path: Path, report: ExportReport, text: str) -> None:
    labels = (text, "rose", "tulip")
    golden = [GoldenCase("scene", 7, 64, 48, {text: 0.5})]
    page = write(tmp_path, replace(report, name=text, labels=labels, golden=golden, facts=[(text, text)]))
    assert "script" not in page.tags
    assert page.text.count(text) >= 5
