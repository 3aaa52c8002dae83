"""The page of an export: every figure as counted by hand, and nothing said of what was not measured."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.base.intervals import Interval, wilson_interval
from edge.contract.rejection import Rejection
from edge.evaluation.accuracy import McNemar, PairedDifference, Scores, score
from edge.evaluation.calibration import expected_calibration_error
from edge.model.golden import GoldenCase
from export.report.export_page import ExportReport, Measured, write_export_report
from export.report.pareto import plot_pareto
from export.slimming.record import Slimmed, Width
from export.variants.variant import Change, Variant
from tests.training.report.test_run_page import Reader
from training.report import plots

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


def change(difference: float) -> Change:
    return Change(PairedDifference(difference, difference - 0.01, difference + 0.01), McNemar(1, 5, 0.21875))


@pytest.fixture(scope="module")
def report() -> ExportReport:
    validation, test = measured(1, 60), measured(2, 40)
    int8 = Variant(
        "int8", is_integer=True, bytes=2_468_000, gzip_bytes=1_357_000, p50_ms=3.14, p95_ms=4.5, all_threads=4,
        all_p50_ms=1.75, all_p95_ms=2.25, speed=Interval(1.0, 0.98, 1.02), peak_mb=79.6, size=224,
        multiply_adds=300_800_000, sparsity=0.5, sparsity_by_layer={}, validation=scores(validation), agreement=0.98,
        change=change(-0.01), test=scores(test), test_change=change(-0.02), is_chosen=True,
    )  # fmt: skip
    network = replace(
        int8, name="float32", is_integer=False, bytes=9_876_000, p50_ms=7.89, speed=None, peak_mb=None, change=None,
        test=None, test_change=None, is_chosen=False,
    )  # fmt: skip
    variants = [network, int8]
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, report: ExportReport) -> Path:
    """The page of that report. Not to be changed."""
    folder = tmp_path_factory.mktemp("page") / "export" / "flowers"
    write(folder, report)
    return folder


def read(folder: Path) -> Reader:
    return Reader((folder / "report.html").read_text(encoding="utf-8"))


def rows(folder: Path) -> list[list[str]]:
    """The cells of every table row of the page."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    lines = re.findall(r"<tr>(.*?)</tr>", page)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in lines]


def test_the_page_holds_its_plots_and_needs_nothing_from_outside(folder: Path) -> None:
    page = read(folder)
    assert {path.name for path in folder.iterdir()} == {"report.html", "pareto.png", "plots"}
    assert {path.name for path in (folder / "plots").iterdir()} == PLOTS
    assert [address[:22] for address in page.addresses] == ["data:image/png;base64,"] * 4
    assert "script" not in page.tags


def test_every_variant_has_its_row(folder: Path, report: ExportReport) -> None:
    validation, test = report.variants[1].validation, report.variants[1].test
    assert test is not None
    interval = f"{test.top1:.1%} ({test.low:.1%} to {test.high:.1%})"
    table = rows(folder)
    assert [row[0] for row in table[:4]] == ["variant", "keras float32", "float32", "int8 (written)"]
    assert [table[2][column] for column in (2, 3, 4, 12, 13)] == ["-"] * 5
    assert table[3][1:] == [
        f"{validation.top1:.1%}", interval, "-2.0 (-3.0, -1.0)", "0.219", "98.0%", "2468", "1357", "301", "3.14",
        "4.50", "1.75", "1.00 (0.98 to 1.02)", "80",
    ]  # fmt: skip
    assert table[0][11] == "ms 4 threads"


@pytest.mark.usefixtures("unpainted")
def test_a_row_without_test_photos_shows_its_change_on_validation_photos(tmp_path: Path, report: ExportReport) -> None:
    write(tmp_path, replace(report, variants=[replace(report.variants[1], test=None, test_change=None)]))
    assert rows(tmp_path)[2][3] == "-1.0 (-2.0, +0.0)"


@pytest.mark.usefixtures("unpainted")
def test_zeros_are_spoken_of_only_where_a_variant_has_some(tmp_path: Path, folder: Path, report: ExportReport) -> None:
    assert "zeros in" not in read(folder).text
    pruned = replace(report.variants[1], sparsity_by_layer={"a": 0.5, "b": 0.5})
    assert "int8: zeros in 2 of 2 convolutions, 50% of each" in write(tmp_path, replace(report, variants=[pruned])).text


@pytest.mark.usefixtures("unpainted")
def test_the_picture_of_the_choice_is_that_of_the_variants(
    tmp_path: Path, report: ExportReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def record(*args: Any) -> None:
        given.append(args)
        plot_pareto(*args)

    monkeypatch.setattr("export.report.export_page.plot_pareto", record)
    write(tmp_path, report)
    assert given == [(report.variants, tmp_path / "pareto.png")]


@pytest.mark.usefixtures("unpainted")
def test_a_slim_network_has_its_section(tmp_path: Path, folder: Path, report: ExportReport) -> None:
    slim = Slimmed("int8_slim35_128", [Width("stem", 32, 16)], 224, 128, 4.9, None, ())
    assert "Slimmed" not in read(folder).text
    assert "Slimmed: int8_slim35_128" in write(tmp_path, replace(report, slimmed=[slim])).text


def test_the_calibration_is_that_of_the_answers(folder: Path, report: ExportReport) -> None:
    page = read(folder)
    before, after = (
        expected_calibration_error(probabilities, report.test.truth)
        for probabilities in (report.test.before, report.test.after)
    )
    row = next(row for row in rows(folder) if row[:2] == ["test", "40"])
    assert row[2].startswith(f"{before:.3f} (")
    assert row[3].startswith(f"{after:.3f} (")
    assert row[4].startswith(f"{after - before:+.3f} (")
    assert "Temperature: 0.500" in page.text
    assert f"{before:.3f} before the temperature" in page.text


def test_the_threshold_is_counted_on_validation_and_test_photos(folder: Path, report: ExportReport) -> None:
    page = read(folder)
    assert "when the highest probability is below 0.600, chosen to keep 90% of known photos." in page.text
    for name, found in (("validation", report.validation), ("test", report.test)):
        is_kept = found.after.max(axis=1) >= 0.6
        low, high = wilson_interval(int(is_kept.sum()), len(is_kept))
        right = (found.after.argmax(axis=1) == found.truth)[is_kept].mean()
        row = next(row for row in rows(folder) if row[0] == name and row[2] == "90.0%")
        assert row[3] == f"{is_kept.mean():.1%} (95% interval {low:.1%} to {high:.1%})"
        assert row[4].startswith(f"{right:.1%} (")


def test_unknown_things_are_measured_against_the_test_photos(folder: Path, report: ExportReport) -> None:
    page = read(folder)
    assert report.unknown is not None
    called = (report.unknown.max(axis=1) < 0.6).mean()
    found = dict(row for row in rows(folder) if len(row) == 2)
    assert found["pictures of unknown things"] == "30"
    assert found["called unknown"].startswith(f"{called:.1%} (")
    known, unknown = report.test.after.max(axis=1), report.unknown.max(axis=1)
    pairs = (known[:, None] > unknown).mean() + (known[:, None] == unknown).mean() / 2
    assert found["AUROC, known test photos against them"] == f"{pairs:.3f}"
    assert "30 pictures of <other> things" in page.text


@pytest.mark.usefixtures("unpainted")
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
    answers: tuple[Any, ...] = (report.test.before, report.test.after, report.test.truth)
    assert all(np.array_equal(*pair) for pair in zip(given["plot_calibration"][:3], answers, strict=True))
    curve, stands = given["plot_risk_coverage"][:2]
    at_threshold = np.flatnonzero(np.isclose(curve.coverage, stands[0]))
    assert curve.risk[at_threshold].tolist() == pytest.approx([stands[1]])
    known, unknown, threshold = given["plot_scores"][:3]
    assert report.unknown is not None
    assert known == pytest.approx(report.test.after.max(axis=1))
    assert unknown == pytest.approx(report.unknown.max(axis=1))
    assert threshold == 0.6


def test_golden_cases_and_facts_are_listed(folder: Path) -> None:
    assert ["scene", "7", "640 x 480", "rose 75.0%"] in rows(folder)
    assert ["licence", "CC0-1.0"] in rows(folder)


@pytest.mark.usefixtures("unpainted")
def test_nothing_is_said_of_what_was_not_measured(tmp_path: Path, report: ExportReport) -> None:
    page = write(tmp_path, replace(report, rejection=None, unknown=None, unknown_note="", golden=(), facts=()))
    assert '"unknown" is never the answer: this model has no threshold.' in page.text
    for absent in ("AUROC", "Golden cases", "asked to answer", "called unknown (", "licence"):
        assert absent not in page.text


@pytest.mark.usefixtures("unpainted")
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


@pytest.mark.usefixtures("unpainted")
def test_photos_of_a_class_unknown_are_not_among_the_known(tmp_path: Path, report: ExportReport) -> None:
    write(tmp_path, replace(report, labels=("daisy", "unknown", "tulip"), golden=()))
    row = next(row for row in rows(tmp_path) if row[0] == "test" and row[2] == "90.0%")
    is_known = report.test.truth != 1
    known, photos = Measured(*(x[is_known] for x in vars(report.test).values())), str(int(is_known.sum()))
    assert row[1] == photos
    right = known.after[:, [0, 2]].argmax(axis=1) == known.truth // 2
    assert row[5] == f"{right.mean():.1%}"
    calibrated = next(row for row in rows(tmp_path) if row[:2] == ["test", photos] and "%" not in row[2])
    assert calibrated[3].startswith(f"{expected_calibration_error(known.after, known.truth):.3f} (")


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "$body", "a & b"])
def test_all_text_is_taken_as_text(tmp_path: Path, report: ExportReport, text: str) -> None:
    labels = (text, "rose", "tulip")
    golden = [GoldenCase("scene", 7, 64, 48, {text: 0.5})]
    page = write(tmp_path, replace(report, name=text, labels=labels, golden=golden, facts=[(text, text)]))
    assert "script" not in page.tags
    assert page.text.count(text) >= 5
