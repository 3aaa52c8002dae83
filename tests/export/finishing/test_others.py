"""What the card says of "none of these", counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract.rejection import Rejection
from edge.photos.manifest import Photo, Split
from export.finishing.others import as_long, learned_from, source_of, told_apart

LABELS = ("daisy", "rose", "unknown")
RULE = Rejection("probability", 0.5, 0.95)


def photo(label: str, split: Split, root: str = "") -> Photo:
    return Photo("a.jpg", "0" * 64, label, split, 24, 16, root)


def test_what_was_learned_from_are_training_pictures_by_their_folder() -> None:
    photos = [
        photo("daisy", "train"), photo("unknown", "train", "/pictures/things"), photo("unknown", "train"),
        photo("unknown", "train", "made"), photo("unknown", "train", "made"),
        photo("unknown", "test", "/pictures/more"),
    ]  # fmt: skip
    found = learned_from(photos)
    assert (found.pictures, found.made, found.sources) == (2, 2, ("things", "unknown"))
    assert source_of(photos[-1]) == "more"
    assert learned_from(photos[:1]) == learned_from([])


def test_shares_are_counted_by_the_rule_and_by_the_class() -> None:
    known = np.array([[0.9, 0.05, 0.05], [0.1, 0.85, 0.05], [0.45, 0.45, 0.1], [0.2, 0.1, 0.7]], np.float32)
    things = np.array([[0.02, 0.02, 0.96], [0.95, 0.03, 0.02], [0.6, 0.1, 0.3], [0.4, 0.3, 0.3]], np.float32)
    share, rows = told_apart(LABELS, RULE, known, {"things": things, "walls": things[:1]})
    assert (share.value, share.pictures) == (0.5, 4)
    assert [(row.name, row.named.value, row.named_surely.value, row.named.pictures) for row in rows] == [
        ("things", 0.5, 0.25, 4), ("walls", 0.0, 0.0, 1),
    ]  # fmt: skip
    assert rows[1].auroc == 1.0
    assert rows[0].named.low < 0.5 < rows[0].named.high


def test_without_pictures_of_other_things_nothing_is_said_of_them() -> None:
    assert told_apart(LABELS, RULE, np.array([[0.9, 0.05, 0.05]], np.float32), {})[1] == ()


def test_a_stand_in_has_a_row_for_each_folder() -> None:
    assert [row.name for row in as_long([photo("daisy", "train")], ["a", "b"]).measured] == ["a", "b"]


@pytest.mark.parametrize("probability", [0.89, 0.91])
def test_surely_is_from_nine_tenths_on(probability: float) -> None:
    answers = np.array([[probability, 1 - probability, 0.0]], np.float32)
    _, rows = told_apart(LABELS, RULE, answers, {"things": answers})
    assert rows[0].named_surely.value == (probability >= 0.9)
