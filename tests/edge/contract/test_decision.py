"""What a decision says of itself."""

from __future__ import annotations

import pytest

from tests.edge.fakes import decision


@pytest.mark.parametrize(
    ("threshold", "shown"), [(None, "roses"), (0.75, "roses"), (0.8, "unknown")], ids=["none", "reached", "missed"]
)
def test_a_label_below_the_threshold_is_unknown(threshold: float | None, shown: str) -> None:
    assert decision((0.125, 0.75, 0.125), threshold=threshold).shown == shown


def test_the_label_stays_known_to_those_who_ask_for_it() -> None:
    assert decision(threshold=0.9).label == "roses"


def test_top_is_ranked_and_ties_keep_the_order_of_the_labels() -> None:
    assert decision((0.25, 0.5, 0.25)).top(3) == [("roses", 0.5), ("daisy", 0.25), ("tulips", 0.25)]
    labels = tuple(f"class {number}" for number in range(1000))
    ties = decision([number % 2 / 500 for number in range(1000)], labels=labels).top(500)
    assert [label for label, _ in ties] == list(labels[1::2])
