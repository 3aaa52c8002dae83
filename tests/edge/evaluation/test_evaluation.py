"""What answers are worth: asked once of every model, counted by hand."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from edge.contract.rejection import Rejection
from edge.contract.result import Result
from edge.evaluation.evaluation import OF_CLASS, Answers, Asked, ask, comparisons, evaluate, measure
from edge.evaluation.held_out import Read
from tests.edge.fakes import FakeClassifier

LABELS = ("rose", "tulip")


class Brightness(FakeClassifier):
    """Says "rose" with the probability that the first pixel holds, and counts how often it is asked."""

    name, labels, size = "brightness", LABELS, 1

    def __init__(self, rejection: Rejection | None = None) -> None:
        self.rejection = rejection
        self.asked = 0

    def __call__(self, frame_bgr: NDArray[np.uint8]) -> Result:
        self.asked += 1
        rose = float(frame_bgr[0, 0, 0]) / 256
        return Result(self.labels, np.array([rose, 1 - rose], np.float32), 0.0, 0.0, self.rejection)


def read(label: str, brightness: int) -> Read:
    return Read(label, f"{label}{brightness}", np.full((1, 1, 3), brightness, np.uint8))


def answers(roses: list[float], rejection: Rejection | None = None, labels: tuple[str, ...] = LABELS) -> Answers:
    return Answers(labels, np.array([[rose, 1 - rose] for rose in roses], np.float32), rejection)


def test_every_model_is_asked_once_of_each_picture() -> None:
    models = [Brightness(), Brightness(Rejection("probability", 0.8))]
    found = ask(models, iter([read("rose", 192), read("tulip", 128)]))
    assert [model.asked for model in models] == [2, 2]
    assert found.labels == ("rose", "tulip")
    assert found.sha256s == ("rose192", "tulip128")
    plain, rejecting = found.answers
    assert plain.probabilities.tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert plain.is_unknown.tolist() == [False, False]
    assert rejecting.is_unknown.tolist() == [True, True]
    assert (plain.can_reject, rejecting.can_reject) == (False, True)


def test_scores_are_those_of_the_models_own_rule() -> None:
    assert answers([0.75]).sureties.tolist() == [0.75]
    assert answers([0.75], Rejection("margin", 0.3)).sureties.tolist() == [0.5]
    assert answers([0.25], labels=("rose", "unknown")).sureties.tolist() == [-1.75]


def test_photos_of_a_class_unknown_alone_leave_nothing_to_cover() -> None:
    found = evaluate(np.array([1, 1]), answers([0.2, 0.9], labels=("rose", "unknown")), answers([0.5]))
    assert found.answered is None
    assert found.unknown is None
    assert found.unknown_class is not None
    assert found.unknown_class.value == 0.5


def test_a_model_that_answers_nothing_says_so() -> None:
    found = evaluate(np.array([0, 1]), answers([0.6, 0.5], Rejection("margin", 0.9)))
    assert found.answered is not None
    assert found.answered.accuracy is None
    assert "  right among those        none was answered" in found.text().splitlines()
    assert '"unknown" is the answer when the margin is below 0.900' in found.text().splitlines()


def test_an_evaluation_is_plain_json() -> None:
    rule = Rejection("entropy", 0.2, 0.95)
    found = evaluate(np.array([0, 1]), answers([0.9, 0.2], rule), answers([0.5, 0.6], rule))
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert written["rejection"] == {"score": "entropy", "threshold": 0.2, "coverage": 0.95}
    assert written["answered"]["coverage"]["value"] == 1.0
    assert written["unknown"]["called_unknown"]["value"] == 1.0
    assert written["unknown"]["auroc"] == 1.0


# With and without a class "unknown"

PLAIN = np.array([[0.9, 0.1], [0.25, 0.75], [0.75, 0.25], [0.875, 0.125]], np.float32)
TAUGHT = np.array([[0.5, 0.25, 0.25], [0.25, 0.375, 0.375], [0.25, 0.125, 0.625], [0.0, 0.0, 1.0]], np.float32)
PHOTOS = ("rose", "tulip", "tulip", "unknown")


def asked(labels: tuple[str, ...] = PHOTOS, sha256s: tuple[str, ...] = ("a", "b", "c", "d")) -> Asked:
    """Two models, of which the second has a class "unknown"."""
    rows = len(labels)
    plain, taught = Answers(LABELS, PLAIN[-rows:], None), Answers((*LABELS, "unknown"), TAUGHT[-rows:], None)
    return Asked(labels, sha256s, (plain, taught))


def test_photos_of_a_class_unknown_are_other_things_for_a_model_without_it() -> None:
    plain, taught = measure(asked())
    assert [(one.scores.n, one.scores.labels) for one in (plain, taught)] == [(3, LABELS)] * 2
    assert (plain.scores.top1, taught.scores.top1) == (2 / 3, 2 / 3)
    assert plain.unknown is not None
    assert (plain.unknown.pictures, plain.unknown.called_unknown, plain.unknown_class) == (1, None, None)
    assert taught.unknown is None
    assert taught.unknown_class is not None
    assert taught.unknown_class.value == 1.0
    assert [[row.name for row in one.others] for one in (plain, taught)] == [[OF_CLASS]] * 2
    assert [one.others[0].named.value for one in (plain, taught)] == [1.0, 0.0]


def test_models_that_differ_by_unknown_are_compared_over_the_known_photos() -> None:
    (found,) = comparisons(asked())
    assert (found.agreement, found.mcnemar.only_a, found.mcnemar.only_b) == (1.0, 0, 0)


def test_folders_of_other_things_stand_by_themselves_and_together() -> None:
    first, second = asked(("unknown",) * 2, ("x", "y")), asked(("unknown",) * 3, ("z", "x", "y"))
    plain, taught = measure(asked(), [("one", first), ("two", second)])
    for found in (plain, taught):
        assert [(row.name, row.pictures) for row in found.others] == [("one", 2), ("two", 3), (OF_CLASS, 1)]
        assert found.pooled is not None
        assert found.unknown is not None
        assert found.pooled.pictures == found.unknown.pictures == 3  # two of them lie in both
    assert "  the folders together" in plain.text()
    assert "together" not in measure(asked(), [("one", first)])[0].text()
    written = json.loads(json.dumps(taught.to_json(), allow_nan=False))
    assert [row["name"] for row in written["others"]] == ["one", "two", OF_CLASS]
    assert written["others_pooled"]["pictures"] == 3


def test_a_known_photo_that_is_called_unknown_is_told_beside_the_accuracy() -> None:
    _, taught = measure(asked())
    assert taught.answered is not None
    assert (taught.answered.photos, taught.answered.coverage.value) == (3, 2 / 3)
    assert '"unknown" is the answer of its class alone: this model has no threshold' in taught.text()
