"""Close a training: measure it on held-out photos and leave the figures, the plots and the report in the run folder.

In:  a finished training (model.keras, manifest.csv, history).
Out: labels.txt, history.csv, metrics.json, plots/*.png, report.html, each written atomically.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.files import write_atomically
from edge.base.formats import plain
from edge.base.intervals import Interval
from edge.base.progress import Stages, silent
from edge.evaluation.accuracy import Scores
from edge.evaluation.evaluation import Answers, evaluate
from edge.evaluation.known import over_known
from edge.evaluation.unknowns import Coverage
from edge.model.card import labels_text
from edge.photos import run_folder
from edge.photos.manifest import Photo, manifest_hash
from edge.picture import geometry
from training.config import TrainConfig, write_json
from training.fitting.augmentation import Augmentation, augment, mix
from training.fitting.cache import MARGIN
from training.fitting.fit import Trained
from training.network.inference import load_model, predict
from training.network.keras import tf
from training.photos.split import counts, imbalance_warning
from training.photos.views import device_views
from training.report import plots
from training.report.run_page import write_report

WORST, SAMPLES = 20, 20


@dataclass(frozen=True)
class Evaluated:
    """How good a trained network is on photos it was not trained on."""

    validation: Scores
    test: Scores
    answered: Coverage | None = None  # test photos of known classes; None: there is no class "unknown"
    unknown_class: Interval | None = None  # share of the test photos of class "unknown" that are called so


def evaluate_run(trained: Trained, stages: Stages = silent) -> Evaluated:
    """Measure the network of a run on its validation and test photos, and write everything a person looks at."""
    model, root = load_model(trained.run), Path(trained.config.photos)
    found: dict[str, tuple[list[Photo], NDArray[np.int64], NDArray[np.float32]]] = {}
    for name in ("validation", "test"):
        members = [photo for photo in trained.photos if photo.split == name]
        paths = [photo.located(trained.run) for photo in members]
        views = device_views(root, paths, trained.config.size, stages(f"reading {name} photos"))
        truth = np.array([trained.labels.index(photo.label) for photo in members], np.int64)
        found[name] = (members, truth, predict(model, views, stages(f"measuring on {name} photos")))
    validation, test = (
        evaluate(truth, Answers(trained.labels, answers, None)) for _, truth, answers in found.values()
    )
    result = Evaluated(validation.scores, test.scores, test.answered, test.unknown_class)
    write_atomically(trained.run / run_folder.LABELS, labels_text(trained.labels))
    write_atomically(trained.run / run_folder.HISTORY, history_text(trained.history).encode())
    write_json(trained.run / run_folder.METRICS, _metrics(trained, result))
    bar = stages("drawing the report")
    _draw(trained, result, found["validation"], found["test"], root)
    bar(1, 1)
    return result


def history_text(history: tuple[dict[str, Any], ...]) -> str:
    """One line per epoch of both phases."""
    text = io.StringIO()
    if history:
        writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
    return text.getvalue()


def _metrics(trained: Trained, result: Evaluated) -> dict[str, Any]:
    return {
        "validation": result.validation.to_json(),
        "test": result.test.to_json(),
        "answered": plain(result.answered),
        "unknown_class": plain(result.unknown_class),
        "best_epoch": trained.best_epoch,
        "seconds_of_training": round(sum(row["seconds"] for row in trained.history), 1),
        "devices": trained.devices,
        "photos": counts(trained.photos),
        "manifest_sha256": manifest_hash(trained.photos),
    }


def _draw(trained: Trained, result: Evaluated, validation: Any, test: Any, root: Path) -> None:
    folder = trained.run / run_folder.PLOTS
    folder.mkdir(exist_ok=True)
    names = {name: folder / f"{name}.png" for name in ("history", "confusion", "reliability", "mistakes", "augmented")}
    plots.plot_history(trained.history, names["history"])
    plots.plot_confusion(np.array(result.test.confusion), result.test.labels, names["confusion"])
    known = over_known(validation[1], validation[2], trained.labels).photos
    plots.plot_reliability(validation[2][known], validation[1][known], names["reliability"])
    plots.sheet(_mistakes(trained, root, *validation), names["mistakes"])
    plots.sheet(_samples(trained, root), names["augmented"])
    captions = {
        "history": "Loss and accuracy, training against validation",
        "confusion": "Confusion matrix on the held-out test photos",
        "reliability": "Are the probabilities right? (validation photos)",
        "mistakes": "The most confident mistakes on validation photos",
        "augmented": "Training photos as the network sees them",
    }
    write_report(
        trained.run / run_folder.REPORT,
        title=f"Flora: {trained.run.name}",
        summary_rows=_summary(trained),
        scores={"test": result.test, "validation": result.validation},
        plots=[(captions[name], path) for name, path in names.items()],
        notes=[*_notes(trained), *_unknown_notes(result)],
    )


def _summary(trained: Trained) -> list[tuple[str, str]]:
    config = trained.config
    split = counts(trained.photos)
    return [
        ("network", f"{config.backbone} {config.alpha:g}, {config.size} px, weights: {Path(config.weights).name}"),
        ("photos", f"{len(trained.photos)} in {len(trained.labels)} classes, seed {config.seed}"),
        *((label, ", ".join(f"{number} {name}" for name, number in row.items())) for label, row in split.items()),
        ("best epoch", str(trained.best_epoch)),
        ("time", f"{sum(row['seconds'] for row in trained.history) / 60:.1f} minutes on {trained.devices}"),
    ]


def _notes(trained: Trained) -> list[str]:
    notes = ["Test photos were used once, for the figures on this page; everything was chosen on validation photos."]
    warning = imbalance_warning(trained.photos)
    left_out = trained.run / run_folder.LEFT_OUT
    number = len(left_out.read_text(encoding="utf-8").splitlines()) - 1 if left_out.exists() else 0
    if number > 0:
        notes.append(f"{number} files of the photo folder were left out; {run_folder.LEFT_OUT} says which and why.")
    return [*notes, *([warning] if warning else [])]


def _unknown_notes(result: Evaluated) -> list[str]:
    """Beside the accuracy, which leaves a class "unknown" out."""
    notes = []
    if result.answered:
        answered = result.answered.coverage.percent()
        notes.append(f"Of the test photos of known classes {answered} get another answer than unknown.")
    if result.unknown_class:
        notes.append(f"Of the test photos of other things {result.unknown_class.percent()} are called unknown.")
    return notes


def _mistakes(
    trained: Trained, root: Path, members: list[Photo], truth: NDArray[Any], answers: NDArray[Any]
) -> list[plots.Tile]:
    """The wrong answers the network was surest of, surest first; "unknown" is an answer, and may be the right one."""
    wrong = np.flatnonzero(answers.argmax(axis=1) != truth)
    order = wrong[np.argsort(-answers[wrong].max(axis=1), kind="stable")][:WORST]
    return [
        (
            geometry.model_input(geometry.read_photo(root / members[i].located(trained.run)), 224),
            f"{trained.labels[truth[i]]} > {trained.labels[answers[i].argmax()]} {answers[i].max():.2f}",
        )
        for i in order
    ]


def _samples(trained: Trained, root: Path) -> list[plots.Tile]:
    """A few training photos, exactly as the first epoch of fine-tuning sees them."""
    config: TrainConfig = trained.config
    how, first_epoch = Augmentation(config.size, config.crop, config.colour, 0.0, 1), mix(config.seed, 0)
    train = [photo for photo in trained.photos if photo.split == "train"]
    tiles = []
    for number, photo in list(enumerate(train))[:: max(1, len(train) // SAMPLES)][:SAMPLES]:
        whole = geometry.read_photo(root / photo.located(trained.run))
        wide = geometry.resize_short_side(whole, round(config.size * MARGIN))
        image, _ = augment(tf.constant(np.ascontiguousarray(wide[..., ::-1])), number, how, seed=first_epoch)
        tiles.append((((image.numpy() + 1.0) * 127.5).round().astype(np.uint8), photo.label))
    return tiles
