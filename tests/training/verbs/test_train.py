"""`flora train` as a person types it: what it prints, what it leaves, what it refuses, in one line each."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import cv2
import pytest

from edge.base.intervals import wilson_interval
from edge.cli import main
from edge.picture import geometry
from tests.training.runs import TINY, Finished, call
from training.config import TrainConfig, read_config
from training.garden.planting import SPECIES
from training.verbs import train


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Path:
    """A finished run that may be spoilt."""
    shutil.copytree(finished.folder, tmp_path / "run")
    return tmp_path / "run"


def test_finished_training_says_what_it_made_and_what_to_type_next(finished: Finished) -> None:
    run, called = finished.folder, finished.called
    assert called.out.startswith("top-1 ")
    assert "confusion matrix" in called.out
    last = called.err.splitlines()[-1]
    assert last == f"wrote {run}; look at {run / 'report.html'}; next: flora export {run} -o finished.tflite"


def test_training_prints_its_settings_and_its_devices(finished: Finished) -> None:
    lines = finished.called.err.splitlines()
    assert "  alpha 0.25" in lines
    assert "  threads 0" in lines
    assert any(line.startswith("devices: ") for line in lines)
    assert "photos: 40 in 5 classes: 30 train, 5 validation, 5 test" in lines
    assert sum(line.startswith("fine-tuning: 9/9 in ") for line in lines) == 1


def test_config_is_what_was_asked_for(finished: Finished, garden: Path) -> None:
    config = read_config(finished.folder)
    assert (config.photos, config.weights, config.epochs) == (str(garden.resolve()), "none", 3)
    assert config.seed == TrainConfig.seed


def test_finished_run_is_measured_again_when_resumed(copied: Path, cache: Path) -> None:
    before = json.loads((copied / "metrics.json").read_text())
    (copied / "metrics.json").unlink()
    called = call("train", "--resume", copied, "--cache", cache, "--json")
    assert called.code == 0, called.err
    assert "fine-tuning" not in called.err
    figures = json.loads(called.out)
    assert figures["run"] == str(copied)
    assert figures["test"] == before["test"]
    right = round(5 * before["test"]["top1"])
    assert figures["test"]["low"] == pytest.approx(wilson_interval(right, 5)[0])
    assert json.loads((copied / "metrics.json").read_text())["test"] == before["test"]


def test_help_has_an_example() -> None:
    called = call("train", "--help")
    assert called.code == 0
    assert "example: flora train photos/ --out runs/flowers" in called.out


def test_folder_that_holds_something_is_refused(garden: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    called = call("train", garden, "--out", tmp_path)
    assert called.code == 1
    assert called.only_line == f"flora: {tmp_path}: there is something in it already; give another --out"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_folder_that_holds_a_run_is_refused_with_a_hint(copied: Path, garden: Path) -> None:
    called = call("train", garden, "--out", copied)
    assert called.code == 1
    assert called.only_line.endswith(f"give another --out, or go on with: flora train --resume {copied}")


def test_out_that_is_a_file_is_refused(garden: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        called = call("train", garden, "--out", out)
        assert called.code == 1
        assert "the run folder cannot be made (Not a directory)" in called.only_line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no photos were named; expected: flora train PHOTOS"),
        (["PHOTOS", "--resume", "RUN"], "leave out PHOTOS and --out"),
        (["--resume", "RUN", "--out", "other"], "leave out PHOTOS and --out"),
        (["--resume", "RUN", "--epochs", "20", "--no-mixed-precision"], "leave out --epochs and --mixed-precision"),
        (["PHOTOS", "--size", "100"], "--size 100: expected a multiple of 32"),
        (["PHOTOS", "--epochs", "0", "--head-epochs", "0"], "trains nothing"),
        (["PHOTOS", "--rate", "0"], "--rate 0.0: expected a value"),
        (["PHOTOS", "--threads", "-2"], "--threads -2: expected a value"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors_leave_nothing(
    finished: Finished,
    garden: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"PHOTOS": str(garden), "RUN": str(finished.folder)}
    called = call("train", *(names.get(argument, argument) for argument in arguments))
    assert called.code == 2
    assert message in called.only_line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "option", [["--size", "big"], ["--backbone", "resnet"], ["--faster"], ["--epoch", "3"]], ids=" ".join
)
def test_options_that_do_not_exist_end_with_code_2(garden: Path, option: list[str]) -> None:
    called = call("train", garden, *option)
    assert called.code == 2
    assert option[0] in called.only_line


def test_missing_weights_file_leaves_nothing(garden: Path, tmp_path: Path) -> None:
    called = call("train", garden, "--out", tmp_path / "run", "--weights", tmp_path / "gone.h5")
    assert called.code == 1
    assert "gone.h5: no such file; expected imagenet, none or a Keras weights file (.h5)" in called.only_line
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_leave_nothing(
    garden: Path, pretrained: Path, tiny: tuple[str, ...], tmp_path: Path
) -> None:
    arguments = ("train", garden, "--out", tmp_path / "run", "--weights", pretrained, *tiny, "--alpha", "0.5")
    called = call(*arguments)
    assert called.code == 1
    assert "does not fit mobilenet with alpha 0.5" in called.complaint
    assert not (tmp_path / "run").exists()


def test_weights_file_is_remembered_wherever_the_run_is_resumed(
    garden: Path, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(config: TrainConfig, folder: Path, *_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(pretrained.parent)
    monkeypatch.setattr(train, "_train", stop)
    called = call("train", garden, "--out", tmp_path / "run", "--weights", pretrained.name)
    assert called.code == 130
    assert called.err.splitlines()[-2:] == [
        f"stopped; go on with: flora train --resume {tmp_path / 'run'}", "flora: interrupted"
    ]  # fmt: skip
    assert read_config(tmp_path / "run").weights == str(pretrained.resolve())


def photos(folder: Path, *kinds: str, empty: tuple[str, ...] = (), garden: Path) -> Path:
    """A copy of some classes of the garden, and some empty ones."""
    for kind in kinds:
        shutil.copytree(garden / kind, folder / kind)
    for kind in empty:
        (folder / kind).mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("kinds", "empty", "message"),
    [
        (("roses",), (), "one class only (roses); expected two or more class folders"),
        (("roses",), ("tulips",), "too few usable photos in roses (8), tulips (0)"),
        ((), ("roses", "tulips"), "too few usable photos in roses (0), tulips (0)"),
    ],
    ids=["one class", "an empty class", "nothing but empty classes"],
)
def test_photos_that_cannot_be_trained_on_leave_nothing(
    garden: Path, tmp_path: Path, kinds: tuple[str, ...], empty: tuple[str, ...], message: str
) -> None:
    folder = photos(tmp_path / "photos", *kinds, empty=empty, garden=garden)
    called = call("train", folder, "--out", tmp_path / "run", "--weights", "none")
    assert called.code == 1
    assert message in called.complaint
    assert not (tmp_path / "run").exists()


def test_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    called = call("train", tmp_path / "photos", "--out", tmp_path / "run")
    assert called.code == 1
    assert "photos: no such folder; expected a folder with one folder of photos per class" in called.only_line


def test_too_few_photos_are_counted(garden: Path, tmp_path: Path) -> None:
    called = call("train", garden, "--out", tmp_path / "run", "--weights", "none", "--min-photos", "9")
    assert called.code == 1
    assert "too few usable photos in daisy (8)" in called.complaint
    assert not (tmp_path / "run").exists()


def test_unreadable_photos_are_listed_and_left_out(
    garden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.fitting import fit

    folder = tmp_path / "photos"
    shutil.copytree(garden, folder)
    (folder / "roses" / "empty.jpg").write_bytes(b"")
    (folder / "roses" / "notes.txt").write_text("not a picture")
    whole = next((folder / "tulips").glob("*.jpg"))
    (folder / "tulips" / "cut.jpg").write_bytes(whole.read_bytes()[:500])

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "_train", stop)
    called = call("train", folder, "--out", tmp_path / "run", "--weights", "none", "--min-photos", "8")
    assert called.code == 130
    assert "photos: 40 in 5 classes" in called.err
    with (tmp_path / "run" / "left_out.csv").open(newline="") as file:
        rows = dict(list(csv.reader(file))[1:])
    assert sorted(rows) == ["roses/empty.jpg", "roses/notes.txt", "tulips/cut.jpg"]
    assert "cut short" in rows["tulips/cut.jpg"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda run: (run / "config.json").unlink(),
            "no config.json in it; expected a run folder made by: flora train",
        ),
        (lambda run: (run / "config.json").write_text('{"format": 1, "pho'), "config.json: cannot be read as JSON"),
        (lambda run: (run / "manifest.csv").write_text("path,sha"), "manifest.csv: the manifest does not begin with"),
        (lambda run: cut(run / "manifest.csv"), "manifest.csv: the manifest "),
        (lambda run: cut(run / "model.keras"), "model.keras: cannot be read as a Keras model"),
        (lambda run: cut(run / "checkpoint" / "state.npz"), "state.npz: the checkpoint is broken"),
        (shutil.rmtree, "no config.json in it"),
    ],
    ids=["no config", "cut config", "no manifest", "cut manifest", "cut model", "cut checkpoint", "no folder"],
)
def test_spoilt_run_is_told_in_one_line(copied: Path, cache: Path, spoil: object, message: str) -> None:
    assert callable(spoil)
    spoil(copied)
    called = call("train", "--resume", copied, "--cache", cache)
    assert called.code == 1
    assert message in called.complaint


def cut(path: Path) -> None:
    """Cut a file in its middle, as a full disk does."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def test_error_while_resuming_takes_nothing_away(copied: Path, cache: Path) -> None:
    cut(copied / "manifest.csv")
    before = sorted(path.name for path in copied.iterdir())
    assert call("train", "--resume", copied, "--cache", cache).code == 1
    assert sorted(path.name for path in copied.iterdir()) == before


def test_unwritable_cache_is_one_line(garden: Path, tiny: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    arguments = ("train", garden, "--out", tmp_path / "run", "--weights", "none", *tiny)
    called = call(*arguments, "--cache", tmp_path / "file")
    assert called.code == 1
    assert "the photo cache cannot be written (Not a directory)" in called.complaint
    assert not (tmp_path / "run").exists()


def test_flowers_are_downloaded_first(tmp_path: Path, garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained_on: list[str] = []

    def stop(config: TrainConfig, folder: Path, *_: object) -> None:
        trained_on.append(config.photos)
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "flower_photos", lambda bar: garden)
    monkeypatch.setattr(train, "_train", stop)
    assert call("train", "flowers").code == 130
    assert trained_on == [str(garden.resolve())]
    assert (tmp_path / "runs" / garden.name / "config.json").exists()


def test_helper_of_several_machines_writes_nothing(
    garden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is not the chief shares the chief's folder, and leaves it as it is."""
    cluster = {"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("the chief's")
    called = call("train", garden, "--out", tmp_path / "run", "--weights", "none", "--min-photos", "9")
    assert "too few usable photos" in called.complaint
    assert (tmp_path / "run" / "config.json").read_text() == "the chief's"


def test_none_of_these_is_learned_without_being_asked_for(garden: Path, cache: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    for number, path in enumerate(sorted((garden / "daisy").glob("*.jpg"))):
        (others / f"kind{number}").mkdir(parents=True)
        picture = geometry.read_photo(path)[::-1]
        (others / f"kind{number}" / "a.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    tiny = [*TINY[: TINY.index("--others")], "--weights", "none", "--cache", str(cache)]
    run = tmp_path / "run"
    called = call("train", garden, "--out", run, *tiny, "--others", others)
    assert called.code == 0, called.err
    assert "photos: 40 in 5 classes: 30 train, 5 validation, 5 test" in called.err
    assert "pictures of none of them: 14: 12 train, 1 validation, 1 test" in called.err
    assert (run / "labels.txt").read_text().split() == [*sorted(SPECIES), "unknown"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["n"] == 5
    assert metrics["test"]["labels"] == sorted(SPECIES)
    assert metrics["photos"]["unknown"] == {"train": 12, "validation": 1, "test": 1}
    (run / "metrics.json").unlink()
    assert call("train", "--resume", run, "--cache", cache).code == 0
    assert json.loads((run / "metrics.json").read_text())["test"] == metrics["test"]


def stopped(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """Nothing is trained; what would have been is in the list."""
    asked: list[TrainConfig] = []

    def stop(config: TrainConfig, folder: Path, *_: object) -> None:
        asked.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "_train", stop)
    return asked


def test_folders_of_other_things_are_kept_as_absolute_paths(
    garden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = stopped(monkeypatch)
    (tmp_path / "things").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "public_others", lambda bar: tmp_path / "public")
    assert call("train", garden, "--others", "things", "--others", "public").code == 130
    assert asked[0].other_things == (str(tmp_path / "things"), str(tmp_path / "public"))
    assert read_config(tmp_path / "runs" / garden.name).other_things == asked[0].other_things


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (["things"], "--others things: no such folder; expected a folder of pictures that show none of the classes"),
        (["none", "."], "--others none with another --others"),
    ],
    ids=["missing", "none and some"],
)
def test_other_things_that_are_none_are_one_line(
    others: list[str], message: str, garden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = [word for folder in others for word in ("--others", folder)]
    assert message in call("train", garden, *options).only_line
    assert not (tmp_path / "runs").exists()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "folder"), [("\n", "Background"), ("y\n", "Background"), ("n\n", "unknown")])
def test_a_folder_called_like_nothing_is_asked_about_at_a_terminal(
    typed: str, folder: str, garden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, stderr = stopped(monkeypatch), Terminal()
    shutil.copytree(garden, tmp_path / "photos")
    (tmp_path / "photos/daisy").rename(tmp_path / "photos/Background")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    monkeypatch.setattr("sys.stderr", stderr)
    assert main(["train", "photos"]) == 130
    assert stderr.getvalue().count("does the folder Background hold pictures of none of the classes?") == 1
    assert asked[0].unknown_folder == folder


def test_elsewhere_it_is_told_and_may_be_named(garden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stopped(monkeypatch)
    shutil.copytree(garden, tmp_path / "photos")
    (tmp_path / "photos/daisy").rename(tmp_path / "photos/other")
    monkeypatch.chdir(tmp_path)
    called = call("train", "photos")
    assert "other is taken for a class like any other; if its pictures show none" in called.err
    assert "--unknown-folder other" in called.err
    assert call("train", "photos", "--unknown-folder", "other").code == 130
    assert [config.unknown_folder for config in asked] == ["unknown", "other"]
    assert "no such class folder" in call("train", "photos", "--unknown-folder", "nothing").only_line
