"""Edits of a flatbuffer: what they change is what was asked for, and everything else gives the same answers."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.model.classifier import Classifier
from edge.tflite import flatbuffer as reader
from export.graph import edit
from export.graph.metadata import METADATA, About
from tests.edge.model import tiny
from tests.export import colours

ABOUT = About("colours", "names three flowers by their colour", "0.1.0", "nobody", "CC0-1.0")
VARIANTS = ("float32", "dynamic_range", "int8")
ROUNDING = 0.51 / 256  # of a probability; an int8 file gives them in 256ths

every_variant = pytest.mark.parametrize("variant", VARIANTS)


def interpreter_of(flatbuffer: bytes) -> Any:
    interpreter = import_module("ai_edge_litert.interpreter").Interpreter(model_content=flatbuffer, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def raw_answers(flatbuffer: bytes, output: int = 0) -> NDArray[Any]:
    """What the model puts out for each of a few tinted noise pictures, not dequantised."""
    interpreter = interpreter_of(flatbuffer)
    given, asked = interpreter.get_input_details()[0], interpreter.get_output_details()[output]
    draws, answers = np.random.default_rng(7), []
    for _ in range(20):
        noise = draws.integers(0, 256, (1, 1, 1, 3)) + draws.normal(0, 40, given["shape"])
        interpreter.set_tensor(given["index"], np.clip(noise, 0, 255).astype(np.uint8))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(asked["index"])[0])
    return np.stack(answers)


def answers(flatbuffer: bytes, output: int = 0) -> NDArray[Any]:
    """The same as real numbers."""
    scale, zero_point = interpreter_of(flatbuffer).get_output_details()[output]["quantization"]
    raw = raw_answers(flatbuffer, output).astype(np.float64)
    return np.asarray((raw - zero_point) * scale if scale else raw)


def expected(logits: NDArray[Any], variant: str) -> NDArray[Any]:
    """Softmax; 255/256 is the most that an int8 file can say."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    most = 255 / 256 if variant == "int8" else 1.0
    return np.asarray(np.minimum(powers / powers.sum(axis=-1, keepdims=True), most))


def finished(flatbuffer: bytes, *, has_evidence: bool = False) -> bytes:
    return edit.finish(flatbuffer, colours.LABELS, ABOUT, has_evidence=has_evidence)


def offsets_of_buffers(flatbuffer: bytes) -> list[int]:
    """Where the data of every buffer begins."""
    schema: Any = import_module("ai_edge_litert.schema_py_generated")
    model = schema.Model.GetRootAs(flatbuffer, 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    return [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]


def zero_points(flatbuffer: bytes) -> list[tuple[int, bytes]]:
    """Where the zero points of every quantised tensor begin, and what they are."""
    schema: Any = import_module("ai_edge_litert.schema_py_generated")
    subgraph = schema.Model.GetRootAs(flatbuffer, 0).Subgraphs(0)
    found = [subgraph.Tensors(i).Quantization() for i in range(subgraph.TensorsLength())]
    return [
        (q._tab.Vector(q._tab.Offset(10)), q.ZeroPointAsNumpy().tobytes()) for q in found if q and q.ZeroPointLength()
    ]


@every_variant
@pytest.mark.parametrize("has_evidence", [False, True], ids=["one output", "with the map"])
def test_finishing_changes_no_answer(variant: str, has_evidence: bool, flatbuffers: dict[str, bytes]) -> None:
    after = finished(flatbuffers[variant], has_evidence=has_evidence)
    np.testing.assert_array_equal(raw_answers(after), raw_answers(flatbuffers[variant]))


@every_variant
def test_every_buffer_begins_at_a_multiple_of_sixteen_bytes(variant: str, flatbuffers: dict[str, bytes]) -> None:
    offsets = offsets_of_buffers(finished(flatbuffers[variant]))
    assert len(offsets) >= 10
    assert Counter(offset % 16 for offset in offsets) == {0: len(offsets)}


@every_variant
def test_the_borders_have_our_names_in_tensors_and_signature(variant: str, flatbuffers: dict[str, bytes]) -> None:
    interpreter = interpreter_of(finished(flatbuffers[variant]))
    assert [tensor["name"] for tensor in interpreter.get_input_details()] == ["pixels"]
    assert [tensor["name"] for tensor in interpreter.get_output_details()] == ["probabilities"]
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["pixels"], "outputs": ["probabilities"]}}
    names = Counter(tensor["name"] for tensor in interpreter.get_tensor_details())
    assert (names["pixels"], names["probabilities"]) == (1, 1)


@every_variant
def test_the_map_averages_to_the_logits(variant: str, flatbuffers: dict[str, bytes]) -> None:
    with_map = finished(flatbuffers[variant], has_evidence=True)
    evidence, logits = answers(with_map, 1), answers(edit.logits(flatbuffers[variant]))
    assert evidence.shape[1:] == (8, 8, 3)
    step = interpreter_of(with_map).get_output_details()[1]["quantization"][0]
    saturated = np.clip(evidence.mean(axis=(1, 2)), logits.min(), logits.max())  # as int8 logits are
    np.testing.assert_allclose(saturated, logits, atol=step + 1e-4)


def test_the_map_is_the_second_output_under_its_name(flatbuffers: dict[str, bytes]) -> None:
    interpreter = interpreter_of(finished(flatbuffers["int8"], has_evidence=True))
    outputs = interpreter.get_output_details()
    assert [(tensor["name"], tensor["dtype"]) for tensor in outputs] == [
        ("probabilities", np.uint8),
        ("evidence", np.int8),
    ]
    assert set(interpreter.get_signature_list()["serving_default"]["outputs"]) == {"probabilities", "evidence"}


@every_variant
def test_logits_are_what_the_softmax_is_given(variant: str, flatbuffers: dict[str, bytes]) -> None:
    logits = answers(edit.logits(flatbuffers[variant]))
    assert raw_answers(edit.logits(flatbuffers[variant])).dtype == np.float32
    np.testing.assert_allclose(expected(logits, variant), answers(flatbuffers[variant]), atol=ROUNDING)


@every_variant
@pytest.mark.parametrize("temperature", [0.5, 2.5])
def test_a_temperature_divides_the_logits(variant: str, temperature: float, flatbuffers: dict[str, bytes]) -> None:
    logits = answers(edit.logits(flatbuffers[variant]))
    warmer = edit.set_temperature(flatbuffers[variant], temperature)
    np.testing.assert_allclose(answers(warmer), expected(logits / temperature, variant), atol=ROUNDING)
    assert colours.temperature_of(warmer) == pytest.approx(temperature)


def test_a_second_temperature_takes_the_place_of_the_first(flatbuffers: dict[str, bytes]) -> None:
    once = edit.set_temperature(flatbuffers["int8"], 2.0)
    assert edit.set_temperature(edit.set_temperature(flatbuffers["int8"], 0.3), 2.0) == once


def test_logits_do_not_depend_on_the_temperature(flatbuffers: dict[str, bytes]) -> None:
    warmer = edit.set_temperature(flatbuffers["int8"], 3.0)
    np.testing.assert_array_equal(raw_answers(edit.logits(warmer)), raw_answers(edit.logits(flatbuffers["int8"])))


def test_equal_zero_points_are_written_once(flatbuffers: dict[str, bytes]) -> None:
    written = zero_points(flatbuffers["int8"])
    assert len(written) > len({content for _, content in written})
    assert len({offset for offset, _ in written}) == len({content for _, content in written})


def test_finishing_twice_is_finishing_once(flatbuffers: dict[str, bytes]) -> None:
    once = finished(flatbuffers["int8"])
    twice = finished(once)
    assert len(metadata_of(twice)) == len(metadata_of(once))
    np.testing.assert_array_equal(raw_answers(twice), raw_answers(once))
    assert abs(len(twice) - len(once)) < 64


def metadata_of(flatbuffer: bytes) -> dict[str, bytes]:
    """Name and content of every metadata entry (fields 6 of the model, 0 and 1 of an entry, 4 and 0 of the buffers)."""
    model = reader.root(flatbuffer, b"TFL3")
    buffers = model.tables(4)
    return {entry.string(0): buffers[entry.scalar(1, "<I")].raw(0) for entry in model.tables(6)}


def test_the_metadata_is_added_to_what_the_converter_wrote(flatbuffers: dict[str, bytes]) -> None:
    before, after = metadata_of(flatbuffers["int8"]), metadata_of(finished(flatbuffers["int8"]))
    (subgraph,) = reader.root(after.pop(METADATA), b"M001").tables(3)
    assert len(subgraph.tables(3)) == 1
    assert after == before
    assert "min_runtime_version" in before


def test_the_file_says_that_it_is_of_flora(flatbuffers: dict[str, bytes]) -> None:
    assert reader.root(finished(flatbuffers["int8"]), b"TFL3").string(3).startswith("Flora colours: names three")


def test_a_map_in_the_file_is_in_its_metadata(flatbuffers: dict[str, bytes]) -> None:
    content = metadata_of(finished(flatbuffers["int8"], has_evidence=True))[METADATA]
    (subgraph,) = reader.root(content, b"M001").tables(3)
    assert [output.string(0) for output in subgraph.tables(3)] == ["probability", "evidence"]


@every_variant
def test_the_device_reads_answer_and_map_by_name(variant: str, flatbuffers: dict[str, bytes], tmp_path: Path) -> None:
    with_map = finished(flatbuffers[variant], has_evidence=True)
    classify = Classifier(tiny.write_model(tmp_path / "m.tflite", with_map, colours.LABELS))
    result = classify(colours.photo("poppy", 1))
    assert result.label == "poppy"
    assert result.evidence is not None
    assert result.evidence.mean(axis=(0, 1)).argmax() == colours.LABELS.index("poppy")


def test_labels_that_are_not_as_many_as_the_outputs_are_refused(flatbuffers: dict[str, bytes]) -> None:
    with pytest.raises(ModelError, match="2 labels for a model with 3 outputs"):
        edit.finish(flatbuffers["int8"], colours.LABELS[:2], ABOUT)


def test_a_graph_that_ends_otherwise_has_no_map() -> None:
    with pytest.raises(ModelError, match="does not end in convolution, mean, softmax: no CONV_2D there"):
        edit.finish(tiny.flatbuffer(), tiny.LABELS, ABOUT, has_evidence=True)


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1000.0, float("nan"), float("inf")])
def test_an_impossible_temperature_is_refused(temperature: float) -> None:
    with pytest.raises(ModelError, match=f"temperature {temperature}: expected 0.01 to 100.0"):
        edit.set_temperature(tiny.flatbuffer(), temperature)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no flatbuffer at all", id="text"),
        pytest.param(tiny.flatbuffer()[:300], id="cut"),
    ],
)
def test_what_is_no_model_is_one_line(content: bytes) -> None:
    with pytest.raises(ModelError, match="not a TFLite model that can be edited") as refusal:
        edit.logits(content)
    assert "\n" not in str(refusal.value)


def test_a_model_without_a_softmax_is_refused(flatbuffers: dict[str, bytes]) -> None:
    with pytest.raises(ModelError, match="0 softmax operators, expected 1"):
        edit.set_temperature(edit.logits(flatbuffers["int8"]), 2.0)
