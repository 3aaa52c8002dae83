"""A model file as a function from a frame to an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import Classifier
from edge.contract.rejection import Rejection
from edge.errors import ModelError, PhotoError, UsageError
from edge.model.classifier import introduction
from edge.picture.geometry import model_input
from edge.verbs.opening import open_classifier
from tests.edge.fakes import one_line
from tests.edge.model import tiny


class Ticks:
    """A clock that moves on by 1, 2, 3 ... milliseconds."""

    def __init__(self) -> None:
        self.now_ms, self.step = 0, 0

    def __call__(self) -> float:
        self.step += 1
        self.now_ms += self.step
        return self.now_ms / 1e3


@pytest.mark.parametrize("colour", tiny.LABELS)
def test_three_lines_name_what_is_on_a_frame(colour: str, model: Path) -> None:
    classify = Classifier(model)
    found = classify(tiny.plain(colour, (64, 48)))
    assert found.label == colour
    assert found.probability == pytest.approx(255 / 256)
    assert found.probabilities.shape == (3,)
    assert not found.is_unknown
    assert found.latency_ms > 0


def test_a_frame_goes_through_the_geometry_of_the_card(model: Path) -> None:
    frame = np.random.default_rng(2).integers(0, 256, (50, 90, 3), np.uint8)
    frame[:, :20] = 0  # outside the centre square
    expected = tiny.expected(model_input(frame, tiny.SIZE))
    np.testing.assert_allclose(Classifier(model)(frame).probabilities, expected, atol=1.01 / 256)


def test_the_two_stages_are_timed_one_after_the_other(model: Path) -> None:
    found = Classifier(model, clock=Ticks())(tiny.plain("red"))
    assert (found.geometry_ms, found.invoke_ms) == pytest.approx((2, 3))
    assert found.latency_ms == pytest.approx(5)


def test_a_classifier_says_what_it_is(model: Path) -> None:
    classify = Classifier(str(model))
    assert (classify.name, classify.labels, classify.size) == ("colours.tflite", tiny.LABELS, tiny.SIZE)
    assert classify.card is not None
    assert classify.card.variant == "int8"


@pytest.mark.parametrize(
    ("in_card", "given", "used"), [(None, None, None), (0.25, None, 0.25), (0.25, 0.75, 0.75), (0.25, 0.0, 0.0)]
)
def test_a_threshold_that_is_given_beats_the_cards(
    in_card: float | None, given: float | None, used: float | None, tmp_path: Path
) -> None:
    path = tiny.write_model(
        tmp_path / "m.tflite", rejection=None if in_card is None else Rejection("margin", in_card, 0.95)
    )
    classify = Classifier(path, threshold=given)
    assert getattr(classify.rejection, "threshold", None) == used
    assert classify(tiny.plain("red")).rejection == classify.rejection


@pytest.mark.parametrize("threshold", [2.0, -0.1, float("nan")])
def test_an_impossible_threshold_is_refused(threshold: float, model: Path) -> None:
    with pytest.raises(UsageError, match=rf"^--threshold {threshold}: expected a score from 0 .never unknown. to 1$"):
        Classifier(model, threshold=threshold)


def test_a_grey_frame_is_unknown_below_the_threshold(model: Path) -> None:
    grey = np.full((40, 40, 3), 128, np.uint8)
    found = Classifier(model, threshold=0.5)(grey)
    assert found.is_unknown
    assert found.shown == "unknown"
    assert found.label in tiny.LABELS


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        pytest.param(None, "the frame is NoneType; expected BGR uint8", id="a failed read"),
        pytest.param(np.zeros((40, 40), np.uint8), r"the frame is \[40, 40\] uint8; expected", id="greyscale"),
        pytest.param(np.zeros((40, 40, 4), np.uint8), r"the frame is \[40, 40, 4\] uint8", id="alpha"),
        pytest.param(np.zeros((40, 40, 3)), r"the frame is \[40, 40, 3\] float64", id="float"),
        pytest.param(np.zeros((0, 40, 3), np.uint8), r"the frame is \[0, 40, 3\]; expected at least", id="no pixels"),
    ],
)
def test_what_is_no_frame_is_one_line(frame: Any, message: str, model: Path) -> None:
    with pytest.raises(PhotoError, match=message) as caught:
        Classifier(model)(frame)
    one_line(caught)


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        pytest.param(
            tiny.flatbuffer((1, 16, 16, 3)),
            {},
            "the model is 16 px with 3 outputs, its card says 32 px with 3 labels; export it again",
            id="other size",
        ),
        pytest.param(
            tiny.flatbuffer(),
            {"labels": ("red", "green")},
            "the model is 32 px with 3 outputs, its card says 32 px with 2 labels; export it again",
            id="other number of labels",
        ),
        pytest.param(tiny.flatbuffer((1, 32, 24, 3)), {}, "its input is [1, 32, 24, 3] uint8", id="wrong input shape"),
    ],
)
def test_a_model_that_its_card_does_not_fit_is_one_line(
    content: bytes, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tiny.write_model(tmp_path / "m.tflite", content, **changes)
    with pytest.raises(ModelError) as caught:
        Classifier(path)
    assert one_line(caught).startswith(f"{path}: {message}")


def test_without_a_model_it_is_the_bundled_one(bundled: Path) -> None:
    for classify in (Classifier(), Classifier(threads=1, threshold=0.5), open_classifier(None, threads=1)):
        assert (classify.name, classify(tiny.plain("green")).label) == (bundled.name, "green")


def test_a_missing_bundled_model_is_one_line(no_bundled: str) -> None:
    with pytest.raises(ModelError) as caught:
        Classifier()
    assert one_line(caught) == no_bundled


def test_the_introduction_says_what_the_card_says(bundled: Path, tmp_path: Path) -> None:
    line = "no model named: the bundled colours.tflite knows red, green, blue; "
    assert introduction(Classifier()) == f"{line}top-1 90.0% of 100 held-out photos"
    unmeasured = Classifier(tiny.write_model(tmp_path / "colours.tflite", accuracy=None))
    assert introduction(unmeasured) == f"{line}accuracy not measured"
