"""The model file: round trip, and one line for every way in which it can be no model of ours."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.base.formats import plain, remarks_on, strange
from edge.contract.rejection import Rejection
from edge.errors import ModelError
from edge.model.card import (
    CARD,
    FORMAT,
    LABELS,
    Accuracy,
    Calibration,
    ModelCard,
    ModelFile,
    labels_text,
    pack,
    read_model,
)
from edge.picture import geometry
from edge.tflite.archive import LARGEST_ENTRY
from tests.edge.model import tiny

FLATBUFFER = b"\x1c\x00\x00\x00TFL3" + bytes(range(200))


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_model(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def as_json(**changes: Any) -> bytes:
    return json.dumps(plain(tiny.card(FLATBUFFER)) | changes).encode()


def rejection(**changes: Any) -> dict[str, Any]:
    return {"score": "probability", "threshold": 0.5, "coverage": 0.95} | changes


def with_entries(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    store = io.BytesIO()
    store.write(FLATBUFFER)
    with zipfile.ZipFile(store, "a", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return store.getvalue()


def test_card_survives_round_trip(tmp_path: Path) -> None:
    card = tiny.card(
        FLATBUFFER,
        ("daisy", "Gänseblümchen, gefüllt"),
        float_accuracy=Accuracy(0.95, 0.9, 0.97, 100),
        calibration=Calibration(0.7, 32, 0.08, 0.01, 100),
        rejection=Rejection("margin", 0.5, 0.95),
        minimum_runtime={"ai-edge-litert": "1.0.1"},
        multiply_adds=300_000_000,
    )
    path = tmp_path / "m.tflite"
    path.write_bytes(pack(FLATBUFFER, card))
    found = read_model(path)
    assert found.card == card
    assert found.flatbuffer == FLATBUFFER
    assert found.path == path


def test_the_flatbuffer_comes_first_and_any_zip_tool_reads_the_rest() -> None:
    data = pack(FLATBUFFER, tiny.card(FLATBUFFER))
    assert data.startswith(FLATBUFFER)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.read(LABELS) == b"red\ngreen\nblue\n"
        assert json.loads(archive.read(CARD))["format"] == FORMAT


def test_the_same_model_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = pack(FLATBUFFER, tiny.card(FLATBUFFER))
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert pack(FLATBUFFER, tiny.card(FLATBUFFER)) == first


def test_other_files_in_the_zip_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    card = tiny.card(FLATBUFFER)
    path.write_bytes(
        with_entries(("TFLITE_METADATA", b"x"), (CARD, as_json()), (LABELS, labels_text(card.labels)), ("a.txt", b""))
    )
    assert read_model(path).card == card


# What is no model file


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "not a TFLite model (0 bytes", id="empty"),
        pytest.param(b"\x89PNG\r\n\x1a\n" * 20, "not a TFLite model (160 bytes, no TFL3 mark)", id="foreign"),
        pytest.param(with_entries((CARD, as_json())), "labels.txt and the card inside disagree", id="card, no labels"),
        pytest.param(
            with_entries((CARD, as_json()), (LABELS, b"red\nblue\ngreen\n")),
            "labels.txt and the card inside disagree",
            id="labels in another order",
        ),
        pytest.param(
            with_entries((CARD, as_json(labels_sha256="0" * 64)), (LABELS, b"red\ngreen\nblue\n")),
            "labels.txt and the card inside disagree",
            id="labels with another hash",
        ),
        pytest.param(
            with_entries((CARD, b" " * (LARGEST_ENTRY + 1))),
            f"'card.json' inside has {LARGEST_ENTRY + 1} bytes, compressed by method 8; expected at most",
            id="zip bomb",
        ),
        pytest.param(
            with_entries((CARD, as_json()), method=zipfile.ZIP_LZMA), "'card.json' inside has", id="odd compression"
        ),
    ],
)
def test_what_is_no_model_file_is_one_line(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(data)
    assert refusal(path).startswith(message)


def test_a_doubled_card_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    with pytest.warns(UserWarning, match="Duplicate name"):
        path.write_bytes(with_entries((CARD, as_json()), (CARD, as_json())))
    assert refusal(path).startswith("'card.json' is in it twice")


@pytest.mark.parametrize("cut", range(1, 400, 7))
def test_a_file_cut_short_anywhere_in_its_zip_is_refused(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(pack(FLATBUFFER, tiny.card(FLATBUFFER))[:-cut])
    assert refusal(path).startswith("the end of the file, with its card, is damaged or cut off")


def test_a_damaged_zip_is_refused_wherever_the_damage_is(tmp_path: Path) -> None:
    whole = pack(FLATBUFFER, tiny.card(FLATBUFFER))
    path = tmp_path / "m.tflite"
    for at in range(len(FLATBUFFER), len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            found = read_model(path)
        except ModelError as error:
            assert "\n" not in str(error)  # noqa: PT017 - some bytes, such as dates, say nothing and may change
        else:
            assert found.card == tiny.card(FLATBUFFER)


def test_an_entry_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    data = bytearray(with_entries((CARD, b" " * (LARGEST_ENTRY + 1))))
    directory = data.index(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = struct.pack("<L", 50)  # the uncompressed size in the directory
    path = tmp_path / "m.tflite"
    path.write_bytes(data)
    assert refusal(path).startswith("the zip inside cannot be unpacked")


def test_an_encrypted_card_is_refused(tmp_path: Path) -> None:
    data = bytearray(with_entries((CARD, as_json())))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path = tmp_path / "m.tflite"
    path.write_bytes(data)
    assert refusal(path).startswith("'card.json' inside has")


def test_a_card_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(pack(FLATBUFFER[:-1] + b"!", tiny.card(FLATBUFFER)))
    assert refusal(path).startswith("the card inside is of another model, or the file is damaged (sha256 differs)")


def is_missing(path: Path) -> None:
    """Leave it as it is."""


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        pytest.param(is_missing, "no such file; expected a .tflite file written by: flora export", id="missing"),
        pytest.param(Path.mkdir, "a folder without config.json; expected", id="folder"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), "not a file; expected", id="device"),
        pytest.param(lambda path: path.symlink_to(path), "cannot be read (", id="link loop"),
    ],
)
def test_what_is_no_file_is_one_line(prepare: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    prepare(path)
    assert refusal(path).startswith(message)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)  # sparse: it takes no room
    assert refusal(path) == "1073741825 bytes; expected a model of at most 1073741824"


def test_a_file_from_elsewhere_is_read_without_a_card(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(with_entries(("names.txt", b"a\nb\n")))
    found = read_model(path)
    assert (found.card, found.flatbuffer, found.entries) == (None, FLATBUFFER, {"names.txt": b"a\nb\n"})


# What is no card


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(b"{", "the card inside is not valid", id="not json"),
        pytest.param(b"\xff\xfe{}", "the card inside is not valid", id="not text"),
        pytest.param(b"[1]", "the card inside is not valid", id="a list"),
        pytest.param(b"[" * 200_000, "the card inside is not valid", id="nested too deep"),
        pytest.param(b"{}", "the card's labels is missing", id="nothing"),
        pytest.param(as_json(format=3), "its card is of format 3, this Flora reads format 2; update Flora", id="newer"),
        pytest.param(as_json(format="3.0"), "its card is of format 3.0, this Flora reads", id="newer, with a minor"),
        pytest.param(as_json(format="new"), "its card names the format 'new', expected a number", id="format in words"),
        pytest.param(as_json(geometry="stretch"), "it expects pictures by the rule 'stretch'", id="other geometry"),
        pytest.param(as_json(colour_order="BGR"), "it expects pictures by the rule", id="other colour order"),
        pytest.param(as_json(labels="abc"), "the card's labels is 'abc', expected a list", id="labels no list"),
        pytest.param(as_json(labels=["one"]), "the card's labels is", id="one label"),
        pytest.param(as_json(labels=["a", ""]), "the card's labels is", id="an empty label"),
        pytest.param(as_json(labels=["a", "b\nc"]), "the card's labels is", id="a label of two lines"),
        pytest.param(as_json(labels=["a", "a"]), "the card's labels is", id="a label twice"),
        pytest.param(as_json(labels=["a", 7]), "the card's labels is", id="a label that is a number"),
        pytest.param(as_json(input_size="224"), "the card's input_size is '224', expected a whole", id="size as text"),
        pytest.param(as_json(input_size=True), "the card's input_size is True", id="size as truth"),
        pytest.param(as_json(input_size=0), "the card's input_size is 0", id="size 0"),
        pytest.param(as_json(input_size=5000), "the card's input_size is 5000; expected pixels, 1 to", id="size 5000"),
        pytest.param(
            as_json(rejection=rejection(threshold=1.5)), "the card's rejection threshold is 1.5", id="above 1"
        ),
        pytest.param(as_json(rejection=rejection(threshold="low")), "the card's rejection threshold is", id="a word"),
        pytest.param(as_json(rejection=rejection(score="luck")), "the card's rejection score is 'luck'", id="no score"),
        pytest.param(as_json(rejection=rejection(coverage=float("nan"))), "the card's rejection coverage", id="NaN"),
        pytest.param(as_json(rejection=0.5), "the card's rejection is 0.5", id="bare threshold"),
        pytest.param(
            as_json(calibration={"temperature": 1}), "the card's calibration ece_before is", id="half a calibration"
        ),
        pytest.param(as_json(multiply_adds=-1), "the card's multiply_adds is -1", id="negative work"),
        pytest.param(as_json(minimum_runtime={"a": 1}), "the card's minimum_runtime 'a' is", id="a version as number"),
        pytest.param(as_json(golden=7), "its golden cases are 7", id="golden cases that are a number"),
        pytest.param(as_json(accuracy=0.9), "the card's accuracy is 0.9, expected a JSON", id="bare accuracy"),
        pytest.param(as_json(accuracy={"low": 0.9}), "the card's accuracy top1 is missing", id="half an accuracy"),
        pytest.param(
            as_json(float_accuracy={"top1": "good", "low": 0, "high": 1, "photos": 5}),
            "the card's float_accuracy top1 is 'good', expected a number",
            id="accuracy as text",
        ),
        pytest.param(
            as_json(tools=["numpy"]), "the card's tools is ['numpy'], expected a JSON object", id="tools a list"
        ),
        pytest.param(as_json(licence=None), "the card's licence is None, expected text", id="no licence"),
    ],
)
def test_what_is_no_card_is_one_line(text: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(with_entries((CARD, text), (LABELS, b"red\ngreen\nblue\n")))
    assert refusal(path).startswith(message)


def read_changed(tmp_path: Path, content: dict[str, Any]) -> ModelFile:
    path = tmp_path / "m.tflite"
    path.write_bytes(with_entries((CARD, json.dumps(content).encode()), (LABELS, b"red\ngreen\nblue\n")))
    return read_model(path)


@pytest.mark.parametrize("name", ["labels", "input_size", "sha256"])
def test_what_a_card_cannot_be_without_is_named(name: str, tmp_path: Path) -> None:
    content = json.loads(as_json())
    del content[name]
    with pytest.raises(ModelError, match=f"m\\.tflite: the card's {name} is missing; copy"):
        read_changed(tmp_path, content)


OPTIONAL: dict[str, Any] = {
    "variant": "", "labels_sha256": "", "accuracy": None, "float_accuracy": None, "calibration": None,
    "rejection": None, "golden": (), "flatbuffer_bytes": 0, "multiply_adds": 0, "minimum_runtime": {},
    "manifest_sha256": "", "config_sha256": "", "tools": {}, "created": "", "licence": "", "attribution": "",
    "colour_order": "RGB", "geometry": geometry.RULE, "format": FORMAT, "others": {},
}  # fmt: skip


def test_every_other_field_that_is_missing_has_its_default(tmp_path: Path) -> None:
    needed = {field.name for field in dataclasses.fields(ModelCard)} - set(OPTIONAL)
    for name, default in OPTIONAL.items():
        content = json.loads(as_json())
        content.pop(name, None)
        card = read_changed(tmp_path, content).card
        assert card == dataclasses.replace(tiny.card(FLATBUFFER), **{name: default})
        content = {name: content[name] for name in needed}
    assert read_changed(tmp_path, content).card == tiny.card(FLATBUFFER, **OPTIONAL)


def test_what_is_not_known_is_kept_at_its_place_and_named(tmp_path: Path) -> None:
    content = json.loads(as_json(format="2.7", signature={"key": [1, 2]}, rejection=rejection(cost=0.1)))
    content["accuracy"]["f1\x1b"] = 0.8
    card = read_changed(tmp_path, content).card
    assert card is not None
    assert strange(card) == ["signature", "accuracy.f1\x1b", "rejection.cost"]
    assert remarks_on("m.tflite: its card", card) == (
        "m.tflite: its card: holds what this Flora does not know and leaves as it is: "
        "signature, accuracy.f1?, rejection.cost",
    )
    path = tmp_path / "again.tflite"
    path.write_bytes(pack(FLATBUFFER, card))
    assert json.loads(read_model(path).entries[CARD]) == content
    assert read_model(path).card == card
