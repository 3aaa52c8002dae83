"""The threshold for "unknown": what it keeps, and what pictures of other things change about it."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract.rejection import Rejection
from export.finishing.threshold import HALF_STEP, choose_rejection

KNOWN = np.array([0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9, 1.0, 1.0])


@pytest.mark.parametrize(("coverage", "threshold"), [(1.0, 0.3), (0.9, 0.5), (0.95, 0.3), (0.8, 0.6)])
def test_at_least_the_share_asked_for_is_kept(coverage: float, threshold: float) -> None:
    assert choose_rejection(KNOWN, None, coverage) == Rejection("probability", threshold - HALF_STEP, coverage)


def test_unknown_pictures_that_are_easily_told_leave_more_of_the_known() -> None:
    rule = choose_rejection(KNOWN, np.array([0.1, 0.2]), 0.8)
    assert rule.threshold == pytest.approx(0.25)  # between the surest of them and the least sure known photo
    assert (rule.threshold <= KNOWN).all()


def test_unknown_pictures_among_the_known_cost_none_that_was_rejected() -> None:
    unknown = np.array([0.2, 0.55, 0.95])
    rule = choose_rejection(KNOWN, unknown, 0.7)
    assert rule.threshold == pytest.approx(0.575)
    assert ((unknown < rule.threshold) == (unknown < 0.7)).all()


@pytest.mark.parametrize("unknown", [[0.9, 0.95], [0.8]], ids=["above", "at the threshold"])
def test_unknown_pictures_that_cannot_be_told_change_nothing(unknown: list[float]) -> None:
    assert choose_rejection(KNOWN, np.array(unknown), 0.6).threshold == 0.8 - HALF_STEP


def test_unknown_pictures_named_so_by_their_own_class_count_as_rejected() -> None:
    assert choose_rejection(KNOWN, np.array([-1.9]), 0.8).threshold == pytest.approx(0.15)
