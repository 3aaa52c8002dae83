"""Two models paired photo by photo over what both know."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge.evaluation.comparison import compare
from edge.evaluation.known import over_known

TRUTH = [0, 0, 1, 1, 2]
PLAIN = over_known(TRUTH[:4], np.eye(2)[[0, 0, 1, 0]], ("daisy", "rose"))  # the last one is wrong


def with_unknown(*named: int) -> np.ndarray:
    """Answers that are surest of "unknown", and of known classes of these."""
    return np.column_stack([0.3 * np.eye(2)[list(named)], np.full(len(named), 0.7)])


def test_models_with_and_without_unknown_are_paired_over_known_classes() -> None:
    other = over_known(TRUTH, with_unknown(0, 1, 1, 1, 0), ("daisy", "rose", "unknown"))
    found = compare(other, PLAIN)
    assert found.agreement == 0.5
    assert found.difference.difference == 0.0
    assert (found.mcnemar.only_a, found.mcnemar.only_b) == (1, 1)
    assert json.loads(json.dumps(found.to_json()))["mcnemar"] == {"only_a": 1, "only_b": 1, "p_value": 1.0}


def test_the_line_says_who_gains() -> None:
    better = over_known(TRUTH[:4], np.eye(2)[[0, 0, 1, 1]], ("daisy", "rose"))
    line = compare(better, PLAIN).text("b.tflite", "a.tflite")
    assert line.startswith("b.tflite against a.tflite: +25.0 points (95 % interval ")
    assert line.endswith("same answer on 75.0%; right where the other is wrong: 1 against 0 photos, McNemar p = 1")


def test_other_classes_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="expected the same in the same order"):
        compare(PLAIN, over_known([0], [[1.0, 0.0]], ("rose", "daisy")))
