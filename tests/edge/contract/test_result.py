"""One answer: ranked, compared, and unknown below its threshold."""

from __future__ import annotations

import numpy as np
import pytest

from edge import Result
from edge.contract.rejection import overridden


def result(*probabilities: float, threshold: float | None = None) -> Result:
    return Result(("a", "b", "c"), np.array(probabilities, np.float32), 0.25, 3.0, overridden(None, threshold))


def test_a_result_is_ranked_best_first_and_ties_keep_their_order() -> None:
    assert [label for label, _ in result(0.25, 0.5, 0.25).top(3)] == ["b", "a", "c"]
    assert result(0.25, 0.5, 0.25).top(1) == [("b", 0.5)]
    assert len(result(0.25, 0.5, 0.25).top(9)) == 3


@pytest.mark.parametrize(("threshold", "shown"), [(None, "b"), (0.5, "b"), (0.51, "unknown")])
def test_the_answer_is_unknown_only_below_the_threshold(threshold: float | None, shown: str) -> None:
    assert result(0.25, 0.5, 0.25, threshold=threshold).shown == shown


def test_results_can_be_compared() -> None:
    one, other = result(0.25, 0.5, 0.25), result(0.25, 0.5, 0.25)
    assert one != other  # two answers, though equal in value: arrays inside must not make this raise
