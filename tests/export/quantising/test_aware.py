"""Quantisation-aware training: the network says what its int8 file will say, and learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.model.interpreter import EVIDENCE as EVIDENCE_MAP
from edge.model.interpreter import Interpreter
from export.finishing.finish import finish
from export.graph import edit
from export.graph.asking import answers
from export.graph.metadata import About
from export.network.channels import slim
from export.opening.finished_run import Views
from export.quantising.aware import aware, calibrate, convert_aware
from tests.export import colours
from training.fitting.phase import AveragedModel
from training.network import backbone
from training.network.inference import normalise, predict
from training.network.keras import keras

Pixels = NDArray[np.uint8]
ABOUT = About("colours", "three kinds of patches", "1", "nobody", "CC0-1.0")


@pytest.fixture(scope="module")
def dim() -> Pixels:
    """Tinted noise without strong colours: what the network is unsure about, and far from every extreme."""
    draws = np.random.default_rng(7)
    tint = draws.integers(60, 190, (40, 1, 1, 3))
    return np.clip(tint + draws.normal(0, 40, (40, colours.SIZE, colours.SIZE, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def network(model: Any, calibration: Pixels, dim: Pixels) -> Any:
    """Calibrated, not trained. Not to be changed."""
    made = aware(model)
    calibrate(made, [normalise(calibration), normalise(dim)])
    return made


@pytest.fixture(scope="module")
def flatbuffer(network: Any) -> bytes:
    return convert_aware(network)


def test_the_network_says_what_its_file_will_say(network: Any, flatbuffer: bytes, dim: Pixels) -> None:
    """Logits fall on the same steps, most of them: kernels round halves in their own ways."""
    said = keras.Model(network.input, network.get_layer("pool").output)(normalise(dim)).numpy()
    will_say = answers(edit.logits(flatbuffer), dim)
    step = np.diff(np.unique(will_say)).min()
    assert np.mean(np.abs(said - will_say) < 0.01 * step) > 0.5
    assert np.abs(said - will_say).max() < 2.5 * step


def test_the_file_is_right_on_photos_and_has_our_borders(flatbuffer: bytes) -> None:
    pictures, truth = colours.pictures(range(20))
    assert (answers(flatbuffer, pictures).argmax(axis=1) == truth).all()
    interpreter = Interpreter(flatbuffer, "aware")
    assert interpreter.input_quantization[0] == pytest.approx(1 / 127.5, rel=1e-5)
    assert interpreter.input_quantization[1] in (127, 128)
    assert interpreter.output_quantization == (1 / 256, 0)


def test_input_range_does_not_depend_on_the_pictures(model: Any) -> None:
    """Pictures without a dark and a bright pixel would otherwise narrow it."""
    made = aware(model)
    calibrate(made, [np.full((2, colours.SIZE, colours.SIZE, 3), 0.1, np.float32)])
    assert Interpreter(convert_aware(made), "grey").input_quantization[0] == pytest.approx(1 / 127.5, rel=1e-5)


def test_graph_is_that_of_post_training_int8(flatbuffer: bytes, flatbuffers: dict[str, bytes]) -> None:
    """No operator more, all integer between the borders, kernels with a scale for each channel."""

    def shape_of(content: bytes) -> list[tuple[int, list[int], int, int]]:
        loaded = edit.load(content)
        tensors, codes = loaded.subgraphs[0].tensors, loaded.operatorCodes
        outputs = [(op, tensors[int(op.outputs[0])]) for op in loaded.subgraphs[0].operators]
        kernels = {int(op.inputs[1]) for op, _ in outputs if len(op.inputs) == 3}
        scales = sum(len(tensors[index].quantization.scale) for index in kernels)
        return [(codes[op.opcodeIndex].builtinCode, list(out.shape), out.type, scales) for op, out in outputs]

    assert shape_of(flatbuffer) == shape_of(flatbuffers["int8"])


def test_each_channel_of_a_depthwise_kernel_has_its_own_scale(model: Any, calibration: Pixels, dim: Pixels) -> None:
    """The same network with channels of very different sizes, as BatchNorm leaves them."""
    uneven, sizes = keras.models.clone_model(model), np.logspace(0, 3, 32, dtype=np.float32)
    uneven.set_weights(model.get_weights())
    gamma, beta, mean, variance = model.get_layer("depthwise_bn").get_weights()
    uneven.get_layer("depthwise_bn").set_weights([gamma, beta, mean * sizes, variance * sizes**2])
    kernel = model.get_layer("depthwise").get_weights()[0]
    uneven.get_layer("depthwise").set_weights([kernel * sizes[None, None, :, None]])
    made = aware(uneven)
    calibrate(made, [normalise(calibration), normalise(dim)])
    assert np.abs(predict(made, dim) - predict(model, dim)).max() < 0.1


def test_file_can_be_finished_for_the_device(flatbuffer: bytes) -> None:
    validation = Views(*colours.pictures(range(200, 215)))
    usual = colours.pictures(range(100, 115))[0]
    done = finish(
        flatbuffer, colours.LABELS, validation, ABOUT, coverage=0.9, usual=usual, has_evidence=True, seed=1
    )  # fmt: skip
    assert (done.validation.argmax(axis=1) == validation.truth).all()
    assert done.components > 0
    assert len(done.golden) >= 4
    assert done.flatbuffer.find(EVIDENCE_MAP.encode()) > 0


def test_given_network_stays_as_it_was(model: Any) -> None:
    before = [array.copy() for array in model.get_weights()]
    made, trainable = aware(model), [layer.trainable for layer in model.layers]
    calibrate(made, [np.zeros((1, colours.SIZE, colours.SIZE, 3), np.float32)])
    made.set_weights([array + 1 for array in made.get_weights()])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert [layer.trainable for layer in model.layers] == trainable


def test_layers_have_the_names_that_training_looks_for(network: Any, model: Any) -> None:
    assert [layer.name for layer in network.layers if layer.name != "pinned"] == [layer.name for layer in model.layers]
    names = [variable.name for variable in network.weights]
    assert len(set(names)) == len(names)
    assert backbone.training_model(network).output_shape == (None, len(colours.LABELS))
    assert network.get_layer(backbone.FEATURES).output.shape[-1] == 16


def test_ranges_begin_at_the_first_batch_and_then_are_the_mean_of_all(model: Any) -> None:
    made, draws = aware(model), np.random.default_rng(3)
    batches = [draws.uniform(-size, size, (2, colours.SIZE, colours.SIZE, 3)).astype(np.float32) for size in (1, 0.5)]
    calibrate(made, batches)
    (high,) = [variable for variable in made.weights if "stem_relu/output_high" in variable.name]
    stem = keras.Model(model.input, model.get_layer("stem_relu").output)
    assert float(high) == pytest.approx(np.mean([np.max(stem(batch)) for batch in batches]), abs=0.02)


@pytest.fixture
def taught(model: Any) -> Any:
    """A network with kernels spoilt by noise, trained for a few steps as the exporter does."""
    spoilt, draws = keras.models.clone_model(model), np.random.default_rng(5)
    spoilt.set_weights([a + draws.normal(0, 0.05, a.shape) * (a.ndim == 4) for a in model.get_weights()])
    return aware(spoilt)


@pytest.fixture(scope="module")
def pruned(model: Any) -> Any:
    """Half of each kernel is zero."""
    made = keras.models.clone_model(model)
    made.set_weights([a * (np.abs(a) > np.median(np.abs(a))) if a.ndim == 4 else a for a in model.get_weights()])
    return made


def train(network: Any, steps: int = 25) -> list[float]:
    """Train as the exporter does; returns the losses."""
    views, truth = colours.pictures(range(300, 304))
    kept = np.ones((len(views), 16), np.float32)
    whole = backbone.training_model(network)
    averaged = AveragedModel(whole.inputs, whole.outputs[0])
    averaged.compile(keras.optimizers.AdamW(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    averaged.start_average(0.9)
    fitted = averaged.fit((normalise(views), kept), truth, batch_size=6, epochs=steps // 2, verbose=0)
    return list(fitted.history["loss"])


def test_training_with_an_average_of_the_weights_learns(taught: Any) -> None:
    calibrate(taught, [normalise(colours.pictures(range(300, 304))[0])])
    norms = [v.numpy() for v in taught.weights if "moving" in v.name or "gamma" in v.name]
    losses = train(taught)
    assert losses[-1] < 0.5 * losses[0]
    for before, after in zip(
        norms, [v.numpy() for v in taught.weights if "moving" in v.name or "gamma" in v.name], strict=True
    ):
        np.testing.assert_array_equal(before, after, "BatchNorm is to be frozen")


@pytest.mark.parametrize("preserve_zeros", [True, False], ids=["preserved", "not asked for"])
def test_zeros_of_a_pruned_network_stay_zero_in_training(preserve_zeros: bool, pruned: Any) -> None:
    made = aware(pruned, preserve_zeros=preserve_zeros)
    train(made, steps=4)
    (kernel,) = [variable.numpy() for variable in made.weights if variable.name == "expand/kernel:0"]
    assert bool(np.mean(kernel == 0) >= 0.49) is preserve_zeros
    assert not np.array_equal(kernel, pruned.get_layer("expand").get_weights()[0]), "no step was taken"


def test_preserved_zeros_reach_the_integer_file(pruned: Any, calibration: Pixels) -> None:
    made = aware(pruned, preserve_zeros=True)
    calibrate(made, [normalise(calibration)])
    loaded = edit.load(convert_aware(made))
    kernels = [t for t in loaded.subgraphs[0].tensors if t.buffer and list(t.shape) in ([32, 1, 1, 8], [16, 1, 1, 32])]
    zeros = [np.mean(np.asarray(loaded.buffers[tensor.buffer].data) == 0) for tensor in kernels]
    assert len(zeros) == 2
    assert min(zeros) >= 0.49


def test_dropout_of_the_copy_is_switched_off(model: Any) -> None:
    """Else training would drop twice: by its own mask, and by this layer's."""
    assert model.get_layer("dropout").rate > 0
    assert aware(model).get_layer("dropout").rate == 0


def test_slim_network_of_another_size_becomes_aware_and_integer(model: Any) -> None:
    narrow = slim(model, {"expand": np.arange(16)}, 48)
    backbone.training_model(narrow)  # calls the head's layers a second time, as distillation does
    made = aware(narrow)
    calibrate(made, [np.random.default_rng(1).uniform(-1, 1, (2, 48, 48, 3)).astype(np.float32)])
    interpreter = Interpreter(convert_aware(made), "slim")
    assert interpreter(np.zeros((48, 48, 3), np.uint8)).shape == (3,)


def test_every_tensor_of_mobilenet_has_one_range() -> None:
    """One for each convolution, its BatchNorm and ReLU being part of it, each addition and the pooling."""
    network = aware(backbone.build("mobilenet_v2", 0.35, 32, 5))
    ranged = [variable.name.split("/")[0] for variable in network.weights if "output_high" in variable.name]
    assert len(ranged) == 53 + 10 + 1
    assert {"Conv1_relu", "expanded_conv_project_BN", "block_2_add", "out_relu", "evidence", "pool"} <= set(ranged)
    assert not {"Conv1", "bn_Conv1", "features", "probabilities"} & set(ranged)
