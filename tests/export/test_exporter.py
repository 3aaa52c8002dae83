"""`flora export` from a finished run to the model file, and every way in which it may refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import export.exporter as exporter
from edge import geometry
from edge.card import read_model
from edge.classifier import Classifier
from edge.cli import main
from edge.manifest import read_manifest
from export import budget, quantize
from export.config import ExportConfig
from tests.export import colours
from tests.export.conftest import Export, Said
from training.fit import predict

COLUMNS = ["variant", "val", "top-1", "test", "top-1", "(95", "%)", "agree", "kB", "gzip", "kB", "zeros", "ms"]
NAMES = ["float32", "dynamic_range", "int8", "int8_pruned50"]


@pytest.fixture(scope="module")
def whole(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Said, Path]:
    """The command as a person runs it, once, with everything real, in a process of its own."""
    folder, home = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("home")
    command = [sys.executable, "-m", "edge.cli", "export", str(run_folder), "-o", "model.tflite", "--json"]
    options = [
        "--cache",
        "cache",
        "--prune-epochs",
        "2",
        "--calibration",
        "12",
        "--licence",
        "CC0",
        "--max-drop",
        "100",
    ]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [*command, *options], cwd=folder, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root), "HOME": str(home)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr), folder


def test_whole_export_writes_one_file_that_names_photos(whole: tuple[Said, Path]) -> None:
    said, folder = whole
    assert said.code == 0, said.err
    assert {path.name for path in folder.iterdir()} == {"model.tflite", "cache"}
    classify = Classifier(folder / "model.tflite")
    assert [classify(colours.photo(label, 50)).label for label in colours.LABELS] == list(colours.LABELS)


def test_terminal_shows_bars_and_the_next_command_and_nothing_of_tensorflow(whole: tuple[Said, Path]) -> None:
    said, _ = whole
    *finish, line = said.errors
    assert [words.split()[0] for words in finish[:2]] == ["temperature", '"unknown"']
    assert "golden cases inside; report: " in finish[2]
    assert finish[2].endswith("/colours/export/model/report.html")
    assert line.startswith("wrote model.tflite (")
    assert line.endswith("next: flora run model.tflite --source 0")
    assert len(said.out.splitlines()) == 1


def test_json_has_each_variant_with_its_sparsity_by_layer(whole: tuple[Said, Path]) -> None:
    record = json.loads(whole[0].out)
    assert [variant["name"] for variant in record["variants"]] == NAMES
    dense, pruned = record["variants"][2:]
    assert set(dense["sparsity_by_layer"].values()) == {0.0}
    assert {name: round(share, 2) for name, share in pruned["sparsity_by_layer"].items() if share} == {
        "expand": 0.5, "project": 0.5, "shortcut": 0.5,
    }  # fmt: skip
    assert pruned["gzip_bytes"] < dense["gzip_bytes"]
    assert record["chosen"] == "int8_pruned50"
    assert all(variant["p50_ms"] > 0 for variant in record["variants"])


def test_card_holds_what_the_table_says(whole: tuple[Said, Path]) -> None:
    said, folder = whole
    record, card = json.loads(said.out), read_model(folder / "model.tflite").card
    assert card is not None
    chosen = next(variant for variant in record["variants"] if variant["is_chosen"])
    assert (card.variant, card.licence, card.attribution) == ("int8_pruned50", "CC0", "")
    assert card.accuracy is not None
    assert card.float_accuracy is not None
    assert (card.accuracy.top1, card.accuracy.photos) == (chosen["test"]["top1"], 18)
    assert card.float_accuracy.top1 == record["float_test"]["top1"]
    assert record["bytes"] == (folder / "model.tflite").stat().st_size


def test_keras_row_is_that_of_the_trained_network_whatever_pruning_does(whole: tuple[Said, Path]) -> None:
    """Pruning works on a copy: the network that everything is compared with stays right on every photo."""
    record = json.loads(whole[0].out)
    assert (record["float_validation"]["top1"], record["float_test"]["top1"]) == (1.0, 1.0)
    assert record["variants"][0]["agreement"] == 1.0


@pytest.mark.usefixtures("ready")
def test_table_goes_to_stdout_with_each_variant(export: Export) -> None:
    said = export("--sparsity", "0")
    assert said.code == 0
    head, *rows = said.out.splitlines()
    assert head.split() == COLUMNS
    assert [row.split()[0] for row in rows] == ["keras", "float32", "dynamic_range", "int8"]
    assert rows[-1].endswith("<- written")


@pytest.mark.usefixtures("ready")
def test_accuracy_in_the_table_is_that_of_the_tflite_runtime(
    export: Export, monkeypatch: pytest.MonkeyPatch, run_folder: Path
) -> None:
    """A Keras network that is always wrong changes its own row and the agreement, not the accuracy of the files."""
    monkeypatch.setattr(exporter, "predict", lambda model, views, bar=None: np.roll(predict(model, views), 1, axis=1))
    record = json.loads(export("--sparsity", "0", "--json").out)
    assert record["float_validation"]["top1"] == 0
    assert [(v["validation"]["top1"], v["test"]["top1"], v["agreement"]) for v in record["variants"]] == [(1, 1, 0)] * 3


@pytest.mark.usefixtures("ready")
def test_test_photos_are_read_only_after_the_choice(
    export: Export, run_folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    read, choose = geometry.read_photo, budget.choose

    def spy_read(path: Any) -> Any:
        events.append(str(Path(path).relative_to(root)))
        return read(path)

    def spy_choose(*args: Any, **kwargs: Any) -> Any:
        events.append("choice")
        return choose(*args, **kwargs)

    monkeypatch.setattr(geometry, "read_photo", spy_read)
    monkeypatch.setattr(exporter, "choose", spy_choose)
    assert export("--sparsity", "0").code == 0
    split_of = {photo.path: photo.split for photo in read_manifest(run_folder / "manifest.csv")}
    choice = events.index("choice")
    assert {split_of[path] for path in events[:choice]} == {"train", "validation"}
    assert {path for path in events[choice + 1 :] if split_of[path] == "test"} == {
        path for path, split in split_of.items() if split == "test"
    }


def test_calibration_is_training_photos_of_every_class_as_the_device_sees_them(
    export: Export, run_folder: Path, root: Path, flatbuffers: dict[str, bytes], monkeypatch: pytest.MonkeyPatch,
    ready: None,
) -> None:  # fmt: skip
    given: list[Any] = []

    def convert(model: Any, views: Any) -> bytes:
        given.append(views)
        return flatbuffers["int8"]

    monkeypatch.setattr(quantize, "convert_int8", convert)
    assert export("--sparsity", "0", "--calibration", "6").code == 0
    train = [photo for photo in read_manifest(run_folder / "manifest.csv") if photo.split == "train"]
    views = {geometry.model_input(geometry.read_photo(root / p.path), colours.SIZE).tobytes(): p.label for p in train}
    (calibration,) = given
    assert [views[view.tobytes()] for view in calibration] == ["bluebell"] * 2 + ["fern"] * 2 + ["poppy"] * 2


@pytest.fixture(scope="module")
def ruined(calibration: Any, model: Any) -> bytes:
    """An int8 file with borders as they should be and wrong answers: what a bad quantisation looks like."""
    network = colours.network()
    network.set_weights([-array if array.ndim == 4 else array for array in model.get_weights()])
    return quantize.convert_int8(network, calibration)


@pytest.fixture
def ruin(ready: None, ruined: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "convert_int8", lambda model, views: ruined)


REFUSALS = [
    pytest.param(
        ["--max-drop", "0"], "the most accurate variant, int8, loses ", id="bad quantisation, no drop allowed"
    ),
    pytest.param(["--max-drop", "30"], "allowed are 30; raise --max-drop", id="bad quantisation, some drop allowed"),
    pytest.param(["--max-kb", "1"], "the smallest variant, int8, takes ", id="too large"),
]


@pytest.mark.usefixtures("ruin")
@pytest.mark.parametrize(("options", "message"), REFUSALS)
@pytest.mark.parametrize("is_json", [False, True], ids=["table", "json"])
def test_refusal_shows_the_variants_and_one_line_and_leaves_the_old_file(
    options: list[str], message: str, is_json: bool, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.tflite").write_bytes(b"the old one")
    monkeypatch.setattr(exporter, "_test", lambda *_: pytest.fail("test photos were read"))
    said = export("--sparsity", "0", *options, *["--json"] * is_json)
    assert said.code == 1
    (line,) = said.errors
    assert line.startswith("flora: nothing was written: ")
    assert message in line
    assert (tmp_path / "model.tflite").read_bytes() == b"the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]
    if is_json:
        assert json.loads(said.out)["refused"] in line
    else:
        assert [row.split()[0] for row in said.out.splitlines()] == [
            "variant",
            "keras",
            "float32",
            "dynamic_range",
            "int8",
        ]


def test_wrong_normalisation_in_calibration_is_refused(
    export: Export, tmp_path: Path, flatbuffers: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize, "convert_float", lambda model: flatbuffers["float32"])
    monkeypatch.setattr(quantize, "convert_dynamic_range", lambda model: flatbuffers["dynamic_range"])
    monkeypatch.setattr(quantize, "normalise", lambda pixels: pixels.astype(np.float32))
    said = export("--sparsity", "0")
    assert said.code == 1
    (line,) = said.errors
    assert "int8: the input came out with scale 1.000000" in line
    assert not (tmp_path / "model.tflite").exists()


@pytest.mark.usefixtures("ready")
def test_file_is_no_larger_than_allowed(export: Export, tmp_path: Path, flatbuffers: dict[str, bytes]) -> None:
    """The limit counts the labels and the card, and wastes little."""
    assert export("--sparsity", "0").code == 0
    size = (tmp_path / "model.tflite").stat().st_size
    assert size > len(flatbuffers["int8"]) + 500
    assert export("--sparsity", "0", "--max-kb", str((size - 1) / 1000)).code == 1
    assert export("--sparsity", "0", "--max-kb", str((size + 400) / 1000)).code == 0


@pytest.mark.usefixtures("ready")
def test_full_disk_is_one_line_and_leaves_the_old_file(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "model.tflite").write_bytes(b"the old one")
    monkeypatch.setattr("export.package.os.fsync", full)
    said = export("--sparsity", "0")
    assert said.code == 1
    (line,) = said.errors
    assert line.endswith("cannot be written (No space left on device); free some space or write somewhere else")
    assert (tmp_path / "model.tflite").read_bytes() == b"the old one"


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("absent/model.tflite", "there is no folder "),
        ("folder", "a folder; expected the name of a file"),
        ("/proc/model.tflite", "no file can be written to that folder"),
    ],
)
def test_impossible_output_is_told_before_any_work(
    out: str, message: str, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(exporter, "open_run", lambda *_: pytest.fail("work was begun"))
    said = export("-o", str(tmp_path / out))
    assert said.code == 1
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("flora: ")
    assert message in line


@pytest.mark.usefixtures("ready")
def test_default_output_is_the_name_of_the_run_here(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(run_folder), "--sparsity", "0"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["colours.tflite"]
    assert capsys.readouterr().err.splitlines()[-1].endswith("next: flora run colours.tflite --source 0")


@pytest.mark.usefixtures("ready")
def test_next_command_can_be_pasted_whatever_the_name(export: Export, tmp_path: Path) -> None:
    said = export("--sparsity", "0", "-o", str(tmp_path / "my flowers.tflite"))
    assert said.errors[-1].endswith(f"next: flora run '{tmp_path / 'my flowers.tflite'}' --source 0")


@pytest.mark.usefixtures("ready")
def test_library_call_reports_its_stages(run_folder: Path, tmp_path: Path) -> None:
    titles: list[str] = []

    def stages(title: str) -> Callable[..., None]:
        titles.append(title)
        return lambda done, total=0, note="": None

    done = exporter.export(ExportConfig(sparsity=0), run_folder, tmp_path / "m.tflite", tmp_path, stages)
    assert done.chosen == "int8"
    assert titles == [
        "reading validation photos", "predicting with Keras", "reading calibration photos", "measuring variants",
        "reading training photos", "finishing", "reading test photos", "measuring on test photos",
    ]  # fmt: skip
