"""The sureties behind "unknown", and the rule that uses them."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract.rejection import SURETIES, Rejection, is_unknown, known_sureties, overridden, said, surety
from edge.errors import UsageError
from tests.edge.fakes import quantised


@pytest.mark.parametrize(
    ("name", "probabilities", "expected"),
    [
        ("probability", (0.7, 0.2, 0.1), 0.7),
        ("margin", (0.2, 0.7, 0.1), 0.5),
        ("margin", (0.4, 0.4, 0.2), 0.0),
        ("entropy", (0.25, 0.25, 0.25, 0.25), 0.0),
        ("entropy", (0.0, 1.0, 0.0), 1.0),
        ("entropy", (0.5, 0.5, 0.0, 0.0), 0.5),
    ],
)
def test_scores_by_hand(name: str, probabilities: tuple[float, ...], expected: float) -> None:
    assert surety(name, np.array(probabilities, np.float32)) == pytest.approx(expected)


@pytest.mark.parametrize("name", SURETIES)
def test_many_pictures_are_scored_at_once(name: str) -> None:
    probabilities = np.random.default_rng(1).dirichlet(np.ones(5), 20)
    together = surety(name, probabilities)
    assert together.shape == (20,)
    assert np.allclose(together, [surety(name, row) for row in probabilities])
    assert together.min() >= 0
    assert together.max() <= 1


@pytest.mark.parametrize("name", SURETIES)
def test_rounded_probabilities_keep_the_score_in_range(name: str) -> None:
    certain = np.array([255, 0, 0], np.float32) / 256  # what a uint8 softmax says at most
    assert 0.9 < surety(name, certain) <= 1


def test_one_word_for_programs_and_one_for_people() -> None:
    assert [said(label) for label in ("unknown", "roses", "Unknown")] == ["nothing known", "roses", "Unknown"]


@pytest.mark.parametrize(("threshold", "unknown"), [(0.5, False), (0.51, True), (0.0, False)])
def test_below_the_threshold_is_unknown(threshold: float, unknown: bool) -> None:
    assert is_unknown("a", np.array([0.5, 0.3, 0.2]), Rejection("probability", threshold)) is unknown


def test_a_margin_can_reject_what_a_probability_accepts() -> None:
    torn = np.array([0.5, 0.5, 0.0])
    assert not Rejection("probability", 0.4).rejects(torn)
    assert Rejection("margin", 0.4).rejects(torn)


def test_without_a_rule_nothing_is_unknown_but_a_class_of_that_name() -> None:
    assert not is_unknown("a", np.array([0.34, 0.33, 0.33]), None)
    assert is_unknown("unknown", np.array([0.9, 0.1]), None)


def test_a_threshold_by_hand_keeps_the_models_score() -> None:
    rule = Rejection("margin", 0.2, 0.95)
    assert overridden(rule, None) is rule
    assert overridden(rule, 0.6) == Rejection("margin", 0.6, None)
    assert overridden(None, 0.6) == Rejection("probability", 0.6, None)
    assert overridden(None, None) is None


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_an_impossible_threshold_is_a_usage_error(threshold: float) -> None:
    with pytest.raises(UsageError, match="expected a score from 0"):
        overridden(None, threshold)


@pytest.mark.parametrize("name", SURETIES)
def test_a_class_called_unknown_is_unknown_however_sure_it_is(name: str) -> None:
    labels = ("rose", "unknown", "tulip")
    probabilities = quantised(5, 80)
    scores = known_sureties(name, probabilities, labels)
    for threshold in (0.0, 0.4, 1.0):
        rule = Rejection(name, threshold)
        named = [is_unknown(labels[one.argmax()], one, rule) for one in probabilities]
        assert (scores < threshold).tolist() == named


def test_the_surer_the_class_unknown_the_lower_the_score() -> None:
    unsure, sure = known_sureties("probability", [[0.4, 0.6], [0.1, 0.9]], ("rose", "unknown"))
    assert sure < unsure < 0


def test_without_such_a_class_the_scores_are_the_plain_ones() -> None:
    probabilities = quantised(6, 9)
    assert known_sureties("margin", probabilities, ("a", "b", "c")).tolist() == surety("margin", probabilities).tolist()
