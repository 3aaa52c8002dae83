"""Name what is on photos: with ImageNet's pretrained MobileNet, a trained run, or a .tflite file.

example: flora predict --model imagenet photo.jpg
         flora predict --model flowers.tflite photos/ 'more/*.jpg' --json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edge.classifier import Result, answer, open_classifier
from edge.errors import PhotoError, UsageError
from edge.folder import checked_photo, photo_paths
from edge.source import quieten_opencv


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="photos, folders of photos, or quoted globs")
    parser.add_argument(
        "--model", required=True, metavar="M", help="imagenet (1000 classes), a run folder, or a .tflite file"
    )
    parser.add_argument("--top", type=int, default=5, metavar="K", help="how many answers per photo (default: 5)")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help='below this probability the answer is "unknown" (default: the model\'s)',
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per photo on stdout")


def run(args: argparse.Namespace) -> int:
    if args.top < 1:
        raise UsageError(f"--top {args.top}: expected 1 or more")
    quieten_opencv()
    paths = [path for spec in args.photos for path in photo_paths(spec)]
    classifier = open_classifier(args.model, threshold=args.threshold)
    write = _json if args.json else _text
    failed: list[PhotoError] = []
    for path in paths:
        try:
            print(write(path, classifier(checked_photo(path)[1]), args.top), flush=True)
        except PhotoError as error:  # one bad photo among many is told, not fatal
            if len(paths) == 1:
                raise
            print(f"left out {error}", file=sys.stderr)
            failed.append(error)
    if failed:
        raise PhotoError(f"{len(failed)} of {len(paths)} photos could not be read, the first: {failed[0]}")
    return 0


def _json(path: Path, result: Result, k: int) -> str:
    record = {
        "photo": str(path),
        "answer": answer(result),
        "unknown": result.is_unknown,
        "top": [{"label": label, "probability": round(p, 6)} for label, p in result.top(k)],
        "latency_ms": round(result.latency_ms, 3),
    }
    return json.dumps(record)


def _text(path: Path, result: Result, k: int) -> str:
    width = max(len(label) for label, _ in result.top(k))
    lines = [f"  {label:<{width}}  {p:6.1%}  {'#' * round(30 * p)}" for label, p in result.top(k)]
    return "\n".join([f"{path}: {answer(result)}", *lines])
