"""The residual: what it is, that it is built into the graph as computed by hand, and that it costs no right answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.model.interpreter import Interpreter
from export.graph import edit
from export.graph.asking import answers
from export.graph.metadata import About
from export.graph.residual import (
    FLOOR,
    STRENGTH,
    Raise,
    Subspace,
    divide_by_residual,
    features_of,
    has_features,
    raise_unknown,
    subspace,
)
from export.quantising import convert
from tests.export import colours, elsewhere
from training.network.keras import keras

KINDS = ("float32", "dynamic_range", "int8")


@pytest.fixture(scope="module")
def views() -> NDArray[np.uint8]:
    return colours.pictures(range(200, 220))[0]


def squared_residual(features: NDArray[np.float32], usual: Subspace) -> NDArray[np.float64]:
    centred = features.astype(np.float64) - usual.mean
    within = centred @ usual.directions.T.astype(np.float64)
    squares = ((centred**2).sum(axis=1) - (within**2).sum(axis=1)) / usual.typical
    return np.asarray(np.maximum(squares, FLOOR), np.float64)


def test_features_in_a_plane_have_no_residual_and_those_beside_it_have() -> None:
    draws = np.random.default_rng(1)
    plane = np.zeros((200, 12), np.float32)
    plane[:, :2] = draws.normal(0, 5, (200, 2))
    seen = plane + draws.normal(0, 0.1, plane.shape).astype(np.float32)
    usual = subspace(seen)
    assert usual is not None
    assert usual.components == 3  # a quarter of the features
    assert squared_residual(seen, usual).mean() == pytest.approx(1, abs=0.1)
    beside = seen + 3 * np.eye(12, dtype=np.float32)[8]
    assert squared_residual(beside, usual).min() > 20


@pytest.mark.parametrize("shape", [(9, 40), (200, 3)], ids=["few photos", "few features"])
def test_too_little_to_learn_from_gives_no_subspace(shape: tuple[int, int]) -> None:
    assert subspace(np.random.default_rng(1).normal(size=shape).astype(np.float32)) is None


def test_features_that_never_vary_give_no_subspace() -> None:
    assert subspace(np.ones((100, 40), np.float32)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_divides_the_logits_as_computed_by_hand(
    kind: str, flatbuffers: dict[str, bytes], views: NDArray[np.uint8]
) -> None:
    flatbuffer = flatbuffers[kind]
    features = answers(features_of(flatbuffer), views)
    assert features.shape == (len(views), 16)
    usual = subspace(features)
    assert usual is not None
    plain, divided = (answers(edit.logits(one), views) for one in (flatbuffer, divide_by_residual(flatbuffer, usual)))
    by_hand = plain / np.sqrt(squared_residual(features, usual))[:, None]
    assert divided == pytest.approx(by_hand, rel=4e-3, abs=4e-3)
    assert not np.allclose(divided, plain, rtol=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_changes_and_probabilities_add_up(
    kind: str, flatbuffers: dict[str, bytes], views: NDArray[np.uint8]
) -> None:
    flatbuffer = flatbuffers[kind]
    usual = subspace(answers(features_of(flatbuffer), views))
    assert usual is not None
    divided = divide_by_residual(flatbuffer, usual)
    before, after = (answers(one, views) for one in (flatbuffer, divided))
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
    assert after.sum(axis=1) == pytest.approx(1, abs=0.01)
    assert Interpreter(divided, kind).output_quantization == Interpreter(flatbuffer, kind).output_quantization


def test_a_strange_picture_is_answered_with_more_doubt(flatbuffers: dict[str, bytes], views: NDArray[np.uint8]) -> None:
    flatbuffer = flatbuffers["int8"]
    usual = subspace(answers(features_of(flatbuffer), views))
    assert usual is not None
    stripes = np.zeros((1, colours.SIZE, colours.SIZE, 3), np.uint8)
    stripes[:, :, ::2] = (255, 0, 255)
    before, after = (
        answers(edit.logits(one), stripes)[0] for one in (flatbuffer, divide_by_residual(flatbuffer, usual))
    )
    assert np.ptp(after) < 0.8 * np.ptp(before)


def test_evidence_and_temperature_are_still_found(flatbuffers: dict[str, bytes], views: NDArray[np.uint8]) -> None:
    usual = subspace(answers(features_of(flatbuffers["int8"]), views))
    assert usual is not None
    flatbuffer = edit.set_temperature(divide_by_residual(flatbuffers["int8"], usual), 0.5)
    assert colours.temperature_of(flatbuffer) == pytest.approx(0.5)
    about = About("m", "a test", "1", "nobody", "CC0")
    finished = Interpreter(edit.finish(flatbuffer, colours.LABELS, about, has_evidence=True), "m")
    finished(views[0])
    evidence = finished.evidence()
    assert evidence is not None
    assert evidence.shape == (8, 8, 3)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_fully_connected_head_has_a_residual_too(kind: str, model: Any, views: NDArray[np.uint8]) -> None:
    network = elsewhere.hidden(model)
    flatbuffer = convert.convert_float(network) if kind == "float32" else convert.convert_int8(network, views)
    features = answers(features_of(flatbuffer), views)
    before_last = keras.Model(network.input, network.get_layer("deep").output)
    assert features == pytest.approx(before_last(views / 127.5 - 1.0).numpy(), abs=0.2)
    usual = subspace(features)
    assert usual is not None
    plain, divided = (answers(edit.logits(one), views) for one in (flatbuffer, divide_by_residual(flatbuffer, usual)))
    assert divided == pytest.approx(plain / np.sqrt(squared_residual(features, usual))[:, None], rel=4e-3, abs=4e-3)


def test_a_flattened_map_is_no_pooled_features() -> None:
    picture = keras.Input((32, 32, 3))
    x = keras.layers.Flatten()(keras.layers.Conv2D(3, 1)(picture))  # 3072 wide
    flatbuffer = convert.convert_float(keras.Model(picture, keras.layers.Dense(2, "softmax")(x)))
    assert not has_features(flatbuffer)
    with pytest.raises(ModelError, match="no pooled features before the softmax"):
        features_of(flatbuffer)


@pytest.mark.parametrize("kind", KINDS)
def test_the_class_unknown_gains_with_strangeness_and_the_classes_stay_as_they_are(
    kind: str, flatbuffers: dict[str, bytes], views: NDArray[np.uint8]
) -> None:
    flatbuffer = flatbuffers[kind]
    features = answers(features_of(flatbuffer), views)
    usual = subspace(features)
    assert usual is not None
    how = Raise(1, least=float(np.median(answers(edit.logits(flatbuffer), views)[:, 1])), offset=-0.5)
    files = flatbuffer, raise_unknown(flatbuffer, usual, how)
    plain, raised = (answers(edit.logits(one), views) for one in files)
    by_hand = np.maximum(plain[:, 1], how.least) + STRENGTH * np.log(squared_residual(features, usual)) - 0.5
    assert raised[:, 1] == pytest.approx(by_hand, rel=4e-3, abs=4e-3)
    assert how.of(plain[:, 1].astype(np.float64), squared_residual(features, usual)) == pytest.approx(by_hand)
    assert raised[:, [0, 2]] == pytest.approx(plain[:, [0, 2]], abs=1e-5)
    assert usual.strangeness(features) == pytest.approx(squared_residual(features, usual))
