"""flora inspect: says what is in a model file, proves it on this device, and names the cause where it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract.rejection import Rejection
from edge.model.card import Calibration, OtherThings, Share, Unknown, pack, read_model
from edge.model.golden import GoldenCase, frame
from edge.picture import geometry
from edge.picture.geometry import model_input
from tests.edge.conftest import Flora, Outcome
from tests.edge.model import tiny
from tests.edge.model.strangers import edited, told, with_metadata, write

Geometry = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
SEEDS = range(40)
BIAS = (0.1, -0.2, 0.15)  # on the mean red, green and blue, each -1 to 1
MOVED = 0.15  # of a probability, by each planted fault in one frame or another


def swapped(frame_bgr: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(model_input(frame_bgr, size)[..., ::-1])


def stretched(frame_bgr: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    resized = cv2.resize(frame_bgr, (size, size), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(resized[..., ::-1].astype(np.uint8))


def nearest(frame_bgr: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    top, left, side = geometry.centre_square(*frame_bgr.shape[:2])
    square = frame_bgr[top : top + side, left : left + side]
    resized = cv2.resize(square, (size, size), interpolation=cv2.INTER_NEAREST)
    return np.ascontiguousarray(resized[..., ::-1].astype(np.uint8))


def of_the_future(model: Any, schema: Any) -> None:
    model.operatorCodes[1].version = 77


def lopsided(model: Any, schema: Any) -> None:
    """Add BIAS to the mean colour: then no order of the labels gives the same answers as another order of colours."""
    graph, (scale, zero_point) = model.subgraphs[0], tiny.PIXELS
    bias, total = copy(graph.tensors[2]), copy(graph.tensors[2])
    bias.name, bias.buffer, total.name = "bias", len(model.buffers), "total"
    model.buffers.append(schema.BufferT())
    model.buffers[-1].data = np.uint8(np.round(np.array(BIAS) / scale) + zero_point)
    code = copy(model.operatorCodes[0])
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    model.operatorCodes.append(code)
    add = schema.OperatorT()
    add.opcodeIndex, add.inputs, add.outputs = (
        len(model.operatorCodes) - 1,
        [2, len(graph.tensors)],
        [len(graph.tensors) + 1],
    )
    add.builtinOptionsType, add.builtinOptions = schema.BuiltinOptions.AddOptions, schema.AddOptionsT()
    graph.tensors += [bias, total]
    graph.operators[1].inputs = [len(graph.tensors) - 1]
    graph.operators.insert(1, add)


def answered(case: GoldenCase, made: Geometry) -> dict[str, float]:
    powers = np.log(tiny.expected(made(frame(case), tiny.SIZE))) + tiny.BETA * np.array(BIAS)
    probabilities = np.exp(powers) / np.exp(powers).sum()
    return {label: float(p) for label, p in zip(tiny.LABELS, probabilities, strict=True) if p >= 1 / 256}


def telling(pattern: str, fault: Geometry) -> GoldenCase:
    """The first frame of a pattern to which a device with the fault would give another answer."""
    for seed in SEEDS:
        case = GoldenCase(pattern, seed, 4 * tiny.SIZE, 3 * tiny.SIZE, {})
        right, wrong = answered(case, model_input), answered(case, fault)
        if max(abs(right.get(label, 0.0) - wrong.get(label, 0.0)) for label in tiny.LABELS) > MOVED:
            return replace(case, answers=right)
    raise AssertionError(f"no frame of {pattern} shows {fault}")


@pytest.fixture(scope="module")
def cases() -> tuple[GoldenCase, ...]:
    return telling("scene", swapped), telling("margins", stretched), telling("lattice", nearest)


@pytest.fixture
def proved(tmp_path: Path, cases: tuple[GoldenCase, ...]) -> Path:
    """A model file with everything in its card."""
    return tiny.write_model(
        tmp_path / "colours.tflite",
        edited(tiny.flatbuffer(), lopsided),
        golden=cases,
        calibration=Calibration(0.7, 32, 0.081, 0.012, 300),
        rejection=Rejection("margin", 0.25, 0.95),
        licence="CC-BY-4.0",
        attribution="the gardeners",
    )


def failure(found: Outcome) -> str:
    """The one line of error that comes after a whole page."""
    assert found.code == 1
    assert found.out.splitlines()[-1] == "verdict: FAILED, do not use it on this device"
    assert len(found.err.splitlines()) == 1
    return found.err.removeprefix("flora: ")


def test_a_good_file_shows_everything_and_passes(flora: Flora, proved: Path) -> None:
    found = flora("inspect", proved)
    assert (found.code, found.err) == (0, f"next: flora run {proved} --source 0\n")
    for words in (
        "labels         3: red, green, blue",
        "top-1 90.0% (85.0% to 94.0%) of 100 held-out photos",
        "error 0.012 (before: 0.081) on 300 held-out photos, temperature 0.700",
        "the answer when the margin is below 0.250, which keeps 95% of known photos",
        "licence        CC-BY-4.0",
        "attribution    the gardeners",
        "2026-01-31 with numpy 2.0",
        "in             pixels: uint8 [1, 32, 32, 3], scale 0.007843, zero point 128",
        "out            answer: uint8 [1, 3], scale 0.003906, zero point 0",
        "MEAN v1 x1, SOFTMAX v1 x1, DEQUANTIZE v1 x0, ADD v1 x1",
        f"size           {proved.stat().st_size} bytes",
        "ai-edge-litert 1.0.1 or tflite-runtime 2.13.0 at least; here ",
        "verdict: ok, all 3 golden cases give the right answers on this device",
    ):
        assert words in found.out
    assert [line.split()[1] for line in found.out.splitlines() if line.endswith("  ok")] == [
        "scene", "margins", "lattice",
    ]  # fmt: skip


def test_json_is_one_object_with_all_of_it(flora: Flora, proved: Path) -> None:
    found = flora("inspect", proved, "--json")
    record = json.loads(found.out)
    assert (found.code, record["trouble"], record["stranger"]) == (0, None, None)
    assert record["card"]["calibration"]["ece_after"] == 0.012
    assert (record["bytes"], record["inputs"][0]["name"]) == (proved.stat().st_size, "pixels")
    assert record["minimum_runtime"] == {"ai-edge-litert": "1.0.1", "tflite-runtime": "2.13.0"}
    assert [verdict["passed"] for verdict in record["verdicts"]] == [True] * 3
    assert max(verdict["difference"] for verdict in record["verdicts"]) < record["tolerance"] < 0.05
    assert 0 < record["gzip_bytes"] < 2 * record["bytes"]


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (swapped, "the colour channels are swapped: BGR for RGB"),
        (stretched, "the whole frame is squeezed into the square"),
        (nearest, "the picture is resized to the nearest pixel"),
    ],
    ids=["BGR for RGB", "stretch for crop", "a wrong resize"],
)
def test_a_fault_of_the_picture_path_is_named(
    flora: Flora, proved: Path, monkeypatch: pytest.MonkeyPatch, fault: Geometry, cause: str
) -> None:
    monkeypatch.setattr(geometry, "model_input", fault)
    line = failure(flora("inspect", proved))
    assert "golden cases" in line
    assert cause in line


def test_swapped_labels_are_named(flora: Flora, tmp_path: Path, cases: tuple[GoldenCase, ...]) -> None:
    content = edited(tiny.flatbuffer(), lopsided)
    model = tiny.write_model(tmp_path / "swapped.tflite", content, ("green", "red", "blue"), golden=cases)
    line = failure(flora("inspect", model))
    assert "the labels are in another order: green is answered as red, red is answered as green" in line


def test_a_failing_case_is_in_the_json_as_well(
    flora: Flora, proved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(geometry, "model_input", swapped)
    found = flora("inspect", proved, "--json")
    record = json.loads(found.out)
    assert found.code == 1
    assert not all(verdict["passed"] for verdict in record["verdicts"])
    assert record["trouble"] in found.err


def test_a_wrong_dtype_at_the_border_is_named(flora: Flora, tmp_path: Path) -> None:
    content = tiny.flatbuffer(dtype="FLOAT32", output="FLOAT32")
    line = failure(flora("inspect", tiny.write_model(tmp_path / "float.tflite", content)))
    assert "its input is [1, 32, 32, 3] float32; expected one picture [1, N, N, 3] uint8 (a wrong dtype border)" in line


def test_an_operator_that_the_runtime_lacks_is_named_with_two_ways_out(flora: Flora, tmp_path: Path) -> None:
    line = failure(
        flora("inspect", tiny.write_model(tmp_path / "new.tflite", edited(tiny.flatbuffer(), of_the_future)))
    )
    assert "it needs the operator SOFTMAX version 77" in line
    assert "update the runtime" in line
    assert "export again as int8" in line


def test_another_models_card_is_refused(flora: Flora, tmp_path: Path) -> None:
    model = tmp_path / "other.tflite"
    model.write_bytes(pack(tiny.flatbuffer(), tiny.card(tiny.flatbuffer(beta=2.0))))
    assert "the card inside is of another model" in flora("inspect", model).error


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99], ids=["its head", "half", "all but its end"])
def test_a_truncated_file_is_refused(flora: Flora, proved: Path, share: float) -> None:
    data = proved.read_bytes()
    proved.write_bytes(data[: round(share * len(data))])
    assert "copy" in flora("inspect", proved).error


def test_a_card_without_golden_cases_proves_nothing(flora: Flora, model: Path) -> None:
    found = flora("inspect", model)
    assert found.code == 0
    assert found.out.splitlines()[-1] == "verdict: no golden cases: it runs, but its answers cannot be proved here"


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model file from elsewhere that names its author and lists its labels."""
    monkeypatch.setenv("FLORA_CACHE", str(tmp_path / "cache"))
    content = with_metadata(tiny.flatbuffer(), told(texts={0: "Colours", 4: "A\x1b[2J painter"}))
    return write(tmp_path / "elsewhere.tflite", content)


def test_a_file_from_elsewhere_tells_what_it_says_lacks_and_was_assumed(flora: Flora, stranger: Path) -> None:
    found = flora("inspect", stranger)
    assert found.code == 0
    lines = found.out.splitlines()
    assert lines[0] == f"{stranger}: from elsewhere, without a card of Flora"
    assert lines[-1] == "verdict: no golden cases: it runs, but its answers cannot be proved here"
    rows = [line.split(maxsplit=1) for line in lines if line.startswith("  ")]
    assert ["name", "Colours"] in rows
    assert ["author", "A?[2J painter"] in rows
    assert sum(row[0] == "missing" for row in rows) == 2
    assert ["assumed", "pixels go in as they are, 0 to 255"] in rows


def test_a_file_from_elsewhere_as_json(flora: Flora, stranger: Path) -> None:
    record = json.loads(flora("inspect", stranger, "--json").out)
    assert (record["card"], record["stranger"]["words"]["name"], record["verdicts"]) == (None, "Colours", [])
    assert list(record["metadata"]) == ["TFLITE_METADATA"]


def test_a_file_from_elsewhere_that_does_not_run_is_shown_and_refused(
    flora: Flora, stranger: Path, tmp_path: Path
) -> None:  # fmt: skip
    model = write(tmp_path / "new.tflite", edited(tiny.flatbuffer(), of_the_future))
    assert "it needs the operator SOFTMAX version 77" in failure(flora("inspect", model))


def test_a_file_from_elsewhere_without_labels_is_refused(flora: Flora, tmp_path: Path) -> None:
    model = tmp_path / "bare.tflite"
    model.write_bytes(tiny.flatbuffer())
    assert "no labels and no card inside" in flora("inspect", model).error


def test_without_an_argument_the_bundled_model_is_shown(flora: Flora, bundled: Path) -> None:
    found = flora("inspect")
    assert found.out.startswith(f"{bundled}: int8\n")
    assert (found.code, found.err) == (0, "next: flora run --source 0\n")


def test_without_a_bundled_model_one_must_be_named(flora: Flora, no_bundled: str) -> None:
    assert flora("inspect").error == no_bundled


def test_layers_are_shown_when_asked_for(flora: Flora, model: Path) -> None:
    assert "multiply-adds  parameters   zero  kernel" not in flora("inspect", model).out
    assert "multiply-adds  parameters   zero  kernel" in flora("inspect", model, "--layers").out


def test_text_of_the_file_cannot_move_the_cursor(flora: Flora, tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "odd.tflite", tiny.flatbuffer(), attribution="a\x1b[2Jb")
    found = flora("inspect", model)
    assert "\x1b" not in found.out + found.err


def test_a_run_folder_is_not_a_model_file(flora: Flora, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert f"make a file with: flora export {tmp_path}" in flora("inspect", tmp_path).error


def test_what_does_not_exist_is_told(flora: Flora, tmp_path: Path) -> None:
    assert "no such file" in flora("inspect", tmp_path / "none.tflite").error


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    """Twelve photos of red, sixty-one of blue; with copies, damage and a contradiction."""
    folder = tmp_path / "garden"
    for number in range(73):
        colour = "red" if number < 12 else "blue"
        picture = np.full((230, 240, 3), number, np.uint8)
        (folder / colour).mkdir(parents=True, exist_ok=True)
        (folder / colour / f"{number}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    (folder / "red" / "copy.png").write_bytes((folder / "red" / "3.png").read_bytes())
    (folder / "blue" / "notes.txt").write_text("to do")
    for colour in ("red", "blue"):
        (folder / colour / "both.png").write_bytes(cv2.imencode(".png", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    return folder


def test_photos_are_counted_and_what_is_wrong_is_listed(flora: Flora, garden: Path) -> None:
    found = flora("inspect", garden)
    assert (found.code, found.err) == (0, f"next: flora train {garden}\n")
    lines = found.out.splitlines()
    assert lines[0] == f"{garden}: 73 usable photos in 2 classes"
    assert [line.split() for line in lines[1:3]] == [["blue", "61"], ["red", "12"]]
    assert lines[3] == "left out: 4"
    assert any(line.endswith("red/copy.png: the same bytes as red/3.png") for line in lines)
    assert sum("filed under several classes" in line for line in lines[4:8]) == 2
    assert any(line.startswith("warning: class blue has 61 photos and class red only 12") for line in lines)


def test_photos_as_json(flora: Flora, garden: Path) -> None:
    record = json.loads(flora("inspect", garden, "--json").out)
    assert (record["usable"], record["classes"], record["trouble"]) == (73, {"blue": 61, "red": 12}, None)
    assert len(record["left_out"]) == 4
    assert record["duplicates"] == [{"path": "red/copy.png", "kept": "red/3.png"}]
    assert record["contradictions"][0]["paths"] == ["blue/both.png", "red/both.png"]


def test_too_few_photos_are_shown_and_refused(flora: Flora, garden: Path) -> None:
    for number in range(5):
        (garden / "red" / f"{number}.png").unlink()
    found = flora("inspect", garden)
    assert found.code == 1
    assert "blue" in found.out
    assert "too few usable photos in red (8); expected at least 10" in found.err


def test_what_unknown_was_learned_from_and_how_well_it_is_told_is_shown(flora: Flora, tmp_path: Path) -> None:
    share = Share(0.02, 0.01, 0.05, 150)
    things = OtherThings("things", share, share, 0.99)
    unknown = Unknown(300, 200, ("things", "public"), Share(0.04, 0.02, 0.06, 467), (things,))
    path = tiny.write_model(tmp_path / "m.tflite", unknown=unknown)
    shown = flora("inspect", path).out
    assert "learned from   300 pictures of other things (things, public), 200 made of nothing" in shown
    assert "known photos   4.0% (2.0% to 6.0%) of 467 called unknown" in shown
    assert "other things   things: 2.0% (1.0% to 5.0%) of 150 named, 2.0% with 0.9 and more; AUROC 0.990" in shown
    card = read_model(path).card
    assert card is not None
    assert card.unknown == unknown
    unmeasured = tiny.write_model(tmp_path / "n.tflite", unknown=Unknown(0, 200, (), None, ()))
    assert "other things   not measured" in flora("inspect", unmeasured).out
