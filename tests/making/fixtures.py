"""Make one file of each kind that Flora writes, small, and what this Flora reads in them, for the tests of later ones.

    python -m tests.making.fixtures tests/fixtures/v0_2

In:  a folder to make.
Out: in it photos/, run/ and interrupted/ (a training broken off after two epochs), flowers.tflite, recording/,
     uncertain/, table.json, cache/ (decoded photos), work/ (what an export keeps), and answers.json: `read_all` of all.

The network is the tiny one of tests/export/colours.py, in the place of a MobileNet; all else is Flora's own doing.
tests/test_fixtures.py reads the folders with whatever Flora has become and compares.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

from edge.contract.frame import Frame
from edge.live.hub import Hub
from edge.live.loop import Live, LiveConfig
from edge.live.replay import read_session
from edge.machine.layers import ConvLayer, LayerTiming, NetworkTiming, Timings, table_text
from edge.model.classifier import Classifier
from edge.photos.manifest import Photo, read_manifest
from edge.picture.geometry import read_photo
from edge.picture.png import is_train_only
from edge.sinks.jsonl import JsonLinesFile
from edge.sinks.uncertain.kept import LABELLED
from edge.sinks.uncertain.store import UncertainStore
from export.config import ExportConfig
from export.exporter import export
from export.network.outline import KINDS, Outline
from export.opening.finished_run import open_run
from export.presets import Plan
from export.slimming.latency import LatencyTable
from export.slimming.slimming import Slimming
from export.teaching.teacher import Teacher
from tests.edge import fakes
from tests.edge.sinks.recording import sessions
from tests.export import colours
from training.config import TrainConfig, read_config
from training.fitting.augmentation import Augmentation, epoch_batches
from training.fitting.cache import build_cache
from training.fitting.checkpoint import load_state
from training.fitting.closing import evaluate_run
from training.fitting.fit import fit
from training.garden.planting import SPECIES, render_flower
from training.network import backbone
from training.network.inference import load_model, predict
from training.photos.views import device_views

LABELS, PER_CLASS, PHOTO_WH = SPECIES[:3], 10, (40, 32)
SIZE, SLIM_SIZE = colours.SIZE, 16  # pixels
EPOCHS = 30
SHORT, BROKEN_OFF_AFTER = 4, 2  # epochs of the interrupted run
RECORDED, UNSURE = 12, 3  # frames
PLAN = Plan(
    max_drop=100.0, max_kb=0.0, speed=4.5, size=SLIM_SIZE, self_epochs=0, distil_epochs=2, lessons=1,
    reference_epochs=0, aware_epochs=0, sparsity=0.0,
)  # fmt: skip
ANSWERS, LINES, REPLAYED = "answers.json", "live.jsonl", "replayed.jsonl"


def config(epochs: int = EPOCHS) -> TrainConfig:
    """What a run of the fixtures was asked for; its photos lie beside it."""
    return TrainConfig(
        "photos", "mobilenet", 0.25, SIZE, "none", batch=6, epochs=epochs, rate=1e-2, patience=99, crop=0.8,
        min_photos=4,
    )  # fmt: skip


@contextlib.contextmanager
def tiny_networks() -> Iterator[None]:
    """Trainings build the tiny network."""

    def build(name: str, alpha: float, size: int, num_classes: int, **others: Any) -> Any:
        return colours.network(num_classes=num_classes, size=size)

    with patch.object(backbone, "build", build):
        yield


def read_all(folder: Path) -> dict[str, Any]:
    """All that is read in a folder of fixtures, by kind, as JSON has it; the working folder must be `folder`."""
    return {name: json.loads(json.dumps(read(folder))) for name, read in READERS.items()}


def read_run(folder: Path) -> dict[str, Any]:
    run, written = folder / "run", json.loads((folder / "run" / "config.json").read_text())
    found, state = read_config(run), load_state(run / "checkpoint" / "state.npz")
    photos = read_manifest(run / "manifest.csv")
    return {
        "config": {name: getattr(found, name) for name in written if hasattr(found, name) and name != "format"},
        "photos": [[one.path, one.sha256, one.label, one.split, one.width, one.height] for one in photos],
        "history": state.reached.history if state else None,
        "probabilities": probabilities(load_model(run), folder, photos),
    }


def read_interrupted(folder: Path) -> dict[str, Any]:
    """The training gone on with, in a copy, to its end."""
    copy = folder / "gone on with"
    shutil.copytree(folder / "interrupted", copy)
    with tiny_networks():
        done = fit(read_config(copy), copy, folder / "cache")
    found = probabilities(load_model(copy), folder, done.photos)
    shutil.rmtree(copy)
    return {"epochs": [row["epoch"] for row in done.history], "probabilities": found}


def probabilities(model: Any, folder: Path, photos: tuple[Photo, ...]) -> list[list[float]]:
    """A Keras network's answers to the photos of a manifest."""
    views = device_views(folder / "photos", [photo.path for photo in photos], int(model.input_shape[1]))
    return [[float(value) for value in row] for row in predict(model, views)]


def read_model_file(folder: Path) -> dict[str, Any]:
    classify = Classifier(folder / "flowers.tflite", threads=1)
    card, photos = classify.card, sorted((folder / "photos").glob("*/*.jpg"))
    assert card is not None
    results = [classify(read_photo(photo)) for photo in photos]
    return {
        "labels": card.labels,
        "variant": card.variant,
        "accuracy": card.accuracy and [card.accuracy.top1, card.accuracy.low, card.accuracy.high, card.accuracy.photos],
        "rejection": card.rejection and [card.rejection.score, card.rejection.threshold, card.rejection.coverage],
        "temperature": card.calibration and card.calibration.temperature,
        "licence": card.licence,
        "created": card.created,
        "golden": [verdict.passed for verdict in classify.verify()],
        "probabilities": [[float(value) for value in result.probabilities] for result in results],
    }


def read_recording(folder: Path) -> dict[str, Any]:
    """The JSON lines of a replay."""
    session, lines = read_session(folder / "recording"), folder / REPLAYED
    lines.unlink(missing_ok=True)
    hub = Hub(clock=session.clock, wall=session.wall)
    classify = session.timed(Classifier(folder / "recording" / "colours.tflite", threshold=session.threshold))
    source, config = session.source(hub.tell), session.config(LiveConfig())
    summary = Live(hub, classify, source, [JsonLinesFile(lines)], config, gate=session.gate).run()
    return {"lines": lines.read_text().splitlines(), "warnings": summary.warnings}


def read_uncertain(folder: Path) -> dict[str, Any]:
    store = UncertainStore(folder / "uncertain", fakes.LABELS)
    labelled = sorted((folder / "uncertain" / LABELLED).glob("*/*.png"))
    return {
        "waiting": [[one.name, one.time, one.answers] for one in store.waiting()],
        "labelled": [[str(path.relative_to(folder)), is_train_only(path.read_bytes())] for path in labelled],
    }


def read_table(folder: Path) -> dict[str, Any]:
    table = LatencyTable.read(folder / "table.json")
    return {"device": table.device, "ms": list(table.predict_each(Outline.of(colours.network()).layers({}, SIZE)))}


def read_cache(folder: Path) -> dict[str, Any]:
    """The decoded photos of the run, without the photos themselves: what a training makes of them."""
    train = [photo for photo in read_manifest(folder / "run" / "manifest.csv") if photo.split == "train"]
    paths, hashes = [photo.path for photo in train], [photo.sha256 for photo in train]
    cached = build_cache(folder / "cache", folder / "no photos", paths, hashes, SIZE)
    truth = np.array([LABELS.index(photo.label) for photo in train], np.int64)
    how = Augmentation(SIZE, 1.0, 0.0, 0.0, 16)
    batches = epoch_batches(cached, truth, np.ones(len(train), np.float32), how, batch=len(train), seed=1, epoch=0)
    (pictures, _), target, _ = next(iter(batches))
    return {"means": pictures.numpy().mean(axis=(1, 2)).tolist(), "classes": target.numpy().argmax(axis=1).tolist()}


def read_work(folder: Path) -> dict[str, Any]:
    """What an export of the run goes on from: the shape, and the answers of the taught network."""
    slimming = Slimming(Teacher(open_run(folder / "run"), PLAN, folder / "cache", folder / "work"))
    found = slimming.slimmed(slimming.shape(LatencyTable.read(folder / "table.json"), None))
    return {
        "widths": found.shape.widths,
        "size": found.shape.size,
        "epochs": len(found.history),
        "probabilities": probabilities(found.model, folder, read_manifest(folder / "run" / "manifest.csv")),
    }


READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "run": read_run,
    "interrupted": read_interrupted,
    "model": read_model_file,
    "recording": read_recording,
    "uncertain": read_uncertain,
    "table": read_table,
    "cache": read_cache,
    "work": read_work,
}


def make(folder: Path) -> None:
    """Everything; `folder` is empty, and the working folder."""
    make_photos(folder)
    make_table(folder)
    make_run(folder)
    make_interrupted_run(folder)
    options = ExportConfig("accurate", max_drop=100.0, self_epochs=0, licence="CC0-1.0", attribution="rendered")
    export(options, folder / "run", folder / "flowers.tflite", folder / "cache")
    make_recording(folder)
    make_uncertain(folder)
    answers = read_all(folder)  # which also makes work/
    (folder / ANSWERS).write_text(json.dumps(answers, indent=1) + "\n")
    tidy(folder)


def make_photos(folder: Path) -> None:
    for label in LABELS:
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(PER_CLASS):
            data = cv2.imencode(".jpg", render_flower(label, number, PHOTO_WH), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
            (folder / "photos" / label / f"{number}.jpg").write_bytes(data.tobytes())


def make_table(folder: Path) -> None:
    """A device that takes a nanosecond for each of a layer's products, and a microsecond for a layer."""

    def ms(layer: ConvLayer) -> float:
        return 1e-3 + 1e-6 * layer.side**2 * layer.outputs * (layer.inputs if layer.kind == "pointwise" else 9)

    draws = np.random.default_rng(1)
    layers = [
        ConvLayer(kind, int(side), 3 if kind == "stem" else int(inputs), int(outputs), 2 if kind == "stem" else 1)
        for kind in KINDS
        for side, inputs, outputs in draws.integers(8, 64, (8, 3))
    ]
    networks = [tuple(layers[start::4]) for start in range(4)]
    timings = Timings(
        tuple(LayerTiming(one.kind, one.side, one.inputs, one.outputs, one.stride, ms(one)) for one in layers),
        tuple(NetworkTiming(network, sum(map(ms, network))) for network in networks),
    )
    (folder / "table.json").write_text(table_text(timings, "a device of the fixtures"))


def make_run(folder: Path) -> None:
    (folder / "run").mkdir()
    config().write(folder / "run" / "config.json")
    with tiny_networks():
        evaluate_run(fit(config(), folder / "run", folder / "cache"))


def make_interrupted_run(folder: Path) -> None:
    """A training of the same kind, broken off in its third epoch."""
    run, asked = folder / "interrupted", config(SHORT)
    run.mkdir()
    asked.write(run / "config.json")

    def stages(title: str) -> Any:
        def bar(done: int, total: int = 0, note: str = "") -> None:
            if title == "fine-tuning" and done > total * BROKEN_OFF_AFTER / SHORT:
                raise KeyboardInterrupt

        return bar

    with tiny_networks(), contextlib.suppress(KeyboardInterrupt):
        fit(asked, run, folder / "cache", stages)


def make_recording(folder: Path) -> None:
    recorded = sessions.record(folder / "made", count=RECORDED)
    shutil.copytree(recorded.folder, folder / "recording")
    (folder / "recording" / "clip.avi").unlink()  # for people
    shutil.copy(recorded.model, folder / "recording" / "colours.tflite")
    (folder / "recording" / LINES).write_bytes(recorded.lines)
    shutil.rmtree(folder / "made")


def make_uncertain(folder: Path) -> None:
    """Three frames that the model was unsure of, one of them labelled."""
    clock = fakes.FakeClock()
    store = UncertainStore(folder / "uncertain", fakes.LABELS, clock=clock)
    kept: list[Path] = []
    for number in range(UNSURE):
        blotches = np.random.default_rng(number).integers(0, 256, (3, 4, 3), np.uint8)
        picture = blotches.repeat(8, axis=0).repeat(8, axis=1)
        decision = fakes.decision((0.5, 0.4, 0.1), number=number, time=1_800_000_000.5 + number)
        path = store.offer(decision, Frame(picture, number, float(number), "camera 0"))
        assert path is not None
        kept.append(path)
        clock.now += 60
    store.label(kept[-1].stem, fakes.LABELS[0])


def tidy(folder: Path) -> None:
    """Take away what is for people, or of the moment."""
    for left in (*folder.glob("**/*.lock"), folder / REPLAYED):
        left.unlink(missing_ok=True)
    for left in (folder / "run" / "plots", folder / "run" / "report.html", folder / "run" / "export"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="to be made")
    folder = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True)
    os.chdir(folder)
    make(folder)
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
