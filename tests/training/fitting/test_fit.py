"""A training from photos to a run folder, and the network that it leaves."""

from __future__ import annotations

import csv
import errno
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import training
from edge.base import progress
from edge.errors import ModelError, OutputError, PhotoError
from edge.photos.manifest import read_manifest
from tests.training import small
from tests.training.runs import Finished, call, weights_of
from training.config import TrainConfig, read_config
from training.fitting import fit
from training.fitting.checkpoint import load_state
from training.network import backbone, inference
from training.network.keras import keras
from training.photos import listing
from training.photos.views import device_views

ROOT = Path(training.__file__).resolve().parents[1]
SIZE, CLASSES = 32, 3
CONFIG = TrainConfig("photos", backbone="mobilenet", alpha=0.25, size=SIZE, weights="none", min_photos=4)


def test_model_trained_in_float16_is_saved_in_float32(tmp_path: Path) -> None:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        trained = backbone.build("mobilenet", 0.25, SIZE, CLASSES)
        backbone.initialise(trained, 3)
        assert trained.get_layer("conv1").compute_dtype == "float16"
        fit._save_model(trained.get_weights(), CONFIG, CLASSES, tmp_path / "model.keras")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    saved = inference.load_model(tmp_path)
    assert {layer.compute_dtype for layer in saved.layers} == {"float32"}
    for one, two in zip(trained.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_full_disk_leaves_no_model(tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_up(_: Any, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", fill_up)
    with pytest.raises(OutputError, match=r"model\.keras: the model cannot be written \(No space left on device\)"):
        fit._save_model(model.get_weights(), CONFIG, CLASSES, tmp_path / "model.keras")
    assert list(tmp_path.iterdir()) == []


def test_class_weights_make_every_class_count_alike(garden: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(garden, photos)
    for path in sorted((photos / "tulips").iterdir())[:4]:
        path.unlink()
    for balance in (False, True):
        (run := tmp_path / f"{balance}").mkdir()
        config = TrainConfig(str(photos), min_photos=4, balance=balance)
        listed = listing.list_photos(config, run, progress.silent, lambda _: None)
        split = {name: [photo for photo in listed if photo.split == name] for name in ("train", "validation", "test")}
        labels = tuple(sorted({photo.label for photo in listed}))
        job = fit._Job(config, split, labels, photos, run, run, Any, progress.silent)  # type: ignore[arg-type]
        truth, weights = job.truth("train"), job.loss_weights()
        sums = [weights[truth == number].sum() for number in range(len(labels))]
        assert weights.mean() == pytest.approx(1)
        assert sums == pytest.approx([weights.sum() / 5] * 5 if balance else [6, 6, 6, 6, 2])


def test_finished_run_holds_everything(finished: Finished) -> None:
    names = {path.relative_to(finished.folder).as_posix() for path in finished.folder.rglob("*") if path.is_file()}
    plots = {f"plots/{name}.png" for name in ("history", "confusion", "reliability", "mistakes", "augmented")}
    assert names == plots | {
        "config.json", "manifest.csv", "left_out.csv", "model.keras", "history.csv", "metrics.json", "report.html",
        "labels.txt", "checkpoint/state.npz",
    }  # fmt: skip


def test_finished_run_keeps_its_history_and_not_its_tensors(finished: Finished) -> None:
    state = load_state(finished.folder / "checkpoint" / "state.npz")
    assert state is not None
    assert [row["epoch"] for row in state.reached.history] == [1, 2, 3]
    assert (state.weights, state.average, state.best, state.optimizer) == ([], [], [], [])


def test_network_of_a_run_is_the_averaged_one_that_validated_best(finished: Finished) -> None:
    """Its validation figures are those in the row of its best epoch."""
    config, photos = read_config(finished.folder), read_manifest(finished.folder / "manifest.csv")
    members = [photo for photo in photos if photo.split == "validation"]
    labels = sorted({photo.label for photo in photos})
    answers = inference.predict(
        inference.load_model(finished.folder),
        device_views(Path(config.photos), [photo.path for photo in members], config.size),
    )
    truth = np.array([labels.index(photo.label) for photo in members])
    with (finished.folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    best = min(rows, key=lambda row: float(row["val_loss"]))
    from training.fitting.phase import cross_entropy

    assert cross_entropy(answers, truth, config.label_smoothing) == pytest.approx(float(best["val_loss"]), abs=1e-5)


def test_another_seed_gives_another_network(
    garden: Path, tiny: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpainted: None
) -> None:
    monkeypatch.setattr(backbone, "_trunk", small.trunk)
    runs = [tmp_path / seed for seed in ("1", "2")]
    for run in runs:
        called = call(
            "train", garden, "--out", run, "--weights", "none", *tiny, "--seed", run.name, "--epochs", "1"
        )  # fmt: skip
        assert called.code == 0, called.err
    first, other = map(weights_of, runs)
    assert any((one != two).any() for one, two in zip(first, other, strict=True))
    manifests = [read_manifest(run / "manifest.csv") for run in runs]
    assert manifests[0] != manifests[1]  # the split is drawn by the seed too


def test_history_that_is_gone_is_told_in_one_line(finished: Finished, cache: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished.folder, run)
    shutil.rmtree(run / "checkpoint")
    with pytest.raises(ModelError, match=r"the training has finished, but .*state\.npz with its history is gone"):
        fit.fit(read_config(run), run, cache)


def test_photo_that_is_gone_is_told_in_one_line(garden: Path, tmp_path: Path) -> None:
    photos, run = tmp_path / "photos", tmp_path / "run"
    shutil.copytree(garden, photos)
    run.mkdir()
    config = TrainConfig(str(photos), backbone="mobilenet", alpha=0.25, size=SIZE, weights="none", min_photos=4)
    listed = listing.list_photos(config, run, progress.silent, lambda _: None)
    gone = next(photo.path for photo in listed if photo.split == "validation")
    (photos / gone).unlink()
    with pytest.raises(PhotoError, match=f"{gone}: cannot be read"):
        fit.fit(config, run, tmp_path / "cache")


MIRRORED = """
import sys
from pathlib import Path
import numpy as np
from training.network.keras import tf
from training.network import backbone, inference; from training.fitting import fit
from training.config import TrainConfig
from training.network.strategy import Devices
from tests.training import small

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

backbone._trunk = small.trunk
backbone.load_weights = lambda model, *_: backbone.initialise(model, 1)
photos, out = (Path(name) for name in sys.argv[1:])
config = TrainConfig(
    str(photos), size=32, weights="stand-in", batch=8, min_photos=4, epochs=2, head_epochs=2, rate=0.01, average=0.5
)
saved = {}
for name, make in (
    ("one", tf.distribute.get_strategy), ("two", lambda: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
):
    strategy = make()
    fit.choose_devices = lambda **_: Devices(strategy, f"{strategy.num_replicas_in_sync} devices", False)
    (run := out / name).mkdir()
    steps = []
    trained = fit.fit(config, run, out / "cache", lambda title: lambda done, total=0, note="": steps.append(title))
    print(trained.devices, steps.count("fine-tuning"))
    saved[name] = inference.load_model(run).get_weights()
start = fit._fresh_model(config, 6).get_weights()
for other in (saved["two"], start):
    print(max(np.abs(one - two).max() for one, two in zip(saved["one"], other)))
"""


def test_two_devices_train_what_one_does(garden: Path, tmp_path: Path) -> None:
    """Mirrored CPUs, each with half of every batch, end with the average that one ends with; the backbone is small."""
    command = [sys.executable, "-c", MIRRORED, str(garden), str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    one, two, between, moved = ended.stdout.strip().splitlines()
    assert (one, two) == ("1 devices 8", "2 devices 8")
    assert float(between) < 1e-3
    assert float(moved) > 1e-2
