"""The statistics, against published worked examples and values worked out by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.base import intervals
from edge.evaluation import accuracy, calibration

LABELS = ("daisy", "rose", "tulip")
TRUTH = [0, 0, 0, 1, 1, 2]
PREDICTED = [0, 0, 1, 1, 2, 2]
CONFUSION = [[2, 1, 0], [0, 1, 1], [0, 0, 1]]


def one_hot(classes: list[int], num_classes: int = 3) -> NDArray[np.float64]:
    return np.eye(num_classes)[classes]


def paired(both: int, only_a: int, only_b: int, neither: int) -> tuple[list[bool], list[bool]]:
    """Two lists of right and wrong answers that form this 2x2 table."""
    a = [True] * (both + only_a) + [False] * (only_b + neither)
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return a, b


def test_confusion_matrix_has_the_truth_in_rows() -> None:
    matrix = accuracy.confusion_matrix(TRUTH, PREDICTED, 3)
    assert matrix.tolist() == CONFUSION


def test_confusion_matrix_of_no_photos_is_zero() -> None:
    assert accuracy.confusion_matrix([], [], 2).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("number", [-1, 3])
def test_confusion_matrix_refuses_a_class_that_does_not_exist(number: int) -> None:
    with pytest.raises(ValueError, match=r"expected 0\.\.2"):
        accuracy.confusion_matrix([0], [number], 3)


def test_per_class_scores_are_those_worked_out_by_hand() -> None:
    rows = accuracy.per_class(CONFUSION, LABELS)
    assert [(row.label, row.support) for row in rows] == [("daisy", 3), ("rose", 2), ("tulip", 1)]
    assert [row.precision for row in rows] == [1.0, 0.5, 0.5]
    assert [row.recall for row in rows] == pytest.approx([2 / 3, 0.5, 1.0])
    assert [row.f1 for row in rows] == pytest.approx([0.8, 0.5, 2 / 3])


def test_undefined_scores_are_none_and_not_nan() -> None:
    present, predicted_only, nowhere = accuracy.per_class([[0, 4, 0], [0, 0, 0], [0, 0, 0]])
    assert (present.precision, present.recall, present.f1) == (None, 0.0, 0.0)
    assert (predicted_only.precision, predicted_only.recall, predicted_only.f1) == (0.0, None, 0.0)
    assert (nowhere.precision, nowhere.recall, nowhere.f1, nowhere.support) == (None, None, None, 0)


def test_top_confusions_are_sorted_and_leave_out_right_answers() -> None:
    found = accuracy.top_confusions([[9, 1, 3], [0, 9, 0], [3, 2, 9]], LABELS, count=3)
    assert [(m.truth, m.predicted, m.count) for m in found] == [
        ("daisy", "tulip", 3),
        ("tulip", "daisy", 3),
        ("tulip", "rose", 2),
    ]


def test_top_confusions_of_equal_count_keep_the_order_of_the_labels() -> None:
    labels = [f"class {number}" for number in range(12)]
    found = accuracy.top_confusions(np.ones((12, 12), int), labels)
    assert [m.predicted for m in found] == labels[1:6]
    assert {m.truth for m in found} == {labels[0]}


def test_a_model_without_mistakes_has_no_top_confusions() -> None:
    assert accuracy.top_confusions([[3, 0], [0, 4]], LABELS) == ()


@pytest.mark.parametrize(
    ("table", "p_value"),
    [
        # 2 * (C(8,0) + C(8,1)) / 2^8 = 18/256
        pytest.param((1, 1, 7, 12), 0.0703125, id="one-against-seven"),
        pytest.param((14, 5, 0, 22), 0.0625, id="five-against-none"),
        pytest.param((10, 3, 3, 10), 1.0, id="even"),
        pytest.param((10, 0, 0, 10), 1.0, id="identical-answers"),
    ],
)
def test_mcnemar_is_the_exact_binomial(table: tuple[int, int, int, int], p_value: float) -> None:
    result = accuracy.mcnemar(*paired(*table))
    assert (result.only_a, result.only_b) == table[1:3]
    assert result.p_value == pytest.approx(p_value, rel=1e-12)


def test_mcnemar_stays_exact_for_thousands_of_photos() -> None:
    # z = (4100 - 3900 - 1)/√8000 with continuity correction: two-sided normal tail 0.026095
    z = (4100 - 3900 - 1) / math.sqrt(8000)
    assert accuracy.mcnemar(*paired(0, 4100, 3900, 0)).p_value == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-3)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        # Altman et al. 2000, Statistics with Confidence, p. 52: 0.122 (0.011 to 0.226), table 14 5 0 22
        pytest.param((14, 5, 0, 22), 0.0115, 0.2265, id="altman-positive-correlation"),
        # Fagerland et al. 2014, Statistics in Medicine 33:2850: -0.286 (-0.507 to -0.026), table 1 1 7 12
        pytest.param((1, 1, 7, 12), -0.5069, -0.0256, id="fagerland-correlation-within-the-correction"),
    ],
)
def test_paired_difference_gives_the_published_intervals(
    table: tuple[int, int, int, int], low: float, high: float
) -> None:
    result = accuracy.paired_difference(*paired(*table))
    assert result.difference == pytest.approx((table[1] - table[2]) / sum(table))
    assert (result.low, result.high) == pytest.approx((low, high), abs=5e-5)


def test_paired_difference_turns_round_with_its_arguments() -> None:
    a, b = paired(80, 9, 4, 7)
    forward, backward = accuracy.paired_difference(a, b), accuracy.paired_difference(b, a)
    assert (forward.low, forward.high) == pytest.approx((-backward.high, -backward.low))


def test_paired_difference_of_the_same_answers_is_nothing_but_keeps_its_doubt() -> None:
    result = accuracy.paired_difference([True] * 50, [True] * 50)
    assert result.difference == 0
    assert result.low < 0 < result.high


def test_paired_difference_of_no_photos_is_the_whole_range() -> None:
    assert accuracy.paired_difference([], []) == accuracy.PairedDifference(0.0, -1.0, 1.0)


def test_agreement_counts_equal_answers_right_or_wrong() -> None:
    assert accuracy.agreement([0, 1, 2, 2], [0, 1, 1, 2]) == 0.75


@pytest.mark.parametrize("function", [accuracy.mcnemar, accuracy.paired_difference, accuracy.agreement])
def test_paired_statistics_refuse_lists_of_different_length(function: object) -> None:
    assert callable(function)
    with pytest.raises(ValueError, match="expected"):
        function([1, 0], [1])


def test_score_gathers_one_evaluation() -> None:
    scores = accuracy.score(TRUTH, one_hot(PREDICTED), LABELS)
    assert scores.n == 6
    assert scores.top1 == pytest.approx(4 / 6)
    assert (scores.low, scores.high) == intervals.wilson_interval(4, 6)
    assert [list(row) for row in scores.confusion] == CONFUSION
    assert [row.label for row in scores.classes] == list(LABELS)
    assert scores.ece == pytest.approx(1 / 3)
    assert scores.top_confusions[0] == accuracy.Confusion("daisy", "rose", 1)


@pytest.mark.parametrize(
    ("truth", "probabilities", "message"),
    [
        pytest.param([0, 1], [[1, 0, 0]], "expected", id="one-answer-missing"),
        pytest.param([0], [[0.5, 0.5]], "2 probabilities a photo for 3 labels", id="one-class-missing"),
        pytest.param([], np.zeros((0, 3)), "n >= 1", id="no-photos"),
        pytest.param([3], [[1, 0, 0]], r"expected 0\.\.2", id="unknown-class"),
        pytest.param([-1], [[1, 0, 0]], r"expected 0\.\.2", id="negative-class"),
        pytest.param([0], [[math.nan, 0, 0]], "NaN", id="nan"),
    ],
)
def test_score_refuses_what_does_not_fit_together(truth: list[int], probabilities: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        accuracy.score(truth, np.asarray(probabilities, float), LABELS)


def test_scores_become_plain_json() -> None:
    scores = accuracy.score([0, 0], one_hot([0, 1]), LABELS)
    written = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert written["labels"] == list(LABELS)
    assert written["confusion"][0] == [1, 1, 0]
    assert written["classes"][2] == {"label": "tulip", "precision": None, "recall": None, "f1": None, "support": 0}
    assert written["top_confusions"] == [{"truth": "daisy", "predicted": "rose", "count": 1}]


def test_table_can_be_read_by_a_person() -> None:
    lines = accuracy.score(TRUTH, one_hot(PREDICTED), LABELS).table().splitlines()
    assert lines[0] == "top-1 66.7%, 95% interval 30.0% to 90.3% (6 photos)"
    assert "daisy     100.0%      66.7%      80.0%        3" in lines
    assert "1 daisy   2   1   0" in lines
    assert "     1  daisy -> rose" in lines


def test_table_columns_line_up() -> None:
    lines = accuracy.score(TRUTH, one_hot(PREDICTED), LABELS).table().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("class"))
    assert len({len(line) for line in lines[start : start + 4]}) == 1


def test_table_shows_an_undefined_score_as_a_dash() -> None:
    tulip = next(line for line in accuracy.score([0], one_hot([0]), LABELS).table().splitlines() if "tulip" in line)
    assert tulip.split() == ["tulip", "-", "-", "-", "0"]


def test_table_leaves_out_a_matrix_too_wide_for_a_terminal() -> None:
    labels = [f"class {number}" for number in range(accuracy.WIDEST_MATRIX + 1)]
    table = accuracy.score([0], one_hot([1], len(labels)), labels).table()
    assert "confusion matrix" not in table
    assert "class 0 -> class 1" in table


# A class "unknown"

TAUGHT = ("daisy", "unknown", "rose")
SAID = np.array([[0.3, 0.5, 0.2], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [0.0, 1.0, 0.0]])


def test_photos_and_column_of_unknown_are_left_out_of_the_accuracy() -> None:
    scores = accuracy.score([0, 0, 2, 2, 1], SAID, TAUGHT)
    assert (scores.n, scores.top1) == (4, 0.5)
    assert scores.labels == ("daisy", "rose")
    assert scores.confusion == ((1, 1), (1, 1))
    assert [one.label for one in scores.classes] == ["daisy", "rose"]
    assert {(one.truth, one.predicted) for one in scores.top_confusions} == {("daisy", "rose"), ("rose", "daisy")}


def test_calibration_is_that_of_what_is_shown_on_photos_of_known_classes() -> None:
    scores = accuracy.score([0, 0, 2, 2, 1], SAID, TAUGHT)
    assert scores.ece == calibration.expected_calibration_error(SAID[:4], [0, 0, 2, 2])
    assert scores.nll == calibration.nll(SAID[:4], [0, 0, 2, 2])


def test_a_rose_or_not_has_two_classes() -> None:
    scores = accuracy.score([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], ("rose", "unknown"))
    assert scores.labels == ("rose", "unknown")
    assert scores.confusion == ((1, 0), (1, 1))


def test_photos_of_unknown_alone_have_no_accuracy() -> None:
    with pytest.raises(ValueError, match='photos of the class "unknown" alone'):
        accuracy.score([1], SAID[:1], TAUGHT)
