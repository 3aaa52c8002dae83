"""From a finished run to the model file: what is read when, what decides, and what the file and its card come to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import export.exporter as exporter
from edge.base.progress import silent
from edge.errors import UsageError
from edge.model.card import ModelCard, pack, read_model
from edge.model.classifier import Classifier
from edge.photos.manifest import read_manifest, write_manifest
from edge.picture import geometry
from export.config import ExportConfig
from export.network.outline import Outline
from export.opening.finished_run import open_run
from export.outcome import Exported
from export.slimming.latency import LatencyTable
from export.slimming.widths import FEWEST
from export.variants import choosing
from tests.export import colours
from tests.export.conftest import AWARE_SLIM, PLAIN, SLIM, Export
from training.network.inference import predict
from training.network.keras import keras


@pytest.mark.usefixtures("ready")
def test_accuracy_in_the_table_is_that_of_the_tflite_runtime(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Keras network that is always wrong changes its own row and the agreement, not the accuracy of the files."""
    monkeypatch.setattr(exporter, "predict", lambda model, views, bar=None: np.roll(predict(model, views), 1, axis=1))
    record = json.loads(export(*PLAIN, "--json").out)
    assert record["float_validation"]["top1"] == 0
    assert [(v["validation"]["top1"], v["test"]["top1"], v["agreement"]) for v in record["variants"]] == [(1, 1, 0)] * 4


@pytest.mark.usefixtures("slimmed")
def test_test_photos_are_read_only_after_the_choice(
    export: Export, run_folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    read, choose = geometry.read_photo, choosing.choose

    def spy_read(path: Any) -> Any:
        events.append(str(Path(path).relative_to(root)))
        return read(path)

    def spy_choose(*args: Any, **kwargs: Any) -> Any:
        events.append("choice")
        return choose(*args, **kwargs)

    monkeypatch.setattr(geometry, "read_photo", spy_read)
    monkeypatch.setattr(exporter, "choose", spy_choose)
    assert export().code == 0
    split_of = {photo.path: photo.split for photo in read_manifest(run_folder / "manifest.csv")}
    choice = max(number for number, event in enumerate(events) if event == "choice")  # the size of its file known
    assert {split_of[path] for path in events[:choice] if path != "choice"} == {"train", "validation"}
    assert {path for path in events[choice + 1 :] if split_of[path] == "test"} == {
        path for path, split in split_of.items() if split == "test"
    }
    held_out = [path for path in events if path != "choice" and split_of[path] != "train"]
    assert len(held_out) == len(set(held_out)), "all networks have one size, so each photo is read once"


@pytest.mark.usefixtures("ready")
def test_file_is_no_larger_than_allowed(export: Export, tmp_path: Path, flatbuffers: dict[str, bytes]) -> None:
    """The limit counts the labels and the card, and wastes little."""
    assert export(*PLAIN).code == 0
    size = (tmp_path / "model.tflite").stat().st_size
    assert size > len(flatbuffers["int8"]) + 500
    assert export(*PLAIN, "--max-kb", str((size - 1) / 1000)).code == 1
    assert export(*PLAIN, "--max-kb", str((size + 400) / 1000)).code == 0


@pytest.mark.usefixtures("slimmed")
def test_the_next_best_is_written_where_the_card_makes_a_file_too_large(
    export: Export, tmp_path: Path, speeds: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def padded(flatbuffer: bytes, card: ModelCard) -> bytes:
        return pack(flatbuffer, card) + bytes(100_000 if card.variant == AWARE_SLIM else 0)

    monkeypatch.setattr(exporter, "pack", padded)
    speeds[AWARE_SLIM] = 9.0
    assert export("--max-kb", "100").code == 0
    card = read_model(tmp_path / "model.tflite").card
    assert card is not None
    assert card.variant == SLIM


@pytest.mark.usefixtures("ready")
def test_full_disk_is_one_line_and_leaves_the_old_file(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "model.tflite").write_bytes(b"the old one")
    monkeypatch.setattr("os.fsync", full)
    said = export(*PLAIN)
    assert said.code == 1
    assert said.errors[-1].endswith(
        "cannot be written (No space left on device); free some space or write somewhere else"
    )
    assert (tmp_path / "model.tflite").read_bytes() == b"the old one"


Call = Callable[..., Exported]


@pytest.fixture
def call(run_folder: Path, tmp_path: Path) -> Call:
    """The export as a library call, without self-distillation unless it is asked for."""

    def export(run: Path = run_folder, stages: Any = silent, tell: Any = lambda line: None, **asked: Any) -> Exported:
        config = ExportConfig(**{"self_epochs": 0, **asked})
        return exporter.export(config, run, tmp_path / "m.tflite", tmp_path / "cache", stages, tell=tell)

    return export


@pytest.fixture
def titles() -> Callable[[str], Callable[..., None]]:
    """Stages that remember their titles, in `.seen`."""

    def stages(title: str) -> Callable[..., None]:
        stages.seen.append(title)  # type: ignore[attr-defined]
        return lambda done, total=0, note="": None

    stages.seen = []  # type: ignore[attr-defined]
    return stages


TITLES = [
    "reading validation photos", "predicting with Keras", "converting to float32", "converting to float16",
    "converting to dynamic_range", "reading calibration photos", "converting to int8", "measuring variants",
    "reading training photos", "finishing", "reading test photos", "measuring on test photos",
]  # fmt: skip


@pytest.mark.usefixtures("ready")
def test_library_call_reports_its_stages(call: Call, titles: Any) -> None:
    assert call(stages=titles, preset="accurate", aware_epochs=0).chosen == "int8"
    assert titles.seen == TITLES


@pytest.mark.usefixtures("slimmed")
def test_a_slim_network_is_never_larger_than_the_run(call: Call) -> None:
    told: list[str] = []
    done = call(tell=told.append, size=224, distil_epochs=3, aware_epochs=2, lessons=1)
    assert told[0] == (
        "balanced: at most 3 points lost, 1000 kB, 4 times as fast as int8; epochs of distillation at 32 px: 3, "
        "epochs of quantisation-aware training: 2"
    )
    assert done.card.input_size == 32


@pytest.mark.usefixtures("slimmed")
def test_speed_of_a_network_that_can_only_be_quantised_is_refused_before_any_work(
    call: Call, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = replace(open_run(run_folder), why_fixed="its head is another")
    monkeypatch.setattr(exporter, "open_run", lambda *_: fixed)
    monkeypatch.setattr(exporter, "predict", lambda *_: pytest.fail("work was begun"))
    with pytest.raises(UsageError) as refusal:
        call(preset="accurate", speed=1.5)
    assert "can only be quantised (its head is another), which makes it no 1.5 times" in str(refusal.value)
    assert str(refusal.value).endswith("give --preset accurate, or --speed 0")


@pytest.mark.usefixtures("slimmed")
def test_a_network_that_can_only_be_quantised_is_quantised(
    call: Call, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = replace(open_run(run_folder), why_fixed="its head is another")
    monkeypatch.setattr(exporter, "open_run", lambda *_: fixed)
    told: list[str] = []
    assert call(tell=told.append, preset="accurate", self_epochs=10, sparsity=0.5).chosen == "int8"
    assert told[0] == "accurate: at most 0.5 points lost; no training"
    done = call()
    assert (done.chosen, done.missed) == (
        "int8", ("int8 is 1.00 times as fast as int8, aimed for were 4 times",)
    )  # fmt: skip


def others(folder: Path) -> str:
    """Pictures of noise."""
    folder.mkdir()
    for number in range(12):
        noise = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        (folder / f"{number}.png").write_bytes(cv2.imencode(".png", noise)[1].tobytes())
    return str(folder)


def test_a_slim_network_is_narrower_sees_smaller_pictures_and_answers_as_the_whole(
    large_run_folder: Path, call: Call, measured: None, speeds: dict[str, float], tmp_path: Path
) -> None:
    """Everything real but the clock: ranking, lessons, distillation, training with quantisation, conversion, proof."""
    model = keras.models.load_model(large_run_folder / "model.keras", compile=False)
    outline, table = Outline.of(model), LatencyTable.of_this_machine_kind()
    whole, wide, narrow = (
        table.predict(outline.layers(widths, size)) for widths, size in (({}, 64), ({}, 32), ({"expand": FEWEST}, 32))
    )
    speed = round(whole / (0.3 * wide + 0.7 * narrow) / 1.05, 3)  # neither all channels nor the fewest
    speeds["slim"] = 1.03 * speed
    told: list[str] = []
    done = call(
        large_run_folder, tell=told.append, size=32, speed=speed, self_epochs=1, distil_epochs=1, lessons=1,
        reference_epochs=1, aware_epochs=1, calibration=12, max_drop=20, unknown=others(tmp_path / "others"),
    )  # fmt: skip
    plain, taught, slim, aware = done.variants[-4:]
    assert (taught.name, taught.size, taught.multiply_adds) == ("int8_selfdistil", plain.size, plain.multiply_adds)
    kept = int(slim.name.removeprefix("int8_slim").removesuffix("_32"))
    assert kept < 100
    assert (aware.name, done.chosen) == (f"int8_qat_slim{kept}_32", done.card.variant)
    assert f"slim network: {kept}% of the channels at 32 px: timed here, before it is taught, " in "\n".join(told)
    assert slim.bytes < plain.bytes
    assert slim.multiply_adds < plain.multiply_adds / 4
    assert min(slim.validation.top1, aware.validation.top1) >= 0.8
    assert done.card.input_size == 32
    classify = Classifier(done.path)
    assert [classify(colours.photo(label, 50)).label for label in colours.LABELS] == list(colours.LABELS)
    page = done.report.read_text()
    assert f"Slimmed: int8_slim{kept}_32" in page
    assert "6 for the threshold, 6 measured on" in page
    assert not list((tmp_path / "cache" / "exports").iterdir())


@pytest.mark.usefixtures("ready")
def test_what_is_none_of_the_classes_is_on_the_card_and_not_in_the_accuracy(
    export: Export, run_folder: Path, root: Path, tmp_path: Path
) -> None:
    """Poppies stand for other things, in a folder that has moved."""
    run, things = tmp_path / "run", tmp_path / "things"
    shutil.copytree(run_folder, run)
    shutil.copytree(root / "poppy", things / "poppy")
    photos = read_manifest(run / "manifest.csv")
    gone: dict[str, Any] = {"label": "unknown", "root": str(tmp_path / "gone")}
    strange = [replace(photo, **gone) if photo.label == "poppy" else photo for photo in photos]
    write_manifest(run / "manifest.csv", strange)
    assert "--others FOLDER" in export(*PLAIN, run=run).errors[-1]
    said = export(*PLAIN, "--others", str(things), run=run)
    assert said.code == 0, said.err
    card = read_model(tmp_path / "model.tflite").card
    assert card is not None
    assert card.labels == ("bluebell", "fern", "unknown")
    assert card.accuracy is not None
    assert (card.accuracy.top1, card.accuracy.photos) == (1.0, 12)
    found = card.unknown
    assert found is not None
    assert (found.pictures, found.made, found.sources) == (10, 0, ("things",))
    assert [(row.name, row.named.value, row.named.pictures) for row in found.measured] == [("things", 0.0, 6)]
    assert found.known is not None
    assert found.known.pictures == 12
    said_of = [max(case.answers, key=lambda label: case.answers[label]) for case in card.golden]
    assert said_of.count("unknown") >= 1
    page = (run / "export/model/report.html").read_text()
    assert "learned from 10 pictures of other things and 0 made of nothing; measured on 6 of things" in page
