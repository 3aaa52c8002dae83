"""Accuracy with 95 % intervals, precision and recall of each class, the confusion matrix, and what is called unknown.

A run folder is measured on its own held-out test photos; a .tflite file on those of --run RUN, or on a folder of class
folders given last. Two or more models are compared photo by photo, over the classes that they know, whether or not one
of them also has a class "unknown". Photos that a run among the models was trained or chosen on are left out. --others
FOLDER, again and again, adds how many pictures of other things, at any depth, are named as a class all the same; and
--scenes CLIP how often that happens in a video, as flora run would show it. A .tflite file needs no TensorFlow.

example: flora evaluate runs/flowers
         flora evaluate flowers.tflite --run runs/flowers --others pictures/of/anything/else
         flora evaluate runs/flowers flowers.tflite photos/
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge.base.progress import Progress
from edge.contract.rejection import UNKNOWN
from edge.contract.result import PictureClassifier
from edge.errors import ModelError, PhotoError, UsageError
from edge.evaluation.comparison import Comparison
from edge.evaluation.evaluation import Asked, Evaluation, ask, comparisons, measure
from edge.evaluation.held_out import HeldOut, from_folder, from_run, of_unknown_things, pictures
from edge.evaluation.known import known_labels
from edge.live.scenes import Scene, table, watch_clip
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
        "--others",
        "--unknown",
        metavar="FOLDER",
        action="append",
        default=[],
        help="pictures of anything else: how many of them are called unknown? May be given again",
    )
    parser.add_argument(
        "--scenes",
        metavar="CLIP",
        action="append",
        default=[],
        help="a video of anything else: what would flora run have sighted in it? May be given again",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    quieten_opencv()
    models, folder = _sort_out(args.models)
    held = _unseen(_held(args, models, folder), args, models)
    folders = [(name, of_unknown_things(Path(name))) for name in args.others]
    classifiers = [open_classifier(model) for model in models]
    for line in (line for classifier in classifiers for line in getattr(classifier, "remarks", ())):
        _tell(line)
    _require_same_labels(held, classifiers)
    asked = _ask(classifiers, held, "measuring")
    _require_known(asked, held, classifiers[0])
    _warn_of_other_splits(held, classifiers)
    seen = _no_others(args, models, asked)
    others = [(name, _ask(classifiers, replace(one, seen=seen), "measuring other things")) for name, one in folders]
    found = measure(asked, others)
    scenes = [[watch_clip(classifier, clip) for clip in args.scenes] for classifier in classifiers]
    photos = sum(label in found[0].scores.labels for label in asked.labels)
    _show(args, f"{photos} {held.what}", dict(zip(models, found, strict=True)), scenes, comparisons(asked))
    return 0


def _ask(classifiers: list[PictureClassifier], held: HeldOut, title: str) -> Asked:
    with Progress(title, len(held.paths)) as bar:
        return ask(classifiers, pictures(held, _tell, bar))


def _no_others(args: argparse.Namespace, models: list[str], asked: Asked) -> frozenset[str]:
    """Photos measured already, and any photo of a run at hand: they are no pictures of other things.

    What a run holds out of its own pictures of other things is what it may be measured on.
    """
    runs = {*filter(is_run, models), *([args.run] if args.run else [])}
    photos = [photo for run in runs for photo in read_manifest(Path(run) / MANIFEST)]
    listed = {photo.sha256 for photo in photos if photo.split != "test" or photo.label != UNKNOWN}
    return frozenset(asked.sha256s) | listed


def _show(
    args: argparse.Namespace,
    what: str,
    results: dict[str, Evaluation],
    scenes: list[list[Scene]],
    against_first: Sequence[Comparison],
) -> None:
    if args.json:
        found = {
            name: one.to_json() | {"scenes": [scene.to_json() for scene in seen]}
            for (name, one), seen in zip(results.items(), scenes, strict=True)
        }
        compared = [one.to_json() for one in against_first]
        print(json.dumps({"photos": what, "models": found, "against_first": compared}))
    else:
        print(_text(what, results, scenes, against_first))


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
    """All models must know the same classes in the same order, "unknown" left aside, and every class of the photos."""
    first = classifiers[0]
    for other in classifiers[1:]:
        if known_labels(other.labels) != known_labels(first.labels):
            raise ModelError(
                f"{other.name} knows {', '.join(other.labels[:6])}, {first.name} knows {', '.join(first.labels[:6])}; "
                "expected the same labels in the same order"
            )
    strange = sorted(set(held.labels) - {*first.labels, UNKNOWN})
    if strange:
        raise PhotoError(
            f"class {strange[0]} of the photos is not one of {first.name}'s labels: {', '.join(first.labels[:10])}; "
            "rename or move its folder, or take another model"
        )


def _require_known(asked: Asked, held: HeldOut, first: PictureClassifier) -> None:
    known = known_labels(first.labels)
    if not set(asked.labels) & set(known):
        raise PhotoError(
            f"the {held.what} are all of class {UNKNOWN}; expected some of {', '.join(known[:10])}; "
            "pictures of other things are given with --others"
        )


def _warn_of_other_splits(held: HeldOut, classifiers: list[PictureClassifier]) -> None:
    """Say which model files were made from another list of photos than the run's: they may know its test photos."""
    for classifier in classifiers:
        known = None not in (classifier.manifest_sha256, held.manifest_sha256)
        if known and classifier.manifest_sha256 != held.manifest_sha256:
            _tell(f"{classifier.name} was trained on another split than the {held.what}; it may have seen some of them")


def _text(
    what: str, results: dict[str, Evaluation], scenes: list[list[Scene]], against_first: Sequence[Comparison]
) -> str:
    parts = [
        f"{name} on {what}\n" + "\n".join([found.text(), *(["", *table(seen)] if seen else [])])
        for (name, found), seen in zip(results.items(), scenes, strict=True)
    ]
    first, *others = results
    parts += [found.text(name, first) for name, found in zip(others, against_first, strict=True)]
    return "\n\n".join(parts)
