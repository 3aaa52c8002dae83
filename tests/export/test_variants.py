from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from edge.card import Calibration
from edge.metrics import Scores, score
from edge.rejection import Rejection
from export.variants import Exported, Variant, as_json, refusal_as_json, table
from tests.edge import tiny


def scores(hits: int) -> Scores:
    """`hits` of 10 are right."""
    truth = [0] * 5 + [1] * 5
    answers = [t if i < hits else 1 - t for i, t in enumerate(truth)]
    return score(truth, [[1 - a, a] for a in answers], ("fern", "poppy"))


DENSE = Variant("int8", True, 2_600_000, 2_100_000, 3.14, 0.0004, {"stem": 0.0, "a": 0.001}, scores(9), 0.985)
LAYERS = {"stem": 0.0, "a": 0.5, "b": 0.48, "c": 0.5}
PRUNED = Variant("int8_pruned50", True, 2_600_000, 1_400_000, 3.15, 0.45, LAYERS, scores(8), 0.97)
CARD = tiny.card(b"", calibration=Calibration(0.5, 3, 0.1, 0.02, 10), rejection=Rejection("probability", 0.5, 0.95))
TESTED = (replace(DENSE, test=scores(9)), replace(PRUNED, test=scores(10), is_chosen=True))


def test_row_holds_accuracy_agreement_sizes_zeros_and_time() -> None:
    row = table([DENSE, PRUNED], scores(9)).splitlines()[3]
    assert row.split() == ["int8_pruned50", "80.0%", "97.0%", "2600", "1400", "45%", "3.15"]


def test_tested_table_has_test_top1_with_its_interval_and_names_the_written_one() -> None:
    lines = table(TESTED, scores(9), scores(7)).splitlines()
    assert lines[1].split() == ["keras", "float32", "90.0%", "70.0%", "(39.7%-89.2%)"]
    assert lines[2].split()[1:4] == ["90.0%", "90.0%", "(59.6%-98.2%)"]
    assert [line.endswith("<- written") for line in lines[:4]] == [False, False, False, True]


def test_columns_line_up() -> None:
    head, _, *rows = table(TESTED, scores(9), scores(9)).splitlines()[:4]
    for title in ("val top-1", "agree", "kB", "gzip kB", "zeros", "ms"):
        end = head.index(f" {title}") + len(title) + 1
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


def test_table_fits_a_line_of_120_characters() -> None:
    assert max(map(len, table(TESTED, scores(9), scores(9)).splitlines())) <= 120


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
