"""What answers are worth: asked once of every model, counted by hand."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from edge.contract.rejection import Rejection
from edge.contract.result import Result
from edge.evaluation.evaluation import Answers, ask, evaluate
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
    assert found.sha256s == {"rose192", "tulip128"}
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
