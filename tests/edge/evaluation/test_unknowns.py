"""Known against unknown: each figure against a count by hand or by brute force, ties included."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from edge.base import intervals
from edge.contract.rejection import SURETIES, Rejection, surety
from edge.evaluation import unknowns
from edge.evaluation.unknowns import auroc, fpr_at_coverage, risk_coverage, threshold_for
from tests.edge.fakes import quantised


def steps(values: list[int]) -> list[float]:
    """Probabilities as an int8 file gives them."""
    return [value / 256 for value in values]


# The threshold


@pytest.mark.parametrize(
    ("known", "coverage", "expected"),
    [
        pytest.param([1, 2, 3, 4, 5], 1.0, 1, id="all are kept"),
        pytest.param([1, 2, 3, 4, 5], 0.8, 2, id="exactly the share asked for"),
        pytest.param([1, 2, 3, 4, 5], 0.79, 2, id="never less than asked"),
        pytest.param([1, 2, 3, 4, 5], 0.01, 5, id="at least one is kept"),
        pytest.param([5, 1, 4, 2, 3], 0.6, 3, id="in any order"),
        pytest.param([1, 5, 5, 5, 5], 0.2, 5, id="a tie at the top is kept whole"),
        pytest.param([1, 2, 2, 2, 5], 0.4, 2, id="a tie in the middle is kept whole"),
        pytest.param([255] * 9 + [254], 0.95, 254, id="the last photo counts"),
        pytest.param(list(range(1, 101)), 0.07, 94, id="seven of a hundred are seven"),
    ],
)
def test_threshold_keeps_the_share_asked_for(known: list[int], coverage: float, expected: int) -> None:
    assert threshold_for(steps(known), coverage) == expected / 256


@pytest.mark.parametrize("name", SURETIES)
@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.95, 0.99, 1.0])
def test_no_greater_threshold_keeps_as_much(name: str, coverage: float) -> None:
    known = surety(name, quantised(3, 211))
    threshold = threshold_for(known, coverage)
    assert (known >= threshold).mean() >= coverage
    assert (known >= np.nextafter(threshold, 2)).mean() < coverage


@pytest.mark.parametrize("name", SURETIES)
def test_threshold_keeps_on_the_device_what_it_kept_here(name: str) -> None:
    probabilities = quantised(4, 120)
    known = surety(name, probabilities)
    rule = Rejection(name, threshold_for(known, 0.9))
    assert [not rule.rejects(one) for one in probabilities] == (known >= rule.threshold).tolist()


def test_no_threshold_brings_back_what_the_class_unknown_took() -> None:
    assert threshold_for([0.9, 0.8, -1.7, -1.9], 0.95) == 0.0


@pytest.mark.parametrize(
    ("known", "coverage", "message"),
    [
        pytest.param([], 0.95, "n >= 1", id="no photos"),
        pytest.param([0.5, np.nan], 0.95, "finite", id="nan"),
        pytest.param([[0.5]], 0.95, r"expected \(n,\)", id="a table"),
        pytest.param([0.5], 0.0, "above 0, up to 1", id="nothing kept"),
        pytest.param([0.5], 95, "above 0, up to 1", id="percent"),
    ],
)
def test_threshold_refuses_what_makes_no_sense(known: list[float], coverage: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        threshold_for(known, coverage)


# Known against unknown


@pytest.mark.parametrize(
    ("known", "unknown", "expected"),
    [
        pytest.param([3, 4], [1, 2], 1.0, id="apart"),
        pytest.param([1, 2], [3, 4], 0.0, id="the wrong way round"),
        pytest.param([5, 5], [5, 5, 5], 0.5, id="all tied"),
        pytest.param([1, 2, 3], [2], 0.5, id="one tie in the middle"),
        # 6 pairs: 3>1, 3>2, 2>1, 1<2 and two ties (2, 2), (1, 1): 3 wins and 2 halves
        pytest.param([3, 2, 1], [1, 2], 4 / 6, id="by hand"),
    ],
)
def test_auroc_counts_pairs(known: list[int], unknown: list[int], expected: float) -> None:
    assert auroc(steps(known), steps(unknown)) == expected


def test_auroc_is_that_of_every_pair_compared() -> None:
    known, unknown = quantised(1, 90).max(axis=1), quantised(2, 70).max(axis=1)
    wins = [(a > b) + (a == b) / 2 for a, b in product(known, unknown)]
    assert len(set(known)) < len(known)
    assert auroc(known, unknown) == pytest.approx(np.mean(wins), abs=1e-12)


@pytest.mark.parametrize(
    ("known", "unknown", "coverage", "expected"),
    [
        pytest.param(list(range(1, 21)), [1, 2, 3, 4], 0.95, 0.75, id="one of twenty may go"),
        pytest.param(list(range(1, 21)), [1, 2, 3, 4], 1.0, 1.0, id="none may go"),
        pytest.param([9] * 20, [9, 8], 0.5, 0.5, id="a tie is accepted on both sides"),
        pytest.param(list(range(1, 21)), [0], 0.95, 0.0, id="apart"),
    ],
)
def test_false_positives_at_a_coverage(known: list[int], unknown: list[int], coverage: float, expected: float) -> None:
    assert fpr_at_coverage(steps(known), steps(unknown), coverage) == expected


# Risk and coverage


def test_risk_and_coverage_are_those_worked_out_by_hand() -> None:
    # surest first: right, wrong, then two tied (right, wrong), right
    curve = risk_coverage([0.9, 0.8, 0.6, 0.6, 0.5], [True, False, True, False, True])
    assert curve.coverage == pytest.approx([0.2, 0.4, 0.8, 1.0])
    assert curve.risk == pytest.approx([0, 1 / 2, 2 / 4, 2 / 5])
    assert curve.area == pytest.approx((0 + 1 / 2 + 1.5 / 3 + 2 / 4 + 2 / 5) / 5)


def test_the_area_is_the_mean_over_all_orders_of_a_tie() -> None:
    generator = np.random.default_rng(7)
    confidence, is_right = np.array([0.9, 0.7, 0.7, 0.7, 0.7, 0.2]), np.array([1, 0, 1, 1, 0, 1], bool)

    def area_of_one_order() -> float:
        order = np.lexsort((generator.random(6), -confidence))
        return float((np.cumsum(~is_right[order]) / np.arange(1, 7)).mean())

    mean = np.mean([area_of_one_order() for _ in range(4000)])
    assert risk_coverage(confidence, is_right).area == pytest.approx(mean, abs=0.005)


def test_the_order_of_the_photos_does_not_matter() -> None:
    confidence = quantised(8, 60).max(axis=1)
    is_right = np.random.default_rng(9).random(60) < confidence
    order = np.random.default_rng(10).permutation(60)
    one, other = risk_coverage(confidence, is_right), risk_coverage(confidence[order], is_right[order])
    assert (one.risk == other.risk).all()
    assert one.area == other.area


@pytest.mark.parametrize(("is_right", "area"), [(True, 0.0), (False, 1.0)], ids=["always right", "always wrong"])
def test_risk_knows_the_two_extremes(is_right: bool, area: float) -> None:
    curve = risk_coverage([0.3, 0.6, 0.9], [is_right] * 3)
    assert (curve.area, set(curve.risk)) == (area, {area})
    assert curve.coverage[-1] == 1.0


def test_risk_refuses_lists_of_different_length() -> None:
    with pytest.raises(ValueError, match="twice"):
        risk_coverage([0.5, 0.6], [True])


# Summaries


def test_answered_counts_what_was_kept_and_what_of_it_is_right() -> None:
    found = unknowns.coverage_of([False, False, False, True], [True, True, False, True])
    assert (found.photos, found.coverage.value) == (4, 0.75)
    assert (found.coverage.low, found.coverage.high) == intervals.wilson_interval(3, 4)
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(2 / 3)
    assert (found.accuracy.low, found.accuracy.high) == intervals.wilson_interval(2, 3)


def test_a_model_that_answers_nothing_has_no_accuracy() -> None:
    found = unknowns.coverage_of([True, True], [True, False])
    assert (found.coverage.value, found.accuracy) == (0.0, None)


def test_detected_gathers_the_figures_of_the_unknown() -> None:
    found = unknowns.detected([True, True, False], [0.9, 0.8, 0.7], [0.1, 0.2, 0.8])
    assert found.called_unknown is not None
    assert found.pictures == 3
    assert found.called_unknown.value == pytest.approx(2 / 3)
    assert found.auroc == pytest.approx((3 + 3 + 1.5) / 9)
    assert found.fpr_at_95 == pytest.approx(1 / 3)
    assert unknowns.detected(None, [0.9], [0.1]).called_unknown is None
