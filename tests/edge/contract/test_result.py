"""One answer: ranked, compared, and unknown below its threshold."""

from __future__ import annotations

import numpy as np
import pytest

from edge import Result
from edge.contract.rejection import NOTHING_KNOWN, overridden
from edge.contract.result import headline, nearest_known, nearest_of, nearest_record
from tests.edge import fakes

WITH_OTHERS = ("unknown", "roses", "tulips")  # the first is a class of other things


def result(*probabilities: float, threshold: float | None = None) -> Result:
    return Result(("a", "b", "c"), np.array(probabilities, np.float32), 0.25, 3.0, overridden(None, threshold))


def test_a_result_is_ranked_best_first_and_ties_keep_their_order() -> None:
    assert [label for label, _ in result(0.25, 0.5, 0.25).top(3)] == ["b", "a", "c"]
    assert result(0.25, 0.5, 0.25).top(1) == [("b", 0.5)]
    assert len(result(0.25, 0.5, 0.25).top(9)) == 3


@pytest.mark.parametrize(("threshold", "shown"), [(None, "b"), (0.5, "b"), (0.51, "unknown")])
def test_the_answer_is_unknown_only_below_the_threshold(threshold: float | None, shown: str) -> None:
    assert result(0.25, 0.5, 0.25, threshold=threshold).shown == shown


@pytest.mark.parametrize(("threshold", "said"), [(None, "b"), (0.51, "nothing known")])
def test_a_person_is_told_that_nothing_is_known(threshold: float | None, said: str) -> None:
    assert NOTHING_KNOWN == "nothing known"
    assert result(0.25, 0.5, 0.25, threshold=threshold).said == said


def test_the_nearest_is_the_most_probable_class_that_is_known() -> None:
    assert result(0.25, 0.5, 0.25).nearest == ("b", 0.5)
    assert fakes.result(0.75, 0.0625, 0.1875, labels=WITH_OTHERS).nearest == ("tulips", 0.1875)
    assert nearest_known(("unknown",), fakes.probabilities(1.0)) is None


def test_a_line_for_a_person_has_the_nearest_beside_what_is_not_known() -> None:
    assert headline(result(0.25, 0.5, 0.25)) == "b 0.50"
    assert headline(result(0.25, 0.5, 0.25, threshold=0.9)) == "nothing known (nearest: b 0.50)"
    taught = fakes.result(0.75, 0.0625, 0.1875, labels=WITH_OTHERS)
    assert headline(taught) == "nothing known (nearest: tulips 0.19)"
    assert headline(fakes.result(1.0, labels=("unknown",))) == "nothing known"


def test_only_an_unknown_answer_names_the_nearest() -> None:
    known, unknown = result(0.25, 0.5, 0.25), result(0.25, 0.5, 0.25, threshold=0.9)
    assert (nearest_of(known), nearest_of(unknown)) == ("", "nearest: b 0.50")
    assert nearest_record(known) == {}
    assert nearest_record(unknown) == {"nearest": {"label": "b", "probability": 0.5}}
    assert nearest_record(fakes.result(1.0, labels=("unknown",))) == {}


def test_results_can_be_compared() -> None:
    one, other = result(0.25, 0.5, 0.25), result(0.25, 0.5, 0.25)
    assert one != other  # two answers, though equal in value: arrays inside must not make this raise
