"""Accuracy with 95 % intervals, precision and recall of each class, and the confusion matrix.

A run folder is measured on its own held-out test photos; a .tflite file on those of --run RUN, or on a folder of class
folders given last. Two or more models are compared photo by photo. A .tflite file needs no TensorFlow.

example: flora evaluate runs/flowers
         flora evaluate flowers.tflite --run runs/flowers
         flora evaluate runs/flowers flowers.tflite photos/
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import metrics
from edge.classifier import PictureClassifier, open_classifier
from edge.errors import ModelError, PhotoError, UsageError
from edge.folder import labelled_files
from edge.geometry import read_photo
from edge.manifest import SPLITS, read_manifest
from edge.metrics import Scores
from edge.progress import Progress


@dataclass(frozen=True)
class Held:
    """The photos to measure on: absolute paths and their labels."""

    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    what: str
    may_be_bad: bool = False  # a folder of somebody's may hold what is no photo; the photos of a run were checked


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="run folders and .tflite files; last, perhaps, a folder of class folders",
    )
    parser.add_argument(
        "--run",
        metavar="RUN",
        help="measure on the held-out photos of this run (default: the first run among the models)",
    )
    parser.add_argument("--split", default="test", choices=SPLITS, help="which photos of the run (default: test)")
    parser.add_argument("--photos", metavar="FOLDER", help="where the run's photos are, if they have moved")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    models, folder = _sort_out(args.models)
    held = _from_folder(folder) if folder else _from_run(args.run or _first_run(models), args.split, args.photos)
    classifiers = [open_classifier(model) for model in models]
    _require_same_labels(held, classifiers)
    truth, answers = _answers(classifiers, held)
    labels = classifiers[0].labels
    results = {model: metrics.score(truth, answer, labels) for model, answer in zip(models, answers, strict=True)}
    comparisons = [_compare(truth, answers[0], answer) for answer in answers[1:]]
    what = f"{len(truth)} {held.what}"
    if args.json:
        scores = {name: one.to_json() for name, one in results.items()}
        print(json.dumps({"photos": what, "models": scores, "against_first": comparisons}))
    else:
        print(_text(what, results, comparisons))
    return 0


def _sort_out(models: list[str]) -> tuple[list[str], Path | None]:
    """Models first, then perhaps one folder of photos: a folder that is no run."""
    last = Path(models[-1])
    if last.is_dir() and not (last / "config.json").exists():
        if len(models) == 1:
            raise UsageError(f"{last}: a folder of photos but no model; expected: flora evaluate MODEL {last}")
        return models[:-1], last
    return models, None


def _first_run(models: list[str]) -> str:
    for model in models:
        if (Path(model) / "config.json").exists():
            return model
    raise UsageError(
        f"{models[0]}: on which photos? give --run RUN for a run's held-out ones, or a folder of class folders last"
    )


def _from_run(run: str, split: str, moved: str | None) -> Held:
    folder = Path(run)
    members = [photo for photo in read_manifest(folder / "manifest.csv") if photo.split == split]
    if not members:
        raise ModelError(f"{folder / 'manifest.csv'}: lists no {split} photos")
    try:
        root = Path(moved or json.loads((folder / "config.json").read_text(encoding="utf-8"))["photos"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder / 'config.json'}: does not say where the photos are ({error}); give --photos FOLDER"
        ) from error
    missing = next((photo.path for photo in members if not (root / photo.path).exists()), None)
    if missing:
        raise PhotoError(f"{root / missing}: a photo of the run is gone; if the folder has moved give --photos FOLDER")
    paths = tuple(root / photo.path for photo in members)
    return Held(paths, tuple(photo.label for photo in members), f"{split} photos of {folder}")


def _from_folder(folder: Path) -> Held:
    files, left_out = labelled_files(folder)
    for entry in left_out:
        print(f"left out {entry.path}: {entry.reason}", file=sys.stderr)
    return Held(
        tuple(path for path, _ in files), tuple(label for _, label in files), f"photos of {folder}", may_be_bad=True
    )


def _require_same_labels(held: Held, classifiers: list[PictureClassifier]) -> None:
    """All models must know the same classes in the same order, and every class of the photos."""
    first = classifiers[0]
    for other in classifiers[1:]:
        if other.labels != first.labels:
            raise ModelError(
                f"{other.name} knows {', '.join(other.labels[:6])}, {first.name} knows {', '.join(first.labels[:6])}; expected the same labels"
            )
    strange = sorted(set(held.labels) - set(first.labels))
    if strange:
        raise PhotoError(
            f"class {strange[0]} of the photos is not one of {first.name}'s labels: {', '.join(first.labels[:10])}"
        )


def _answers(classifiers: list[PictureClassifier], held: Held) -> tuple[NDArray[np.int64], list[NDArray[np.float32]]]:
    """Class numbers (n,) and, of each model, probabilities (n, num_classes). Each photo is decoded once for all models."""
    labels, truth = classifiers[0].labels, []
    answers: list[list[NDArray[np.float32]]] = [[] for _ in classifiers]
    with Progress("measuring", len(held.paths)) as bar:
        for number, (path, label) in enumerate(zip(held.paths, held.labels, strict=True), 1):
            bar(number)
            try:
                frame = read_photo(path)
            except PhotoError as error:
                if not held.may_be_bad:
                    raise
                print(f"left out {error}", file=sys.stderr)
                continue
            truth.append(labels.index(label))
            for answer, classifier in zip(answers, classifiers, strict=True):
                answer.append(classifier(frame).probabilities)
    if not truth:
        raise PhotoError(f"no usable photo among the {held.what}; expected a folder of class folders")
    return np.array(truth, np.int64), [np.stack(answer) for answer in answers]


def _compare(truth: NDArray[np.int64], first: NDArray[np.float32], other: NDArray[np.float32]) -> dict[str, Any]:
    """The other model against the first, paired by photo."""
    right_first, right_other = first.argmax(axis=1) == truth, other.argmax(axis=1) == truth
    return {
        "agreement": metrics.agreement(first.argmax(axis=1), other.argmax(axis=1)),
        "difference": asdict(metrics.paired_difference(right_other, right_first)),
        "mcnemar": asdict(metrics.mcnemar(right_other, right_first)),
    }


def _text(what: str, results: dict[str, Scores], comparisons: list[dict[str, Any]]) -> str:
    parts = [f"{name} on {what}\n{scores.table()}" for name, scores in results.items()]
    names = list(results)
    for name, found in zip(names[1:], comparisons, strict=True):
        gap, test = found["difference"], found["mcnemar"]
        parts.append(
            f"{name} against {names[0]}: {100 * gap['difference']:+.1f} points (95 % interval {100 * gap['low']:+.1f} to {100 * gap['high']:+.1f}), "
            f"same answer on {found['agreement']:.1%}; right where the other is wrong: {test['only_a']} against {test['only_b']} photos, McNemar p = {test['p_value']:.2g}"
        )
    return "\n\n".join(parts)
