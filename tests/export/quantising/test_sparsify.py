from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edge.errors import UsageError
from export.quantising import convert
from export.quantising.sparsify import Pruning, is_prunable, prune, sparsity_of
from tests.export import colours
from training.network import backbone
from training.network.inference import normalise, predict
from training.network.keras import keras, tf

SPARSITY = 0.75
PRUNED_LAYERS = {"expand", "project", "shortcut"}
HOW = Pruning(SPARSITY, epochs=2, steps=5, rate=1e-3, label_smoothing=0.1, seed=3)


def batches(epoch: int, steps: int = HOW.steps) -> Any:
    """As training's: ((pictures, keep), one-hot, weight)."""
    views, truth = colours.pictures(range(200 + 10 * epoch, 200 + 10 * epoch + 2 * steps))
    rows = ((normalise(views), np.ones((len(views), 16), np.float32)), np.eye(3, dtype=np.float32)[truth])
    return tf.data.Dataset.from_tensor_slices((*rows, np.ones(len(views), np.float32))).batch(6)


@pytest.fixture(scope="module")
def dense_weights(model: Any) -> list[Any]:
    return [array.copy() for array in model.get_weights()]


@pytest.fixture(scope="module")
def pruned(model: Any, dense_weights: list[Any]) -> Any:
    return prune(model, batches, HOW)


def test_every_pruned_layer_reaches_the_sparsity(pruned: Any) -> None:
    by_layer = sparsity_of(pruned).by_layer
    for name in PRUNED_LAYERS:
        assert by_layer[name] == pytest.approx(SPARSITY, abs=0.01), name


def test_stem_depthwise_and_head_stay_dense(pruned: Any) -> None:
    by_layer = sparsity_of(pruned).by_layer
    assert {name: share for name, share in by_layer.items() if name not in PRUNED_LAYERS} == {
        "stem": 0,
        "depthwise": 0,
        "evidence": 0,
    }


def test_given_network_stays_as_it_was(model: Any, dense_weights: list[Any], pruned: Any) -> None:
    for before, after in zip(dense_weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert not set(map(id, model.layers)) & set(map(id, pruned.layers))


def test_pruned_network_is_fine_tuned_and_still_right(model: Any, pruned: Any) -> None:
    pictures, truth = colours.pictures(range(20))
    assert (predict(pruned, pictures).argmax(axis=1) == truth).all()
    kernel, dense_kernel = (m.get_layer("stem").get_weights()[0] for m in (pruned, model))
    assert not np.array_equal(kernel, dense_kernel), "no step was taken"


def test_wrappers_are_stripped(model: Any, pruned: Any) -> None:
    assert [layer.name for layer in pruned.layers] == [layer.name for layer in model.layers]
    assert [type(layer) for layer in pruned.layers] == [type(layer) for layer in model.layers]
    assert pruned.count_params() == model.count_params()


def test_pruned_network_is_no_larger_on_disk(model: Any, pruned: Any, tmp_path: Path) -> None:
    sizes = {}
    for name, network in {"dense": model, "pruned": pruned}.items():
        plain = keras.models.clone_model(network)  # without its optimizer
        plain.set_weights(network.get_weights())
        plain.save(tmp_path / f"{name}.keras")
        sizes[name] = (tmp_path / f"{name}.keras").stat().st_size
    assert sizes["pruned"] <= 1.01 * sizes["dense"]


@pytest.fixture(scope="module")
def sparse(pruned: Any, calibration: Any) -> bytes:
    """The pruned network as int8."""
    return convert.convert_int8(pruned, calibration)


def test_pruned_int8_compresses_better_than_dense(sparse: bytes, flatbuffers: dict[str, bytes]) -> None:
    assert len(gzip.compress(sparse, 9)) < len(gzip.compress(flatbuffers["int8"], 9))
    assert len(sparse) == pytest.approx(len(flatbuffers["int8"]), rel=0.02)


def test_zeros_survive_quantisation(sparse: bytes) -> None:
    interpreter: Any = Interpreter(model_content=sparse)
    shapes = {(32, 1, 1, 8): "expand", (16, 1, 1, 32): "project"}  # as TFLite has them: output channels first
    kernels = [d for d in interpreter.get_tensor_details() if tuple(d["shape"]) in shapes and d["dtype"] == np.int8]
    assert len(kernels) == len(shapes)
    for detail in kernels:
        assert (interpreter.get_tensor(detail["index"]) == 0).mean() >= SPARSITY - 0.01, detail["name"]


@pytest.fixture(scope="module")
def patterned(model: Any) -> Any:
    return prune(model, batches, Pruning(0.5, epochs=1, steps=5, rate=1e-3, label_smoothing=0.1, pattern=(2, 4)))


def test_pattern_leaves_two_of_every_four_inputs_of_each_channel(patterned: Any) -> None:
    for name in PRUNED_LAYERS:
        kernel = patterned.get_layer(name).get_weights()[0][0, 0]  # (inputs, channels)
        kept = (kernel.reshape(len(kernel) // 4, 4, -1) != 0).sum(axis=1)
        assert (kept == 2).all(), name
    assert sparsity_of(patterned).by_layer["stem"] == 0


def test_pattern_reaches_the_integer_file(patterned: Any, calibration: Any) -> None:
    interpreter: Any = Interpreter(model_content=convert.convert_int8(patterned, calibration))
    expand, project = ((32, 1, 1, 8), (16, 1, 1, 32))
    kernels = [d for d in interpreter.get_tensor_details() if tuple(d["shape"]) in (expand, project)]
    found = [interpreter.get_tensor(d["index"]).reshape(-1, 4) for d in kernels if d["dtype"] == np.int8]
    assert len(found) == 2
    assert all(((fours != 0).sum(axis=1) <= 2).all() for fours in found)


@pytest.mark.parametrize(
    ("sparsity", "pattern"),
    [
        pytest.param(0.6, (2, 4), id="another share"),
        pytest.param(1.0, (4, 4), id="all"),
        pytest.param(0.0, (0, 4), id="none"),
    ],
)
def test_pattern_that_is_none_is_refused(sparsity: float, pattern: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=r"expected fewer zeros than weights, and their share as the sparsity"):
        Pruning(sparsity, epochs=1, steps=5, rate=1e-3, label_smoothing=0.1, pattern=pattern)


@pytest.mark.parametrize("is_trained", [True, False])
def test_batch_norms_train_in_pruning_only_if_they_did_before(model: Any, is_trained: bool) -> None:
    given = keras.models.clone_model(model)
    given.set_weights(model.get_weights())
    for layer in backbone.batch_norms(given):
        layer.trainable = is_trained
    result = prune(given, batches, Pruning(0.5, epochs=1, steps=5, rate=1e-3, label_smoothing=0.0))
    assert all(layer.trainable is is_trained for layer in backbone.batch_norms(result))
    for before, after in zip(backbone.batch_norms(given), backbone.batch_norms(result), strict=True):
        is_same = np.array_equal(before.moving_mean.numpy(), after.moving_mean.numpy())
        assert is_same is not is_trained, after.name


@pytest.mark.parametrize("steps", [1, 2])
def test_even_the_shortest_pruning_reaches_the_sparsity(steps: int, model: Any) -> None:
    how = Pruning(0.5, epochs=1, steps=steps, rate=1e-3, label_smoothing=0.0)
    result = prune(model, lambda epoch: batches(epoch).take(steps), how)
    assert sparsity_of(result).by_layer["expand"] == pytest.approx(0.5, abs=0.01)


def test_pruning_repeats_from_its_seed_and_counts_its_steps(pruned: Any, model: Any) -> None:
    seen: list[tuple[int, int, str]] = []
    keras.utils.set_random_seed(99)  # whatever was drawn before
    again = prune(model, batches, HOW, lambda done, total, note: seen.append((done, total, note[:9])))
    for first, second in zip(pruned.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    assert seen == [(step, 10, f"epoch {1 if step <= 5 else 2}/2") for step in range(1, 11)]


def test_prunable_layers_of_mobilenet_are_its_1x1_convolutions_without_the_head() -> None:
    network = backbone.build("mobilenet_v2", 0.35, 32, 5)
    names = [layer.name for layer in network.layers if is_prunable(layer)]
    assert len(names) == 34  # 16 expansions, 17 projections and the last one
    assert not {"Conv1", "evidence"} & set(names)
    prunable = sum(int(np.prod(network.get_layer(name).kernel.shape)) for name in names)
    assert prunable > 0.9 * sum(int(np.prod(w.shape)) for w in network.trainable_weights if "kernel" in w.name)


def test_sparsity_counts_exact_zeros_per_layer_and_in_all() -> None:
    network = colours.network()
    kernel, sizes = network.get_layer("expand").get_weights()[0], []
    kernel.reshape(-1)[: kernel.size // 4] = 0
    network.get_layer("expand").set_weights([kernel])
    found = sparsity_of(network)
    sizes = [network.get_layer(name).get_weights()[0].size for name in found.by_layer]
    assert set(found.by_layer) == {"stem", "expand", "depthwise", "project", "shortcut", "evidence"}
    assert found.by_layer["expand"] == 0.25
    assert found.by_layer["stem"] == 0
    assert found.total == pytest.approx(0.25 * kernel.size / sum(sizes))
