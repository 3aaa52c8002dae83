"""What a decision says of itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.edge.fakes import decision, probabilities


@pytest.mark.parametrize(
    ("threshold", "shown"), [(None, "roses"), (0.75, "roses"), (0.8, "unknown")], ids=["none", "reached", "missed"]
)
def test_a_label_below_the_threshold_is_unknown(threshold: float | None, shown: str) -> None:
    assert decision((0.125, 0.75, 0.125), threshold=threshold).shown == shown


def test_a_person_reads_another_word_than_a_program() -> None:
    taught = decision((0.75, 0.0625, 0.1875), labels=("unknown", "roses", "tulips"))
    assert (taught.shown, taught.said) == ("unknown", "nothing known")
    assert (decision(threshold=0.9).shown, decision(threshold=0.9).said) == ("unknown", "nothing known")
    assert (decision().shown, decision().said) == ("roses", "roses")


def test_the_nearest_known_class_is_of_the_smoothed_answer() -> None:
    taught = decision((0.75, 0.0625, 0.1875), labels=("unknown", "roses", "tulips"))
    smoothed = replace(taught, probabilities=probabilities(0.5, 0.3125, 0.1875))
    assert smoothed.nearest == ("roses", 0.3125)
    assert decision((1.0,), labels=("unknown",)).nearest is None


def test_the_label_stays_known_to_those_who_ask_for_it() -> None:
    assert decision(threshold=0.9).label == "roses"


def test_top_is_ranked_and_ties_keep_the_order_of_the_labels() -> None:
    assert decision((0.25, 0.5, 0.25)).top(3) == [("roses", 0.5), ("daisy", 0.25), ("tulips", 0.25)]
    labels = tuple(f"class {number}" for number in range(1000))
    ties = decision([number % 2 / 500 for number in range(1000)], labels=labels).top(500)
    assert [label for label, _ in ties] == list(labels[1::2])
