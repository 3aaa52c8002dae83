from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge.base.intervals import Interval
from edge.contract.rejection import Rejection
from edge.evaluation.accuracy import McNemar, PairedDifference, Scores, score
from edge.model.card import Calibration
from export.outcome import Exported, as_json, refusal_as_json
from export.variants.table import digits, table
from export.variants.variant import Change, Variant
from tests.edge.model import tiny


def scores(hits: int) -> Scores:
    """`hits` of 10 are right."""
    truth = [0] * 5 + [1] * 5
    answers = [t if i < hits else 1 - t for i, t in enumerate(truth)]
    return score(truth, [[1 - a, a] for a in answers], ("fern", "poppy"))


def change(lost: float, p_value: float) -> Change:
    return Change(PairedDifference(-lost, -lost - 0.02, -lost + 0.01), McNemar(1, 5, p_value))


LAYERS = {"stem": 0.0, "a": 0.5, "b": 0.48, "c": 0.5}
DENSE = Variant(
    "int8",
    is_integer=True,
    bytes=2_600_000,
    gzip_bytes=2_100_000,
    p50_ms=3.14,
    p95_ms=4.5,
    all_threads=4,
    all_p50_ms=1.75,
    all_p95_ms=2.25,
    speed=Interval(1.0, 1.0, 1.0),
    peak_mb=79.6,
    size=224,
    multiply_adds=300_800_000,
    sparsity=0.0004,
    sparsity_by_layer={"stem": 0.0, "a": 0.001},
    validation=scores(9),
    agreement=0.985,
    change=change(0.004, 0.25),
)
PRUNED = replace(
    DENSE, name="int8_pruned50", gzip_bytes=1_400_000, p50_ms=3.15, sparsity=0.45, sparsity_by_layer=LAYERS,
    validation=scores(8), agreement=0.97, speed=Interval(0.997, 0.99, 1.01), change=change(0.125, 0.0004),
)  # fmt: skip
CARD = tiny.card(b"", calibration=Calibration(0.5, 3, 0.1, 0.02, 10), rejection=Rejection("probability", 0.5, 0.95))
TESTED = (
    replace(DENSE, test=scores(9), test_change=change(0.0, 1.0)),
    replace(PRUNED, test=scores(10), test_change=change(-0.031, 0.0625), is_chosen=True),
)


def test_row_holds_accuracy_its_change_agreement_sizes_work_times_and_memory() -> None:
    row = table([DENSE, PRUNED], scores(9)).splitlines()[3]
    assert row.split() == [
        "int8_pruned50", "80.0%", "-12.5", "(-14.5,", "-11.5)", "<0.001", "97.0%", "2600", "1400", "301", "3.15",
        "4.50", "1.75", "1.00x", "80",
    ]  # fmt: skip


def test_tested_table_has_test_top1_with_its_interval_and_names_the_written_one() -> None:
    lines = table(TESTED, scores(9), scores(7)).splitlines()
    assert lines[1].split() == ["keras", "float32", "90.0%", "70.0%", "(39.7-89.2)"]
    assert lines[2].split()[1:4] == ["90.0%", "90.0%", "(59.6-98.2)"]
    assert [line.endswith("<- written") for line in lines[:4]] == [False, False, False, True]


def test_change_is_that_of_test_photos_once_they_are_read() -> None:
    before, after = (table(TESTED, scores(9), test).splitlines()[3] for test in (None, scores(7)))
    assert "-12.5 (-14.5, -11.5)  <0.001" in before
    assert "+3.1 (+1.1, +4.1)  0.062" in after


def test_table_says_how_many_threads_are_all() -> None:
    assert "4 thr" in table([DENSE], scores(9)).splitlines()[0]


def test_what_is_not_known_is_a_dash() -> None:
    row = table([replace(DENSE, speed=None, peak_mb=None)], scores(9)).splitlines()[2]
    assert row.split()[-2:] == ["-", "-"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0714, "0.07"), (9.994, "9.99"), (9.995, "10.0"), (99.94, "99.9"), (99.95, "100"), (2345.6, "2346")],
)
def test_digits_are_three_or_all_before_the_point(value: float, text: str) -> None:
    assert digits(value) == text


@pytest.mark.parametrize("tested", [None, scores(9)], ids=["before-the-choice", "after-it"])
def test_columns_line_up(tested: Scores | None) -> None:
    head, _, *rows = table(TESTED, scores(9), tested).splitlines()[:4]
    for title in ("points to keras", "p", "agree", "kB", "gzip", "MMACs", "ms", "p95", "4 thr", "speed", "MB"):
        end = head.index(f" {title} " if title != "MB" else " MB") + len(title) + 1
        assert all(row[end - 1] not in " <" and row[end : end + 1] in (" ", "") for row in rows), title


def test_table_says_how_zeros_are_spread_and_that_they_do_not_make_it_faster() -> None:
    lines = table([DENSE, PRUNED], scores(9)).splitlines()
    assert lines[-2].startswith("int8_pruned50: zeros in 3 of 4 convolutions, 48% to 50% of each (median 50%)")
    assert "compress better" in lines[-1]
    assert "do not make it run faster" in lines[-1]


def test_equal_shares_of_zeros_are_said_once() -> None:
    even = replace(PRUNED, sparsity_by_layer={"head": 0.0, "a": 0.5, "b": 0.5})
    line = table([DENSE, even], scores(9)).splitlines()[-2]
    assert line.startswith("int8_pruned50: zeros in 2 of 3 convolutions, 50% of each;")


def test_table_without_pruning_says_nothing_of_zeros() -> None:
    assert len(table([DENSE], scores(9)).splitlines()) == 3


def test_dead_channels_of_a_dense_network_are_not_spoken_of() -> None:
    dense = replace(DENSE, sparsity=0.004, sparsity_by_layer={"stem": 0.25, "a": 0.01})
    assert len(table([dense], scores(9)).splitlines()) == 3


def test_table_fits_a_line_of_150_characters() -> None:
    widest = replace(
        DENSE, name="int8_qat_slim35_128", bytes=14_000_000, gzip_bytes=12_900_000, p50_ms=123.45, p95_ms=234.56,
        all_p50_ms=100.01, speed=Interval(10.25, 9, 11), peak_mb=123.4, test=scores(10), is_chosen=True,
        test_change=change(0.125, 0.0001),
    )  # fmt: skip
    assert max(map(len, table([*TESTED, widest], scores(9), scores(9)).splitlines())) <= 150


def test_json_has_every_layer_and_every_figure() -> None:
    exported = Exported(
        Path("a b.tflite"), 2_601_234, "int8_pruned50", TESTED, scores(9), scores(7), CARD, Path("report.html")
    )
    record = json.loads(json.dumps(as_json(exported)))
    assert (record["path"], record["bytes"], record["chosen"]) == ("a b.tflite", 2_601_234, "int8_pruned50")
    dense, pruned = record["variants"]
    assert pruned["sparsity_by_layer"] == {"stem": 0.0, "a": 0.5, "b": 0.48, "c": 0.5}
    assert (pruned["validation"]["top1"], pruned["test"]["top1"], pruned["agreement"]) == (0.8, 1.0, 0.97)
    assert (dense["bytes"], dense["gzip_bytes"], dense["p50_ms"], dense["is_chosen"]) == (2600000, 2100000, 3.14, False)
    assert (pruned["p95_ms"], pruned["all_threads"], pruned["all_p50_ms"], pruned["all_p95_ms"]) == (4.5, 4, 1.75, 2.25)
    assert (pruned["speed"], pruned["peak_mb"]) == ({"value": 0.997, "low": 0.99, "high": 1.01}, 79.6)
    assert (pruned["size"], pruned["multiply_adds"]) == (224, 300_800_000)
    assert pruned["change"]["difference"] == {"difference": -0.125, "low": -0.145, "high": -0.115}
    assert pruned["test_change"]["mcnemar"] == {"only_a": 1, "only_b": 5, "p_value": 0.0625}
    assert (record["float_validation"]["top1"], record["float_test"]["top1"]) == (0.9, 0.7)
    assert record["calibration"] == {
        "temperature": 0.5,
        "components": 3,
        "ece_before": 0.1,
        "ece_after": 0.02,
        "photos": 10,
    }
    assert record["rejection"] == {"score": "probability", "threshold": 0.5, "coverage": 0.95}
    assert (record["golden_cases"], record["report"]) == (0, "report.html")


def test_json_of_a_refusal_has_the_same_keys_and_no_test_figure() -> None:
    refused = json.loads(json.dumps(refusal_as_json([DENSE], scores(9), "too large")))
    written = as_json(Exported(Path("x"), 1, "int8", (DENSE,), scores(9), scores(9), CARD, Path("report.html")))
    assert set(refused) - set(written) == {"refused"}
    assert set(written) <= set(refused)
    assert refused["refused"] == "too large"
    assert [refused[key] for key in ("path", "bytes", "chosen", "float_test")] == [None] * 4
    assert refused["variants"][0]["test"] is None
