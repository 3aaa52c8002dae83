"""Shares, ratios and percentiles, with what they are worth: published examples, and values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edge.base import intervals
from edge.base.intervals import ratio


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
        pytest.param(81, 263, 0.2553, 0.3662, id="newcombe-81-of-263"),
        pytest.param(15, 148, 0.0624, 0.1605, id="newcombe-15-of-148"),
        pytest.param(0, 20, 0.0, 0.1611, id="newcombe-0-of-20"),
        pytest.param(1, 29, 0.0061, 0.1718, id="newcombe-1-of-29"),
        pytest.param(20, 20, 0.8389, 1.0, id="all-of-20-mirrors-none"),
    ],
)
def test_wilson_interval_gives_the_published_values(hits: int, n: int, low: float, high: float) -> None:
    assert intervals.wilson_interval(hits, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_ends_exactly_at_the_edges() -> None:
    assert intervals.wilson_interval(0, 7)[0] == 0.0
    assert intervals.wilson_interval(7, 7)[1] == 1.0


def test_wilson_interval_of_no_photos_is_the_whole_range() -> None:
    assert intervals.wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("hits", "n"), [(3, 2), (-1, 2)])
def test_wilson_interval_refuses_impossible_counts(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match="expected 0 <= hits <= n"):
        intervals.wilson_interval(hits, n)


def test_percentiles_of_a_hundred_and_one_numbers_are_those_numbers() -> None:
    assert intervals.percentiles(range(101)) == intervals.Percentiles(p50=50.0, p95=95.0, p99=99.0)


def test_percentiles_refuse_no_measurements() -> None:
    with pytest.raises(ValueError, match="at least one"):
        intervals.percentiles([])


def test_an_interval_reads_as_a_share() -> None:
    assert intervals.Interval(0.5, 0.25, 0.754).percent() == "50.0% (95% interval 25.0% to 75.4%)"


def test_a_ratio_is_the_median_over_rounds_with_an_interval_around_it() -> None:
    draws = np.random.default_rng(1)
    busy = draws.choice([1.0, 3.0], 200)  # moments that slow both models alike
    found = ratio(4.0 * busy * draws.normal(1, 0.05, 200), 2.0 * busy * draws.normal(1, 0.05, 200))
    assert found.value == pytest.approx(2.0, rel=0.02)
    assert 1.9 < found.low < found.value < found.high < 2.1
