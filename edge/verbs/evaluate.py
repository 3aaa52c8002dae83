"""Accuracy with 95 % intervals, precision and recall of each class, and the confusion matrix.

A run folder is measured on its own held-out test photos; a .tflite file on those of --run RUN, or on a folder of class
folders given last. Two or more models are compared photo by photo. Photos that a run among the models was trained or
chosen on are left out. A .tflite file needs no TensorFlow.

example: flora evaluate runs/flowers
         flora evaluate flowers.tflite --run runs/flowers
         flora evaluate runs/flowers flowers.tflite photos/
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import metrics
from edge.classifier import PictureClassifier, open_classifier
from edge.dependencies import first_line
from edge.errors import ModelError, PhotoError, UsageError
from edge.folder import checked_photo, labelled_files
from edge.geometry import Picture
from edge.manifest import SPLITS, manifest_hash, read_manifest
from edge.metrics import Scores
from edge.progress import Progress
from edge.source import quieten_opencv


@dataclass(frozen=True)
class Held:
    """The photos to measure on, and their labels."""

    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    what: str
    sha256s: tuple[str, ...] | None = None  # of a run's photos; None: a folder, which may hold what is no photo
    manifest_sha256: str | None = None  # of the run's whole list of photos
    seen: frozenset[str] = frozenset()  # sha256 of photos that a model knows from its training: they prove nothing


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
    quieten_opencv()
    models, folder = _sort_out(args.models)
    held = _unseen(_held(args, models, folder), args, models)
    classifiers = [open_classifier(model) for model in models]
    _require_same_labels(held, classifiers)
    truth, answers = _answers(classifiers, held)
    _warn_of_strangers(held, classifiers)
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
    *others, last = models
    folder = Path(last) if Path(last).is_dir() and not _is_run(last) else None
    if folder:
        if not others:
            raise UsageError(f"{folder}: a folder of photos but no model; expected: flora evaluate MODEL {folder}")
        models = others
    for model in models:
        if model != "imagenet" and not Path(model).exists():
            raise ModelError(f"{model}: no such file or folder; expected: flora evaluate MODEL... [PHOTOS]")
        if models.count(model) > 1:
            raise UsageError(f"{model} is named {models.count(model)} times; expected different models to compare")
    return models, folder


def _is_run(model: str) -> bool:
    return (Path(model) / "config.json").exists()


def _held(args: argparse.Namespace, models: list[str], folder: Path | None) -> Held:
    if folder is not None:
        if args.run or args.photos:
            raise UsageError(
                f"{folder} and {'--run' if args.run else '--photos'} both name photos; expected one of them"
            )
        return _from_folder(folder)
    run = args.run or next(filter(_is_run, models), None)
    if run is None:
        raise UsageError(
            f"{models[0]}: on which photos? give --run RUN for a run's held-out ones, or a folder of class folders last"
        )
    return _from_run(run, args.split, args.photos)


def _unseen(held: Held, args: argparse.Namespace, models: list[str]) -> Held:
    """Mark what the runs among the models were trained or chosen on, so that it is left out.

    A split asked for by name of a run's own photos stays: whoever says --split train means it.
    """
    seen: set[str] = set()
    own = None if held.sha256s is None else args.run or next(filter(_is_run, models))
    for model in filter(_is_run, models):
        if own is None or Path(model).resolve() != Path(own).resolve():
            photos = read_manifest(Path(model) / "manifest.csv")
            seen |= {photo.sha256 for photo in photos if photo.split != "test"}
    return replace(held, seen=frozenset(seen))


def _from_run(run: str, split: str, moved: str | None) -> Held:
    folder = Path(run)
    photos = read_manifest(folder / "manifest.csv")
    members = [photo for photo in photos if photo.split == split]
    if not members:
        raise ModelError(f"{folder / 'manifest.csv'}: lists no {split} photos; train again with: flora train")
    root = Path(moved) if moved else _photos_of(folder / "config.json")
    missing = next((photo.path for photo in members if not (root / photo.path).exists()), None)
    if missing:
        raise PhotoError(f"{root / missing}: a photo of the run is gone; if the folder has moved give --photos FOLDER")
    return Held(
        tuple(root / photo.path for photo in members),
        tuple(photo.label for photo in members),
        f"{split} photos of {folder}",
        tuple(photo.sha256 for photo in members),
        manifest_hash(photos),
    )


def _photos_of(config: Path) -> Path:
    try:
        return Path(json.loads(config.read_text(encoding="utf-8"))["photos"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{config}: does not say where the photos are ({first_line(error)}); give --photos FOLDER"
        ) from error


def _from_folder(folder: Path) -> Held:
    files, left_out = labelled_files(folder)
    for entry in left_out:
        print(f"left out {entry.path}: {entry.reason}", file=sys.stderr)
    if not files:
        raise PhotoError(f"{folder}: its class folders hold no photos; expected JPEG, PNG, BMP or WebP files")
    return Held(tuple(path for path, _ in files), tuple(label for _, label in files), f"photos of {folder}")


def _require_same_labels(held: Held, classifiers: list[PictureClassifier]) -> None:
    """All models must know the same classes in the same order, and every class of the photos."""
    first = classifiers[0]
    for other in classifiers[1:]:
        if other.labels != first.labels:
            raise ModelError(
                f"{other.name} knows {', '.join(other.labels[:6])}, {first.name} knows {', '.join(first.labels[:6])}; "
                "expected the same labels in the same order"
            )
    strange = sorted(set(held.labels) - set(first.labels))
    if strange:
        raise PhotoError(
            f"class {strange[0]} of the photos is not one of {first.name}'s labels: {', '.join(first.labels[:10])}; "
            "rename or move its folder, or take another model"
        )


def _warn_of_strangers(held: Held, classifiers: list[PictureClassifier]) -> None:
    """Say which model files were made from another list of photos than the run's: they may know its test photos."""
    for classifier in classifiers:
        card = getattr(classifier, "card", None)
        if card is not None and held.manifest_sha256 not in (None, card.manifest_sha256):
            print(
                f"{classifier.name} was trained on another split than the {held.what}; it may have seen some of them",
                file=sys.stderr,
            )


def _answers(classifiers: list[PictureClassifier], held: Held) -> tuple[NDArray[np.int64], list[NDArray[np.float32]]]:
    """Class numbers (n,) and each model's probabilities (n, num_classes). A photo is decoded once for all models."""
    labels, truth, known = classifiers[0].labels, [], 0
    answers: list[list[NDArray[np.float32]]] = [[] for _ in classifiers]
    with Progress("measuring", len(held.paths)) as bar:
        for number, label in enumerate(held.labels):
            photo = _read(held, number)
            bar(number + 1)
            if photo is None or photo.sha256 in held.seen:
                known += photo is not None
                continue
            truth.append(labels.index(label))
            for answer, classifier in zip(answers, classifiers, strict=True):
                answer.append(classifier(photo.frame).probabilities)
    _require_any(held, len(truth), known)
    return np.array(truth, np.int64), [np.stack(answer) for answer in answers]


def _require_any(held: Held, measured: int, known: int) -> None:
    """Say how many photos were left out because a model knows them; raise PhotoError when none remain."""
    if not measured and known:
        raise PhotoError(
            f"all {known} readable {held.what} were in the training or validation of a run among the models; "
            "expected photos that it has not seen"
        )
    if not measured:
        raise PhotoError(
            f"none of the {len(held.paths)} {held.what} can be read; expected JPEG, PNG, BMP or WebP files"
        )
    if known:
        print(f"left out {known} photos that a run among the models was trained or chosen on", file=sys.stderr)


@dataclass(frozen=True)
class _Read:
    sha256: str  # of the file's bytes
    frame: Picture


def _read(held: Held, number: int) -> _Read | None:
    """One photo; None for what is none in somebody's folder. A run's photos were checked: there it is an error."""
    path = held.paths[number]
    try:
        data, frame = checked_photo(path)
    except PhotoError as error:
        if held.sha256s is not None:
            raise
        print(f"left out {error}", file=sys.stderr)
        return None
    sha256 = hashlib.sha256(data).hexdigest()
    if held.sha256s is not None and sha256 != held.sha256s[number]:
        raise PhotoError(f"{path}: changed since the training; expected the photo that the run's manifest.csv lists")
    return _Read(sha256, frame)


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
    first, *others = results
    for name, found in zip(others, comparisons, strict=True):
        gap, test = found["difference"], found["mcnemar"]
        parts.append(
            f"{name} against {first}: {100 * gap['difference']:+.1f} points "
            f"(95 % interval {100 * gap['low']:+.1f} to {100 * gap['high']:+.1f}), "
            f"same answer on {found['agreement']:.1%}; right where the other is wrong: "
            f"{test['only_a']} against {test['only_b']} photos, McNemar p = {test['p_value']:.2g}"
        )
    return "\n\n".join(parts)
