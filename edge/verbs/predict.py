"""Name what is on photos: with the bundled flower model, a .tflite file, a trained run, or ImageNet's MobileNet.

example: flora predict photo.jpg
         flora predict --model imagenet photo.jpg
         flora predict --model flowers.tflite photos/ 'more/*.jpg' --json
         flora predict --model flowers.tflite photo.jpg --evidence where.png
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2

from edge.base.files import write_atomically
from edge.contract.rejection import said
from edge.contract.result import Result, headline, nearest_record
from edge.drawing.heatmap import draw_heatmap, label_evidence
from edge.errors import PhotoError, UsageError
from edge.model.classifier import Classifier, introduction
from edge.photos.damage import checked_photo
from edge.photos.folders import photo_paths
from edge.picture.geometry import PHOTO_SUFFIXES, Picture
from edge.picture.video import quieten_opencv
from edge.verbs.opening import open_classifier

DRAWN_AS = (".png", ".jpg", ".jpeg")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="photos, folders of photos, or quoted globs")
    parser.add_argument(
        "--model", metavar="M",
        help="a .tflite file, a run folder, or imagenet (1000 classes) (default: the bundled flower model)",
    )  # fmt: skip
    parser.add_argument("--top", type=int, default=5, metavar="K", help="how many answers per photo (default: 5)")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help='below this score the answer is "nothing known"; 0 turns that off (default: the model\'s own)',
    )
    parser.add_argument(
        "--evidence",
        metavar="OUT",
        help="draw where in the picture each answer comes from: a .png or .jpg file for one photo, a folder for more; "
        "the model must have been exported with --evidence",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per photo on stdout")


def run(args: argparse.Namespace) -> int:
    if args.top < 1:
        raise UsageError(f"--top {args.top}: expected 1 or more")
    quieten_opencv()
    paths = [path for spec in args.photos for path in photo_paths(spec)]
    drawings = _drawings(args.evidence, paths)
    classifier = open_classifier(args.model, threshold=args.threshold)
    for line in classifier.remarks:
        print(line, file=sys.stderr)
    if args.model is None and isinstance(classifier, Classifier):
        print(introduction(classifier), file=sys.stderr)
    write = _json if args.json else _text
    failed: list[PhotoError] = []
    for path, drawing in zip(paths, drawings, strict=True):
        try:
            frame = checked_photo(path)[1]
            result = classifier(frame)
            if drawing:
                _draw(drawing, frame, result, args.model or classifier.name)
            print(write(path, result, args.top, drawing), flush=True)
        except PhotoError as error:  # one bad photo among many is told, not fatal
            if len(paths) == 1:
                raise
            print(f"left out {error}", file=sys.stderr)
            failed.append(error)
    if failed:
        raise PhotoError(f"{len(failed)} of {len(paths)} photos could not be read, the first: {failed[0]}")
    return 0


def _drawings(out: str | None, photos: Sequence[Path]) -> list[Path | None]:
    """Where the heat map of each photo goes; in a folder they are numbered, since photos of one name are many."""
    if not out:
        return [None] * len(photos)
    suffix = Path(out).suffix.lower()
    if suffix not in PHOTO_SUFFIXES:
        return [Path(out) / f"{number:04d}-{photo.stem}.png" for number, photo in enumerate(photos, 1)]
    if suffix not in DRAWN_AS:
        raise UsageError(f"--evidence {out}: expected {', '.join(DRAWN_AS)}, or a folder")
    if len(photos) > 1:
        raise UsageError(f"--evidence {out}: one picture for {len(photos)} photos; expected a folder")
    if Path(out).absolute() == photos[0].absolute():
        raise UsageError(f"--evidence {out}: the photo itself; expected another name, or it would be lost")
    return [Path(out)]


def _draw(out: Path, frame: Picture, result: Result, model: str) -> None:
    drawn = draw_heatmap(frame, label_evidence(result, model))
    write_atomically(out, cv2.imencode(out.suffix.lower(), drawn)[1].tobytes())


def _json(path: Path, result: Result, k: int, drawing: Path | None) -> str:
    record = {
        "photo": str(path),
        "answer": result.shown,
        "unknown": result.is_unknown,
        "top": [{"label": label, "probability": round(p, 6)} for label, p in result.top(k)],
        "latency_ms": round(result.latency_ms, 3),
    }
    return json.dumps(record | nearest_record(result) | ({"evidence": str(drawing)} if drawing else {}))


def _text(path: Path, result: Result, k: int, drawing: Path | None) -> str:
    ranked = [(said(label), p) for label, p in result.top(k)]
    width = max(len(label) for label, _ in ranked)
    lines = [f"  {label:<{width}}  {p:6.1%}  {'#' * round(30 * p)}" for label, p in ranked]
    answer = headline(result) if result.is_unknown else result.said
    return "\n".join([f"{path}: {answer}", *lines, *([f"  where: {drawing}"] if drawing else [])])
