"""A stand-in is taken for the classifier that it stands for."""

from __future__ import annotations

import pytest

from edge.contract.result import PictureClassifier
from edge.errors import ModelError
from edge.live.stand_in import StandIn
from tests.edge.fakes import FakeClassifier, picture, result


class Doubtful(FakeClassifier):
    name, labels, size = "doubtful.tflite", ("oak", "elm"), 48
    remarks = ("its labels are a guess",)
    manifest_sha256 = "5a"

    def require_right_answers(self) -> None:
        raise ModelError("wrong here")


def test_everything_is_asked_of_the_one_that_it_stands_for() -> None:
    answer = result(0.4, 0.6, labels=("oak", "elm"))
    stand_in: PictureClassifier = StandIn(Doubtful(lambda frame_bgr: answer))
    assert (stand_in.name, stand_in.labels, stand_in.size) == ("doubtful.tflite", ("oak", "elm"), 48)
    assert (stand_in.remarks, stand_in.manifest_sha256) == (("its labels are a guess",), "5a")
    assert stand_in(picture(90)) is answer
    with pytest.raises(ModelError, match="wrong here"):
        stand_in.require_right_answers()
