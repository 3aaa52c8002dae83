"""The calibration error with what it is worth: by hand, against the plain formula, and on drawn photos."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from edge.evaluation import calibration

Photos = tuple[NDArray[np.float64], NDArray[np.bool_]]


def photos(seed: int, n: int, too_sure: float = 0.0) -> Photos:
    """Confidences from 0.25 to 1 and whether they were right; a model too sure of itself by `too_sure`."""
    generator = np.random.default_rng(seed)
    confidence = 0.25 + 0.75 * generator.beta(6, 0.6, n)
    return confidence, generator.random(n) < confidence - too_sure


def error(confidence: ArrayLike, is_right: ArrayLike) -> float:
    """Without its interval."""
    return calibration.error_interval(confidence, is_right, draws=1).value


def answers(seed: int, n: int, classes: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities (n, classes) and truth (n,)."""
    generator = np.random.default_rng(seed)
    return generator.dirichlet(np.full(classes, 0.5), n), generator.integers(classes, size=n)


def test_the_error_is_that_of_the_probabilities() -> None:
    probabilities, truth = answers(1, 300, 5)
    confidence, is_right = calibration.confidences(probabilities, truth)
    found = calibration.expected_calibration_error(probabilities, truth)
    assert error(confidence, is_right) == pytest.approx(found, abs=1e-12)


def test_the_interval_holds_the_estimate_and_repeats_itself() -> None:
    confidence, is_right = photos(2, 500, too_sure=0.1)
    found = calibration.error_interval(confidence, is_right, draws=300)
    assert found.value == error(confidence, is_right)
    assert 0 < found.low < found.value < found.high < 0.2
    assert found == calibration.error_interval(confidence, is_right, draws=300)
    assert found != calibration.error_interval(confidence, is_right, draws=300, seed=1)


def test_the_interval_takes_off_what_chance_adds() -> None:
    """Over 60 samples of a true error of 0.03 nearly all intervals hold it, although the estimates lie above it."""
    true = error(*photos(3, 1_000_000, too_sure=0.03))
    found = [calibration.error_interval(*photos(seed, 200, too_sure=0.03), draws=200) for seed in range(60)]
    assert np.mean([one.value for one in found]) > true + 0.01
    assert sum(one.low <= true <= one.high for one in found) >= 51


def test_more_photos_make_the_interval_narrower() -> None:
    few, many = (calibration.error_interval(*photos(4, n, too_sure=0.1), draws=200) for n in (200, 3200))
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_no_interval_goes_below_nothing() -> None:
    assert astuple(calibration.error_interval([1.0] * 9, [True] * 9, draws=50)) == (0.0, 0.0, 0.0)
    assert calibration.error_interval(*photos(5, 300), draws=200).low == 0.0


def test_a_change_is_paired_by_photo() -> None:
    """Two models too sure on every photo, one by 0.1 more: what luck does to one it does to the other."""
    is_right = np.arange(400) % 4 > 0
    change = calibration.error_change((np.full(400, 0.95), is_right), (np.full(400, 0.85), is_right), draws=200)
    assert astuple(change) == pytest.approx((-0.1, -0.1, -0.1))
    assert calibration.error_interval(np.full(400, 0.95), is_right, draws=200).low < 0.19


def test_a_change_for_the_better_is_below_nothing() -> None:
    confidence, is_right = photos(7, 600, too_sure=0.1)
    after = np.maximum(confidence - 0.1, 0), is_right
    found = calibration.error_change((confidence, is_right), after, draws=300)
    assert found.low < found.value < found.high < 0


def test_a_change_is_of_the_same_photos() -> None:
    with pytest.raises(ValueError, match="2 photos before, 1 after; expected the same ones"):
        calibration.error_change(([0.5, 0.6], [True, False]), ([0.5], [True]))


def test_luck_is_the_error_of_a_perfect_model() -> None:
    confidence, _ = photos(8, 300)
    mean, high = calibration.luck(confidence, draws=300)
    errors = [error(*photos(seed, 300)) for seed in range(300)]
    assert mean == pytest.approx(np.mean(errors), abs=0.002)
    assert high == pytest.approx(np.quantile(errors, 0.95), abs=0.005)


def test_certain_answers_leave_nothing_to_luck() -> None:
    assert calibration.luck([1.0] * 20, draws=20) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("confidence", "is_right", "message"),
    [
        pytest.param([], [], "n >= 1", id="no photos"),
        pytest.param([0.5, 0.6], [True], "twice", id="lists of different length"),
        pytest.param([[0.5, 0.5]], [[True, False]], "twice", id="probabilities instead"),
        pytest.param([90.0], [True], r"0\.\.1", id="percent"),
        pytest.param([float("nan")], [True], r"0\.\.1", id="nan"),
    ],
)
def test_what_makes_no_sense_is_refused(confidence: list[float], is_right: list[bool], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        error(confidence, is_right)


def test_calibration_error_is_the_weighted_gap_of_the_bins() -> None:
    # two bins of ten: 0.85 and 0.89, both right -> gap 0.13; 0.65 right and 0.61 wrong -> gap 0.13
    probabilities = [[0.85, 0.15], [0.89, 0.11], [0.65, 0.35], [0.61, 0.39]]
    low, high = calibration.reliability(probabilities, [0, 0, 0, 1], bins=10)
    assert low == pytest.approx((0.63, 0.5, 2))
    assert high == pytest.approx((0.87, 1.0, 2))
    assert calibration.expected_calibration_error(probabilities, [0, 0, 0, 1], bins=10) == pytest.approx(0.13)


def test_calibration_error_knows_the_two_extremes() -> None:
    assert calibration.expected_calibration_error(np.eye(3)[[0, 1]], [0, 1]) == 0.0
    assert calibration.expected_calibration_error(np.eye(3)[[0, 1]], [1, 0]) == 1.0


def test_a_confidence_on_a_bin_edge_belongs_to_the_lower_bin() -> None:
    # 0.5 lies in (0, 0.5], 0.75 in (0.5, 1]
    assert len(calibration.reliability([[0.5, 0.5], [0.75, 0.25]], [0, 0], bins=2)) == 2


def test_nll_is_the_mean_log_of_the_true_class() -> None:
    assert calibration.nll([[0.5, 0.5], [0.75, 0.25]], [0, 1]) == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_nll_of_a_quantised_zero_is_bounded_by_its_floor() -> None:
    assert calibration.nll([[1.0, 0.0]], [1], floor=1 / 512) == pytest.approx(math.log(512))
