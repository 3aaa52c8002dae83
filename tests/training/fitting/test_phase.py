"""One phase of training, on a head of a few numbers: rate, average, validation, patience, history, resumption."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import ModelError, UsageError
from edge.model.interpreter import softmax
from training.fitting.checkpoint import Reached, State, load_state
from training.fitting.phase import (
    AveragedModel,
    Phase,
    Validation,
    WarmCosine,
    averaged_model,
    cross_entropy,
    prepare,
    run_phase,
)
from training.network.backbone import head_model
from training.network.keras import keras, tf

CHANNELS, CLASSES, BATCH, STEPS = 6, 3, 4, 5
TRUTH = np.array([0, 1, 2, 0])


def phase(**changes: Any) -> Phase:
    settings: dict[str, Any] = {
        "name": "head", "epochs": 4, "rate": 0.05, "steps": STEPS, "weight_decay": 0.01, "label_smoothing": 0.1,
        "average": 0.9, "patience": 9,
    }  # fmt: skip
    return Phase(**settings | changes)


def empty() -> State:
    return State(Reached(), [], [], [], [])


def ready(how: Phase) -> AveragedModel:
    """A fresh head, always with the same weights."""
    model = averaged_model(head_model(CHANNELS, CLASSES))
    prepare(model, how)
    return model


def batches(epoch: int) -> Any:
    """An epoch of random features; each epoch has its own."""
    draws = np.random.default_rng([7, epoch])
    features = draws.normal(size=(STEPS * BATCH, CHANNELS)).astype(np.float32)
    targets = np.eye(CLASSES, dtype=np.float32)[draws.integers(CLASSES, size=STEPS * BATCH)]
    data = tf.data.Dataset.from_tensor_slices(
        ((features, np.ones_like(features)), targets, np.ones(len(targets), np.float32))
    )
    return data.batch(BATCH)


def confident(right: float) -> Any:
    """Probabilities (4, 3) that give `right` to the truth."""
    table = np.full((len(TRUTH), CLASSES), (1 - right) / (CLASSES - 1), np.float32)
    table[np.arange(len(TRUTH)), TRUTH] = right
    return table


def scripted(*rights: float) -> Validation:
    """A validation whose answers are known beforehand, one for each epoch."""
    answers = iter(rights)
    return Validation(lambda: confident(next(answers)), TRUTH)


STEADY = Validation(lambda: confident(0.5), TRUTH)


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.25), (1, 0.5), (3, 1.0), (5, 0.853553), (7, 0.5), (11, 0.0), (50, 0.0)],
    ids=["first", "second", "peak", "falling", "middle", "last", "beyond"],
)
def test_rate_warms_up_and_falls_along_a_cosine(step: int, rate: float) -> None:
    assert float(WarmCosine(1.0, warm=4, total=12)(step)) == pytest.approx(rate, abs=1e-6)


def test_rate_of_a_single_epoch_stays_finite() -> None:
    rates = [float(WarmCosine(1.0, warm=3, total=3)(step)) for step in range(3)]
    assert all(math.isfinite(rate) for rate in rates)


def test_average_follows_its_formula() -> None:
    model = ready(phase(average=0.3))  # the first two steps use less
    expected = [value.astype(np.float64) for value in model.get_weights()]
    for step, ((features, keep), targets, weights) in enumerate(batches(0), 1):
        model.train_on_batch([features, keep], targets, sample_weight=weights)
        momentum = min(0.3, (1 + step) / (10 + step))
        expected = [
            momentum * mean + (1 - momentum) * value for mean, value in zip(expected, model.get_weights(), strict=True)
        ]
    for wanted, found in zip(expected, model.average(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_average_is_no_weight_of_the_model() -> None:
    assert len(ready(phase()).weights) == 2  # kernel and bias


def test_only_kernels_decay() -> None:
    model = ready(phase(weight_decay=0.5, average=0.0))
    model.set_weights([np.ones((CHANNELS, CLASSES), np.float32), np.ones(CLASSES, np.float32)])
    features = np.ones((BATCH, CHANNELS), np.float32)
    nothing = np.zeros(BATCH, np.float32)  # no photo counts, so there is no gradient
    model.train_on_batch([features, features], np.eye(CLASSES, dtype=np.float32)[[0] * BATCH], sample_weight=nothing)
    kernel, bias = model.get_weights()
    assert (kernel < 1).all()
    assert (bias == 1).all()


def test_validation_sees_the_averaged_weights() -> None:
    model, seen = ready(phase(epochs=2)), []

    def look() -> Any:
        seen.append(([value.copy() for value in model.get_weights()], model.average()))
        return confident(0.5)

    state = empty()
    run_phase(model, phase(epochs=2), batches, Validation(look, TRUTH), state, None)
    assert len(seen) == 2
    for weights, average in seen:
        for one, other in zip(weights, average, strict=True):
            np.testing.assert_array_equal(one, other)
    for kept, raw in zip(state.weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, raw)  # the weights as trained are back after validation
    assert (state.weights[0] != state.average[0]).any()


def test_patience_ends_the_phase_and_the_best_epoch_is_kept(tmp_path: Path) -> None:
    how, averages = phase(epochs=9, patience=2), []
    model = ready(how)
    answers = iter([0.4, 0.8, 0.7, 0.6, 0.9])

    def look() -> Any:
        averages.append(model.average())
        return confident(next(answers))

    state = empty()
    run_phase(model, how, batches, Validation(look, TRUTH), state, tmp_path / "state.npz")
    assert [row["epoch"] for row in state.reached.history] == [1, 2, 3, 4]
    assert state.reached.best_epoch == 2
    assert state.reached.best_loss == min(row["val_loss"] for row in state.reached.history)
    for kept, average in zip(state.best, averages[1], strict=True):
        np.testing.assert_array_equal(kept, average)


def test_patience_that_is_over_stays_over_when_resumed() -> None:
    how, state = phase(epochs=9, patience=2), empty()
    run_phase(ready(how), how, batches, scripted(0.8, 0.7, 0.6), state, None)
    run_phase(ready(how), how, batches, scripted(), state, None)
    assert len(state.reached.history) == 3


def test_history_tells_what_was_measured() -> None:
    how, state, seconds = phase(epochs=2), empty(), iter([10.0, 12.5, 20.0, 21.0])
    state.reached.history.append({"phase": "before"})
    run_phase(ready(how), how, batches, STEADY, state, None, clock=lambda: next(seconds))
    before, first, second = state.reached.history
    assert before == {"phase": "before"}
    assert list(first) == [
        "phase", "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"
    ]  # fmt: skip
    assert (first["phase"], first["epoch"], first["seconds"], second["seconds"]) == ("head", 1, 2.5, 1.0)
    assert first["val_loss"] == pytest.approx(cross_entropy(confident(0.5), TRUTH, 0.1))
    assert first["val_accuracy"] == 1.0
    assert first["learning_rate"] == pytest.approx(0.05)  # at the end of the warm-up
    assert second["learning_rate"] == 0.0
    assert math.isfinite(first["loss"])


def test_progress_counts_the_steps_of_all_epochs() -> None:
    how, calls = phase(epochs=2), list[tuple[int, int, str]]()
    run_phase(ready(how), how, batches, STEADY, empty(), None, lambda *call: calls.append(call))
    assert [done for done, _, _ in calls] == list(range(1, 2 * STEPS + 1))
    assert {total for _, total, _ in calls} == {2 * STEPS}
    assert calls[0][2].startswith("epoch 1/2  loss ")
    assert calls[-1][2].startswith("epoch 2/2  validation 100.0%  loss ")


@pytest.fixture(params=["float32", "mixed_float16"])
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    """What the network computes in; the second one scales the loss, which belongs to the state as well."""
    keras.mixed_precision.set_global_policy(request.param)
    yield request.param
    keras.mixed_precision.set_global_policy("float32")


def test_phase_that_was_broken_off_ends_as_if_it_had_not_been(tmp_path: Path, precision: str) -> None:
    assert ("LossScale" in type(ready(phase()).optimizer).__name__) is (precision == "mixed_float16")
    how, validation = phase(), scripted(0.4, 0.8, 0.7, 0.6)
    whole = empty()
    run_phase(ready(how), how, batches, validation, whole, None)

    def broken_off(epoch: int) -> Any:
        if epoch == 2:
            raise KeyboardInterrupt
        return batches(epoch)

    with pytest.raises(KeyboardInterrupt):
        run_phase(ready(how), how, broken_off, scripted(0.4, 0.8), empty(), tmp_path / "state.npz")
    resumed = load_state(tmp_path / "state.npz")
    assert resumed is not None
    keras.utils.set_random_seed(99)  # nothing may hang on a generator
    run_phase(ready(how), how, batches, scripted(0.7, 0.6), resumed, tmp_path / "state.npz")
    for group in ("weights", "average", "best", "optimizer"):
        for one, other in zip(getattr(whole, group), getattr(resumed, group), strict=True):
            np.testing.assert_array_equal(one, other, err_msg=group)
    for one_row, other_row in zip(whole.reached.history, resumed.reached.history, strict=True):
        assert one_row | {"seconds": 0} == other_row | {"seconds": 0}
    assert resumed.reached.best_epoch == whole.reached.best_epoch == 2


def test_loss_that_is_no_number_is_told_in_one_line(tmp_path: Path) -> None:
    broken = Validation(lambda: np.full((4, CLASSES), np.nan, np.float32), TRUTH)
    with pytest.raises(UsageError, match=r"head: the validation loss is nan, expected a number; .*--rate"):
        run_phase(ready(phase()), phase(), batches, broken, empty(), tmp_path / "state.npz")
    assert not (tmp_path / "state.npz").exists()


def lose_a_tensor(state: State) -> None:
    state.optimizer.pop()


def change_a_shape(state: State) -> None:
    state.weights[0] = state.weights[0][:-1]


@pytest.mark.parametrize("spoil", [lose_a_tensor, change_a_shape])
def test_checkpoint_of_another_network_is_told_in_one_line(spoil: Callable[[State], None]) -> None:
    how, state = phase(epochs=1), empty()
    run_phase(ready(how), how, batches, STEADY, state, None)
    spoil(state)
    with pytest.raises(ModelError, match=r"the checkpoint is that of another network than config\.json asks for"):
        run_phase(ready(how), how, batches, STEADY, state, None)


def test_cross_entropy_is_that_of_training() -> None:
    probabilities = softmax(np.random.default_rng(1).normal(size=(4, CLASSES)))
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    expected = float(loss(np.eye(CLASSES, dtype=np.float32)[TRUTH], probabilities))
    assert cross_entropy(probabilities, TRUTH, 0.1) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_of_a_certain_mistake_is_finite() -> None:
    assert math.isfinite(cross_entropy(np.eye(CLASSES)[[1, 2, 0, 1]], TRUTH, 0.0))
