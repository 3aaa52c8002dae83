"""Photos and column of a class "unknown" are left out, wherever it stands, and only where two classes remain."""

from __future__ import annotations

import numpy as np

from edge.evaluation.known import known_labels, over_known

LABELS = ("daisy", "unknown", "rose")
ANSWERS = np.array([[0.3, 0.5, 0.2], [0.0, 1.0, 0.0], [0.1, 0.2, 0.7], [0.6, 0.1, 0.3]])


def test_the_answer_is_the_most_probable_known_class() -> None:
    found = over_known([0, 1, 2, 2], ANSWERS, LABELS)
    assert found.labels == ("daisy", "rose")
    assert found.photos.tolist() == [True, False, True, True]
    assert found.truth.tolist() == [0, 1, 1]
    assert found.probabilities.tolist() == [[0.3, 0.2], [0.1, 0.7], [0.6, 0.3]]
    assert found.named.tolist() == [0, 1, 0]
    assert found.is_right.tolist() == [True, True, False]


def test_without_a_class_unknown_nothing_is_left_out() -> None:
    found = over_known([0, 1, 2, 2], ANSWERS, ("daisy", "tulip", "rose"))
    assert found.photos.all()
    assert found.truth.tolist() == [0, 1, 2, 2]
    assert found.probabilities.tolist() == ANSWERS.tolist()


def test_beside_one_class_unknown_is_a_class() -> None:
    assert known_labels(("rose", "unknown")) == ("rose", "unknown")
    assert known_labels(LABELS) == ("daisy", "rose")
    assert over_known([1, 0], ANSWERS[:2, :2], ("rose", "unknown")).is_right.tolist() == [True, False]
