"""A slim network learns from a trained one: from its answers and its maps alone, and again after a break."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import ModelError
from export.network.channels import groups, slim
from export.teaching.distill import Distillation, distil, logits_of, matched
from export.teaching.lessons import Course, Lessons, prepare
from tests.export import colours
from training.fitting.phase import Validation
from training.network import backbone
from training.network.inference import normalise, predict, predictor
from training.network.keras import keras

SMALL = 16  # pixels
BATCH, PHOTOS = 12, 96


@pytest.fixture(scope="module")
def lessons(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Lessons:
    """Two passes, without a label anywhere."""

    def batches(number: int) -> Iterator[Any]:
        views, _ = colours.pictures(range(100, 100 + PHOTOS // 3))
        order = np.random.default_rng(number).permutation(PHOTOS)
        for start in range(0, PHOTOS, BATCH):
            yield (normalise(views[order[start : start + BATCH]]), None), None, None

    return prepare(model, batches, Course((colours.SIZE, SMALL), 2, PHOTOS), tmp_path_factory.mktemp("lessons"))


def halved(model: Any, size: int = colours.SIZE) -> Any:
    """Half of the channels inside, the head forgotten and BatchNorm ready to learn."""
    inside = [group for group in groups(model) if len(group.convolutions) == 1]
    pupil = slim(model, {group.name: np.arange(group.channels // 2) for group in inside}, size)
    head = pupil.get_layer("evidence")
    head.set_weights([np.zeros_like(weight) for weight in head.get_weights()])
    return pupil


def taught(
    pupil: Any, lessons: Lessons, epochs: int, reference: Any = None, checkpoint: Path | None = None, *, turn: int = 0,
    **how: Any,
) -> list[dict[str, Any]]:  # fmt: skip
    size = int(pupil.input_shape[1])
    views, truth = colours.pictures(range(200, 208))
    truth = (truth + turn) % 3
    infer, seen = predictor(pupil), np.ascontiguousarray(views[:, :size, :size])
    asked = Distillation(epochs, **{"rate": 1e-2, "batch": BATCH, "average": 0.5, **how})
    return distil(pupil, lessons, asked, Validation(lambda: infer(seen), truth), reference, checkpoint=checkpoint)


def agreement(model: Any, pupil: Any) -> float:
    """Share of new pictures that get the same answer from both; the smaller pupil sees a corner of them."""
    views, _ = colours.pictures(range(300, 320))
    size = int(pupil.input_shape[1])
    found = predict(pupil, np.ascontiguousarray(views[:, :size, :size]))
    return float((found.argmax(axis=1) == predict(model, views).argmax(axis=1)).mean())


@pytest.mark.parametrize("size", [colours.SIZE, SMALL], ids=["its own size", "smaller pictures"])
def test_a_pupil_learns_to_answer_as_its_teacher(size: int, model: Any, lessons: Lessons) -> None:
    pupil = halved(model, size)
    assert agreement(model, pupil) < 0.5
    history = taught(pupil, lessons, 6)
    assert agreement(model, pupil) > 0.9
    assert [row["epoch"] for row in history] == list(range(1, 7))
    assert 0 < history[-1]["loss"] < 0.3 * history[0]["loss"]
    assert history[0]["accuracy"] < history[-1]["accuracy"] > 0.85  # agreement with the teacher, on the lessons


@pytest.fixture
def turned(lessons: Lessons, tmp_path: Path) -> Lessons:
    """The same pictures, with the answers of the class before."""
    for path in lessons.folder.glob("*.npy"):
        rows = np.load(path)
        np.save(tmp_path / path.name, rows[:, [1, 2, 0]] if path.stem == "answers" else rows)
    return Lessons(tmp_path, lessons.course)


def test_a_pupil_believes_its_teacher_whatever_is_true(model: Any, turned: Lessons) -> None:
    """A pupil that looked at anything else would stay right."""
    pupil = halved(model)
    taught(pupil, turned, 6, turn=-1)  # validation decides which epoch is kept
    views, truth = colours.pictures(range(300, 320))
    assert (predict(pupil, views).argmax(axis=1) == (truth - 1) % 3).mean() > 0.9


def mismatch(pupil: Any, reference: Any) -> float:
    """Share of the variance of the reference's map that the pupil's has not, on new pictures."""
    views, _ = colours.pictures(range(300, 308))
    found, wanted = (predict(keras.Model(net.input, net.get_layer("add").output), views) for net in (pupil, reference))
    return float(((found - wanted) ** 2).mean(axis=(0, 1, 2)).sum() / wanted.var(axis=(0, 1, 2)).sum())


def test_maps_come_nearer_to_the_reference_and_not_without_it(model: Any, lessons: Lessons) -> None:
    start, with_maps, without = halved(model), halved(model), halved(model)
    taught(with_maps, lessons, 6, model)
    taught(without, lessons, 6)
    assert mismatch(with_maps, model) < 0.5 * mismatch(start, model)
    assert mismatch(with_maps, model) < 0.5 * mismatch(without, model)
    assert agreement(model, with_maps) > 0.9


def test_matching_of_no_weight_is_no_matching(model: Any, lessons: Lessons) -> None:
    found = []
    for reference, weight in ((None, 1.0), (model, 0.0), (model, 1.0)):
        pupil = halved(model)
        taught(pupil, lessons, 1, reference, matching=weight)
        found.append(pupil.get_layer("project").get_weights()[0])
    assert found[1] == pytest.approx(found[0], abs=1e-5)
    assert np.abs(found[2] - found[0]).max() > 1e-3


def test_the_reference_and_the_lessons_stay_as_they_are(model: Any, lessons: Lessons) -> None:
    before, answers = model.get_weights(), np.load(lessons.folder / "answers.npy")
    taught(halved(model), lessons, 1, model)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert (old == new).all()
    assert (np.load(lessons.folder / "answers.npy") == answers).all()


def test_a_map_that_is_the_same_everywhere_breaks_nothing(model: Any, lessons: Lessons) -> None:
    flat = slim(model, {})
    for name in ("project_bn", "shortcut"):
        flat.get_layer(name).set_weights([np.zeros_like(weight) for weight in flat.get_layer(name).get_weights()])
    history = taught(halved(model), lessons, 1, flat, matching=1e-12)
    assert np.isfinite(history[0]["loss"])


def test_the_best_epoch_is_kept(model: Any, lessons: Lessons) -> None:
    """A rate that ruins the weights later on: the network is that of the row with the lowest loss."""
    pupil = halved(model)
    history = taught(pupil, lessons, 4, rate=0.3)
    views, truth = colours.pictures(range(200, 208))
    found = predict(pupil, views)
    loss = -np.log(np.clip(found[np.arange(len(truth)), truth], 1e-7, 1)).mean()
    assert loss == pytest.approx(min(row["val_loss"] for row in history), rel=1e-3)


def test_a_pupil_that_lessons_only_spoil_stays_as_it_was(model: Any, turned: Lessons, tmp_path: Path) -> None:
    pupil, checkpoint = slim(model, {}), tmp_path / "state.npz"
    history = taught(pupil, turned, 2, checkpoint=checkpoint)
    assert min(row["val_loss"] for row in history) > 0.5
    again = slim(model, {})
    again.set_weights([np.zeros_like(weight) for weight in again.get_weights()])
    assert taught(again, turned, 2, checkpoint=checkpoint) == history
    for network in (pupil, again):
        for found, wanted in zip(network.get_weights(), model.get_weights(), strict=True):
            assert (found == wanted).all()


def test_what_broke_off_is_gone_on_with(model: Any, lessons: Lessons, tmp_path: Path) -> None:
    class BrokenOff(Lessons):
        def batches(self, size: int, epoch: int, batch: int, seed: int) -> Any:
            if epoch == 2:
                raise KeyboardInterrupt
            return super().batches(size, epoch, batch, seed)

    checkpoint, broken, whole = tmp_path / "state.npz", halved(model), halved(model)
    expected = taught(whole, lessons, 4)
    with pytest.raises(KeyboardInterrupt):
        taught(broken, BrokenOff(lessons.folder, lessons.course), 4, checkpoint=checkpoint)
    again = halved(model)
    history = taught(again, lessons, 4, checkpoint=checkpoint)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert [row["loss"] for row in history] == [row["loss"] for row in expected]
    for found, wanted in zip(again.get_weights(), whole.get_weights(), strict=True):
        assert (found == wanted).all()


def test_the_seed_decides_what_is_dropped(model: Any, lessons: Lessons) -> None:
    """The lessons in one batch, so that their order cannot matter."""
    losses = [taught(halved(model), lessons, 2, batch=PHOTOS, seed=seed)[-1]["loss"] for seed in (1, 1, 2)]
    assert losses[0] == losses[1]
    assert losses[2] != pytest.approx(losses[0], rel=1e-4)


def test_what_is_done_is_not_done_again(model: Any, lessons: Lessons, tmp_path: Path) -> None:
    first, second = halved(model), halved(model)
    history = taught(first, lessons, 1, checkpoint=tmp_path / "state.npz")
    nothing = Lessons(tmp_path / "nowhere", lessons.course)
    assert taught(second, nothing, 1, checkpoint=tmp_path / "state.npz") == history
    for old, new in zip(first.get_weights(), second.get_weights(), strict=True):
        assert (old == new).all()


def test_a_checkpoint_of_another_network_is_refused(model: Any, lessons: Lessons, tmp_path: Path) -> None:
    taught(halved(model), lessons, 1, checkpoint=tmp_path / "state.npz")
    with pytest.raises(ModelError, match="the checkpoint is that of another network"):
        taught(slim(model, {}), lessons, 2, checkpoint=tmp_path / "state.npz")


def test_the_ends_of_all_blocks_are_matched() -> None:
    """The first block of a stage ends in a BatchNorm, the others in a sum."""
    model = backbone.build("mobilenet_v2", 0.35, 32, 3)
    sums = (2, 4, 5, 7, 8, 9, 11, 12, 14, 15)
    ends = {f"block_{n}_add" if n in sums else f"block_{n}_project_BN" for n in range(1, 17)}
    assert set(matched(model, model)) == {"expanded_conv_project_BN", *ends}


def test_only_maps_with_all_their_channels_are_matched(model: Any) -> None:
    assert matched(model, model) == ["project_bn", "add"]
    assert matched(halved(model), model) == ["project_bn", "add"]
    assert matched(slim(model, {"project": np.arange(8)}), model) == []


def test_mobilenet_v1_has_no_maps_to_match() -> None:
    model = backbone.build("mobilenet", 0.25, 32, 3)
    assert matched(model, model) == []


def test_logits_are_what_the_softmax_gets(model: Any) -> None:
    views, _ = colours.pictures(range(300, 304))
    powers = np.exp(predict(keras.Model(model.input, logits_of(model)), views))
    assert powers / powers.sum(axis=1, keepdims=True) == pytest.approx(predict(model, views), abs=1e-5)
