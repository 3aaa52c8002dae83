"""The runtime: what it computes, what it refuses, and one line for each way in which it can be missing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import DependencyError, FloraError, ModelError, UsageError
from edge.model import interpreter
from edge.model.interpreter import (
    Border,
    ForeignInterpreter,
    Interpreter,
    default_threads,
    runtime_version,
    softmax,
)
from tests.edge.model import strangers, tiny


def one_line(caught: pytest.ExceptionInfo[FloraError]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_probabilities_are_those_computed_by_hand() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (tiny.SIZE, tiny.SIZE, 3), np.uint8)
    rgb[..., 1] //= 2
    found = Interpreter(tiny.flatbuffer(), "m.tflite", threads=1)(rgb)
    assert found.dtype == np.float32
    assert found.shape == (3,)
    np.testing.assert_allclose(found, tiny.expected(rgb), atol=1.01 / 256)


def test_float_and_quantised_outputs_mean_the_same() -> None:
    rgb = np.full((tiny.SIZE, tiny.SIZE, 3), (140, 120, 130), np.uint8)
    quantised = Interpreter(tiny.flatbuffer(), "int8", threads=1)
    floating = Interpreter(tiny.flatbuffer(output="FLOAT32"), "float", threads=1)
    np.testing.assert_array_equal(quantised(rgb), floating(rgb))
    assert quantised.output_quantization == (1 / 256, 0)
    assert floating.output_quantization is None


def test_the_borders_are_told() -> None:
    found = Interpreter(tiny.flatbuffer((1, 16, 16, 3)), "m.tflite", threads=1)
    assert (found.size, found.num_classes) == (16, 3)
    assert found.input_quantization == pytest.approx((1 / 127.5, 128))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            tiny.flatbuffer(dtype="FLOAT32", output="FLOAT32"), "its input is [1, 32, 32, 3] float32", id="float input"
        ),
        pytest.param(tiny.flatbuffer((1, 32, 24, 3)), "its input is [1, 32, 24, 3] uint8", id="input not square"),
        pytest.param(tiny.flatbuffer((1, 3, 32, 32)), "its input is [1, 3, 32, 32] uint8", id="channels first"),
        pytest.param(tiny.flatbuffer((1, 32, 32, 1)), "its input is [1, 32, 32, 1] uint8", id="grey input"),
        pytest.param(tiny.flatbuffer((2, 32, 32, 3)), "its input is [2, 32, 32, 3] uint8", id="batch of two"),
        pytest.param(tiny.flatbuffer(keep_dims=True), "its output is [1, 1, 1, 3] uint8", id="output no vector"),
        pytest.param(tiny.flatbuffer(probabilities=(0.0, 0)), "its output is [1, 3] uint8", id="output without scale"),
    ],
)
def test_a_model_with_other_borders_is_refused_in_one_line(content: bytes, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        Interpreter(content, "m.tflite", threads=1)
    assert one_line(caught).startswith(f"m.tflite: {message}; expected ")
    assert "flora export" in one_line(caught)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [([], "its input is missing"), ([0, 0], "its input is [1, 32, 32, 3] uint8 and [1, 32, 32, 3] uint8")],
    ids=["no input", "two inputs"],
)
def test_a_model_with_another_number_of_inputs_is_refused(inputs: list[int], message: str) -> None:
    def rewire(model: Any, schema: Any) -> None:
        model.subgraphs[0].inputs = inputs

    with pytest.raises(ModelError, match="expected one picture") as caught:
        Interpreter(strangers.edited(tiny.flatbuffer(), rewire), "m", threads=1)
    assert one_line(caught).startswith(f"m: {message}; ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            tiny.flatbuffer(dtype="FLOAT32", output="FLOAT32"), "its input is [1, 32, 32, 3] float32", id="float"
        ),
        pytest.param(strangers.signed(), "its input is [1, 32, 32, 3] int8", id="int8"),
        pytest.param(
            strangers.rescaled(1 / 255, 128),
            "the input came out with scale 0.003922 and zero point 128, expected 0.007843",
            id="0 to 1",
        ),
        pytest.param(
            strangers.rescaled(1 / 127.5, 126), "the input came out with scale 0.007843 and zero point 126", id="off"
        ),
    ],
)
def test_a_wrong_dtype_border_is_named_as_the_cause(content: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=r"\(a wrong dtype border\); use a file written by: flora export$") as caught:
        Interpreter(content, "m", threads=1)
    assert one_line(caught).startswith(f"m: {message}")


@pytest.mark.parametrize("scale_and_zero_point", [(1 / 127.5, 127), (1 / 127.5, 128), (1 / 127.499, 127)])
def test_pixels_may_be_centred_at_127_or_128(scale_and_zero_point: tuple[float, int]) -> None:
    Interpreter(strangers.rescaled(*scale_and_zero_point), "m", threads=1)


def test_a_model_that_the_runtime_refuses_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    content = tiny.flatbuffer().replace(b"TFL3", b"TFL1", 1)
    with pytest.raises(ModelError, match=r"^m\.tflite: the runtime \S+ \S+ refuses it \(.+\); update it") as caught:
        Interpreter(content, "m.tflite", threads=1)
    one_line(caught)
    assert capfd.readouterr().err == ""


def test_what_the_runtime_says_while_it_loads_is_held_back(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Runtime:
        __name__ = "json"

        def Interpreter(self, **options: object) -> None:
            os.write(2, b"INFO: delegate created\n")
            raise ValueError("its verdict")

    monkeypatch.setattr(interpreter, "_runtime", Runtime)
    with pytest.raises(ModelError, match=r"the runtime json refuses it \(its verdict\)"):
        Interpreter(b"", "m.tflite")
    assert capfd.readouterr().err == ""


def test_an_operator_that_the_runtime_lacks_is_explained() -> None:
    def advance(model: Any, schema: Any) -> None:
        model.operatorCodes[1].version = 99

    with pytest.raises(
        ModelError, match=r"^m: it needs the operator SOFTMAX version 99; .+; update the runtime: "
    ) as caught:
        Interpreter(strangers.edited(tiny.flatbuffer(), advance), "m")
    one_line(caught)


# Two outputs


def noise(seed: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (tiny.SIZE, tiny.SIZE, 3), np.uint8)


@pytest.mark.parametrize("names", [("answer", "pixels"), ("probabilities", "evidence")], ids=["by shape", "by name"])
@pytest.mark.parametrize("is_first", [False, True], ids=["map last", "map first"])
def test_a_map_of_evidence_is_told_from_the_answers(names: tuple[str, str], is_first: bool) -> None:
    found = Interpreter(strangers.with_map(*names, is_first=is_first), "m", threads=1)
    rgb = noise()
    np.testing.assert_allclose(found(rgb), tiny.expected(rgb), atol=1.01 / 256)
    evidence = found.evidence()
    assert evidence is not None
    assert evidence.shape == (tiny.SIZE, tiny.SIZE, 3)
    assert evidence.dtype == np.float32
    np.testing.assert_allclose(evidence, ((rgb.astype(float) - 128) / 127.5).clip(0), atol=1e-6)


def test_a_name_decides_between_two_vectors() -> None:
    def double(model: Any, schema: Any) -> None:
        model.subgraphs[0].outputs = [2, 3]

    twins = strangers.edited(tiny.flatbuffer(), double)
    with pytest.raises(ModelError, match=r"its output is \[1, 3\] uint8 and \[1, 3\] uint8; expected probabilities"):
        Interpreter(twins, "m", threads=1)

    def name(model: Any, schema: Any) -> None:
        model.subgraphs[0].tensors[3].name = "probabilities"

    found = Interpreter(strangers.edited(twins, name), "m", threads=1)
    np.testing.assert_allclose(found(noise()), tiny.expected(noise()), atol=1.01 / 256)


def test_a_model_without_a_map_has_no_evidence() -> None:
    found = Interpreter(tiny.flatbuffer(), "m", threads=1)
    found(noise())
    assert found.evidence() is None


# Models from elsewhere


@pytest.mark.parametrize(
    ("content", "border", "slack"),
    [
        pytest.param(tiny.flatbuffer(), Border(), 1.01 / 256, id="uint8"),
        pytest.param(tiny.flatbuffer(), Border((0.0,), (255.0,)), 1.01 / 256, id="uint8 whatever is told"),
        pytest.param(strangers.signed(), Border(), 1.01 / 256, id="int8"),
        pytest.param(strangers.signed(), Border((127.5,), (127.5,)), 3.01 / 256, id="int8, told: half a level off"),
        pytest.param(tiny.flatbuffer(dtype="FLOAT32", output="FLOAT32"), Border(), 0.01, id="float32"),
        pytest.param(tiny.flatbuffer(keep_dims=True), Border(), 1.01 / 256, id="[1, 1, 1, 3]"),
    ],
)
def test_pixels_cross_the_border_of_a_strangers_model(content: bytes, border: Border, slack: float) -> None:
    found = ForeignInterpreter(content, "m", border, threads=1)
    rgb = noise()
    rgb[..., 1] //= 2
    assert found(rgb).shape == (3,)
    np.testing.assert_allclose(found(rgb), tiny.expected(rgb), atol=slack)


def test_a_normalisation_may_differ_by_channel() -> None:
    content = strangers.logits(tiny.flatbuffer(dtype="FLOAT32", output="FLOAT32"))
    found = ForeignInterpreter(content, "m", Border((10.0, 20.0, 30.0), (1.0, 2.0, 5.0)), threads=1)
    rgb = np.full((tiny.SIZE, tiny.SIZE, 3), (15, 22, 40), np.uint8)
    np.testing.assert_array_equal(found._pixels(rgb)[0, 0], [5, 1, 2])


def test_logits_of_a_strangers_model_become_probabilities() -> None:
    content = strangers.logits(tiny.flatbuffer(dtype="FLOAT32", output="FLOAT32"))
    rgb = noise() // 2
    found = ForeignInterpreter(content, "m", Border(is_logits=True), threads=1)(rgb)
    np.testing.assert_allclose(found, tiny.expected(rgb, beta=1.0), atol=0.002)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(tiny.flatbuffer((1, 32, 24, 3)), "its input is [1, 32, 24, 3] uint8", id="input not square"),
        pytest.param(tiny.flatbuffer((1, 32, 32, 1)), "its input is [1, 32, 32, 1] uint8", id="grey"),
        pytest.param(tiny.flatbuffer(probabilities=(0.0, 0)), "its output is [1, 3] uint8", id="output without scale"),
    ],
)
def test_a_strangers_model_with_other_borders_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        ForeignInterpreter(content, "m", Border(), threads=1)
    assert one_line(caught).startswith(f"m: {message}; expected one ")


@pytest.mark.parametrize(
    ("content", "border"),
    [
        pytest.param(strangers.logits(tiny.flatbuffer()), Border(), id="below 0"),
        pytest.param(tiny.flatbuffer(dtype="FLOAT32", output="FLOAT32", beta=float("nan")), Border(), id="no numbers"),
        pytest.param(
            strangers.logits(tiny.flatbuffer(dtype="FLOAT32", output="FLOAT32")),
            Border((0.0,), (1e-44,), is_logits=True),
            id="infinite",
        ),
    ],
)
def test_answers_of_a_strangers_model_that_are_no_probabilities_are_refused(content: bytes, border: Border) -> None:
    found = ForeignInterpreter(content, "m", border, threads=1)
    with pytest.raises(
        ModelError, match=r"^m: its answers are from .+ to .+; expected probabilities, 0 to 1; "
    ) as caught:
        found(noise())
    one_line(caught)


@pytest.mark.parametrize("threads", [0, -1])
def test_impossible_threads_are_refused(threads: int) -> None:
    with pytest.raises(UsageError, match=rf"^--threads {threads}: expected 1 or more$"):
        Interpreter(tiny.flatbuffer(), "m.tflite", threads=threads)


@pytest.mark.parametrize(("cores", "threads"), [(None, 1), (2, 2), (4, 4), (64, 4)])
def test_the_default_is_all_cores_up_to_four(cores: int | None, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert default_threads() == threads


def test_the_runtime_says_its_name_and_version() -> None:
    name, version = runtime_version().split(" ")
    assert name in {"ai-edge-litert", "tflite-runtime"}
    assert version.split(".")[0].isdigit()


# Runtimes that are missing or broken


def installed(*packages: str) -> Callable[[str], object]:
    """A stand-in for find_spec on a machine that has these runtimes."""
    return lambda name: find_spec("json") if name in packages else None


def refusing(error: ImportError) -> Callable[[str], Any]:
    def import_module(name: str) -> Any:
        raise error

    return import_module


def test_no_runtime_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "find_spec", installed())
    with pytest.raises(DependencyError, match="no TFLite runtime is installed") as caught:
        Interpreter(b"", "m.tflite")
    for extra in ("headless", "window", "legacy"):
        assert f"'flora-edge[{extra}]'" in one_line(caught)


def test_the_old_runtime_with_the_new_numpy_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "find_spec", installed("tflite_runtime"))
    monkeypatch.setattr(np, "__version__", "2.4.6")
    with pytest.raises(DependencyError, match=r"^tflite-runtime cannot work with NumPy 2\.4\.6; expected NumPy 1: pip"):
        Interpreter(b"", "m.tflite")


def test_a_broken_runtime_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "find_spec", installed("ai_edge_litert", "tflite_runtime"))
    monkeypatch.setattr(interpreter, "import_module", refusing(ImportError("libfoo.so: cannot open\nmore")))
    with pytest.raises(DependencyError, match="ai_edge_litert is installed but cannot be loaded") as caught:
        Interpreter(b"", "m.tflite")
    assert "(libfoo.so: cannot open)" in one_line(caught)


def test_the_old_runtime_is_taken_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def import_module(name: str) -> Any:
        asked.append(name)
        return json

    monkeypatch.setattr(interpreter, "find_spec", installed("tflite_runtime"))
    monkeypatch.setattr(np, "__version__", "1.26.4")
    monkeypatch.setattr(interpreter, "import_module", import_module)
    assert runtime_version() == "json"
    assert asked == ["tflite_runtime.interpreter"]


def test_softmax_takes_large_numbers() -> None:
    found = softmax(np.array([[1e4, 1e4 + np.log(3)], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.25, 0.75], [0.5, 0.5]], rtol=1e-5)
