"""Accuracy with 95 % intervals, precision and recall of each class, the confusion matrix, and what is called unknown.

A run folder is measured on its own held-out test photos; a .tflite file on those of --run RUN, or on a folder of class
folders given last. Two or more models are compared photo by photo. Photos that a run among the models was trained or
chosen on are left out. --unknown FOLDER adds how well the models tell pictures of other things, at any depth, from
the photos of their classes. A .tflite file needs no TensorFlow.

example: flora evaluate runs/flowers
         flora evaluate flowers.tflite --run runs/flowers --unknown pictures/of/anything/else
         flora evaluate runs/flowers flowers.tflite photos/
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.progress import Progress
from edge.contract.result import PictureClassifier
from edge.errors import ModelError, PhotoError, UsageError
from edge.evaluation import accuracy
from edge.evaluation.evaluation import Asked, Evaluation, ask, evaluate
from edge.evaluation.held_out import HeldOut, from_folder, from_run, of_unknown_things, pictures
from edge.photos.manifest import SPLITS, read_manifest
from edge.photos.run_folder import MANIFEST, is_run
from edge.picture.video import quieten_opencv
from edge.verbs.opening import open_classifier


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
    parser.add_argument(
        "--unknown", metavar="FOLDER", help="pictures of anything else: how many of them are called unknown?"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    quieten_opencv()
    models, folder = _sort_out(args.models)
    held = _unseen(_held(args, models, folder), args, models)
    things = of_unknown_things(Path(args.unknown)) if args.unknown else None
    classifiers = [open_classifier(model) for model in models]
    for line in (line for classifier in classifiers for line in getattr(classifier, "remarks", ())):
        _tell(line)
    _require_same_labels(held, classifiers)
    known = _ask(classifiers, held, "measuring")
    _warn_of_other_splits(held, classifiers)
    unknown = _ask(classifiers, _others(things, args, models, known), "measuring unknown things") if things else None
    results = dict(zip(models, _evaluate(known, unknown), strict=True))
    truth, first, *others = _truth(known), *(answers.probabilities for answers in known.answers)
    _show(args, f"{len(truth)} {held.what}", results, [_compare(truth, first, other) for other in others])
    return 0


def _ask(classifiers: list[PictureClassifier], held: HeldOut, title: str) -> Asked:
    with Progress(title, len(held.paths)) as bar:
        return ask(classifiers, pictures(held, _tell, bar))


def _others(things: HeldOut, args: argparse.Namespace, models: list[str], known: Asked) -> HeldOut:
    """Photos measured already, and any photo of a run at hand, are no pictures of unknown things."""
    runs = {*filter(is_run, models), *([args.run] if args.run else [])}
    listed = {photo.sha256 for run in runs for photo in read_manifest(Path(run) / MANIFEST)}
    return replace(things, seen=known.sha256s | listed)


def _evaluate(known: Asked, unknown: Asked | None) -> list[Evaluation]:
    of_unknown = unknown.answers if unknown else [None] * len(known.answers)
    return [evaluate(_truth(known), *pair) for pair in zip(known.answers, of_unknown, strict=True)]


def _truth(known: Asked) -> NDArray[np.int64]:
    """Class numbers (n,)."""
    return np.array([known.answers[0].labels.index(label) for label in known.labels], np.int64)


def _show(
    args: argparse.Namespace, what: str, results: dict[str, Evaluation], comparisons: list[dict[str, Any]]
) -> None:
    if args.json:
        found = {name: one.to_json() for name, one in results.items()}
        print(json.dumps({"photos": what, "models": found, "against_first": comparisons}))
    else:
        print(_text(what, results, comparisons))


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _sort_out(models: list[str]) -> tuple[list[str], Path | None]:
    """Models first, then perhaps one folder of photos: a folder that is no run."""
    *others, last = models
    folder = Path(last) if Path(last).is_dir() and not is_run(last) else None
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


def _held(args: argparse.Namespace, models: list[str], folder: Path | None) -> HeldOut:
    if folder is not None:
        if args.run or args.photos:
            raise UsageError(
                f"{folder} and {'--run' if args.run else '--photos'} both name photos; expected one of them"
            )
        return from_folder(folder, _tell)
    run = args.run or next(filter(is_run, models), None)
    if run is None:
        raise UsageError(
            f"{models[0]}: on which photos? give --run RUN for a run's held-out ones, or a folder of class folders last"
        )
    return from_run(Path(run), args.split, args.photos)


def _unseen(held: HeldOut, args: argparse.Namespace, models: list[str]) -> HeldOut:
    """Mark what the runs among the models were trained or chosen on, so that it is left out.

    A split asked for by name of a run's own photos stays: whoever says --split train means it.
    """
    seen: set[str] = set()
    own = None if held.sha256s is None else args.run or next(filter(is_run, models))
    for model in filter(is_run, models):
        if own is None or Path(model).resolve() != Path(own).resolve():
            photos = read_manifest(Path(model) / MANIFEST)
            seen |= {photo.sha256 for photo in photos if photo.split != "test"}
    return replace(held, seen=frozenset(seen))


def _require_same_labels(held: HeldOut, classifiers: list[PictureClassifier]) -> None:
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


def _warn_of_other_splits(held: HeldOut, classifiers: list[PictureClassifier]) -> None:
    """Say which model files were made from another list of photos than the run's: they may know its test photos."""
    for classifier in classifiers:
        known = None not in (classifier.manifest_sha256, held.manifest_sha256)
        if known and classifier.manifest_sha256 != held.manifest_sha256:
            _tell(f"{classifier.name} was trained on another split than the {held.what}; it may have seen some of them")


def _compare(truth: NDArray[np.int64], first: NDArray[np.float32], other: NDArray[np.float32]) -> dict[str, Any]:
    """The other model against the first, paired by photo."""
    right_first, right_other = first.argmax(axis=1) == truth, other.argmax(axis=1) == truth
    return {
        "agreement": accuracy.agreement(first.argmax(axis=1), other.argmax(axis=1)),
        "difference": asdict(accuracy.paired_difference(right_other, right_first)),
        "mcnemar": asdict(accuracy.mcnemar(right_other, right_first)),
    }


def _text(what: str, results: dict[str, Evaluation], comparisons: list[dict[str, Any]]) -> str:
    parts = [f"{name} on {what}\n{found.text()}" for name, found in results.items()]
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
