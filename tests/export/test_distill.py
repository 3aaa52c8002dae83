"""A slim network learns from a trained one: from its answers alone, at its own size, and again after a break."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.distill import Distillation, distil
from export.slim import groups, most_important, slim, taylor
from tests.export import colours
from training.fit import predictor
from training.keras import keras, tf
from training.phase import Validation
from training.pipeline import normalise

PER_EPOCH = 12  # batches


@pytest.fixture(scope="module")
def teacher() -> Any:
    return colours.trained_network()


@pytest.fixture(scope="module")
def half(teacher: Any) -> Any:
    """Half of the teacher's channels, the important ones, with the head forgotten."""
    views, truth = colours.pictures(range(100, 116))
    targets = np.eye(len(colours.LABELS), dtype=np.float32)[truth]
    importance = taylor(teacher, [(normalise(views), targets)])
    pupil = slim(teacher, most_important(importance, {g.name: g.channels // 2 for g in groups(teacher)}))
    head = pupil.get_layer("evidence")
    head.set_weights([np.zeros_like(weight) for weight in head.get_weights()])
    return pupil


def batches(epoch: int) -> Any:
    """As training has them, with labels that are all wrong: a pupil must not look at them."""
    views, truth = colours.pictures(range(100, 100 + 4 * PER_EPOCH))
    order = np.random.default_rng(epoch).permutation(len(truth))
    wrong = np.eye(len(colours.LABELS), dtype=np.float32)[(truth[order] + 1) % len(colours.LABELS)]
    keep, weight = np.ones((len(truth), 8), np.float32), np.ones(len(truth), np.float32)
    return tf.data.Dataset.from_tensor_slices(((normalise(views[order]), keep), wrong, weight)).batch(12)


def taught(teacher: Any, half: Any, epochs: int, checkpoint: Path | None = None, size: int = colours.SIZE) -> Any:
    pupil = keras.models.clone_model(half, input_tensors=keras.Input((size, size, 3), name=half.layers[0].name))
    pupil.set_weights(half.get_weights())
    views, truth = colours.pictures(range(200, 208))
    seen = np.stack([view[:size, :size] for view in views])
    validation = Validation(lambda: predictor(pupil)(seen), truth)
    how = Distillation(epochs=epochs, steps=PER_EPOCH, rate=1e-2, average=0.5)
    history = distil(teacher, pupil, batches, how, validation, checkpoint=checkpoint)
    return pupil, history


@pytest.mark.parametrize("size", [colours.SIZE, 16], ids=["its own size", "smaller pictures"])
def test_a_pupil_answers_as_its_teacher_does(teacher: Any, half: Any, size: int) -> None:
    pupil, history = taught(teacher, half, 8, size=size)
    views, _ = colours.pictures(range(300, 320))
    expected = predictor(teacher)(views).argmax(axis=1)
    assert (predictor(half)(views).argmax(axis=1) == expected).mean() < 0.6
    assert (predictor(pupil)(views[:, :size, :size]).argmax(axis=1) == expected).mean() > 0.9
    assert [row["epoch"] for row in history] == list(range(1, 9))


def test_the_teacher_stays_as_it_is(teacher: Any, half: Any) -> None:
    before = teacher.get_weights()
    taught(teacher, half, 1)
    for old, new in zip(before, teacher.get_weights(), strict=True):
        assert (old == new).all()


def test_what_broke_off_is_gone_on_with(teacher: Any, half: Any, tmp_path: Path) -> None:
    taught(teacher, half, 2, tmp_path / "state.npz")
    _, history = taught(teacher, half, 3, tmp_path / "state.npz")
    assert [row["epoch"] for row in history] == [1, 2, 3]


def test_channels_that_matter_are_the_important_ones(teacher: Any) -> None:
    """Silence one channel of the stem: its importance is nothing."""
    mute = keras.models.clone_model(teacher)
    mute.set_weights(teacher.get_weights())
    gamma, beta, *statistics = mute.get_layer("stem_bn").get_weights()
    gamma[3] = beta[3] = 0
    mute.get_layer("stem_bn").set_weights([gamma, beta, *statistics])
    views, truth = colours.pictures(range(100, 108))
    importance = taylor(mute, [(normalise(views), np.eye(3, dtype=np.float32)[(truth + 1) % 3])])["stem"]
    assert importance[3] == 0
    assert (np.delete(importance, 3) > 0).sum() >= 4  # the rest of a dead ReLU aside
