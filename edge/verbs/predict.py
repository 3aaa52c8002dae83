"""Name what is on photos: with ImageNet's pretrained MobileNet, a trained run, or a .tflite file.

example: flora predict --model imagenet photo.jpg
         flora predict --model flowers.tflite photos/ 'more/*.jpg' --json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from edge.classifier import Result, answer, open_classifier
from edge.errors import FloraError, PhotoError, UsageError
from edge.folder import photo_paths
from edge.geometry import read_photo


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
    paths = [path for spec in args.photos for path in photo_paths(spec)]
    classifier = open_classifier(args.model, threshold=args.threshold)
    failed = 0
    for path, result in _results(classifier, paths):
        if isinstance(result, FloraError):
            print(f"flora: {result}", file=sys.stderr)
            failed += 1
        elif args.json:
            print(json.dumps(_record(path, result, args.top)))
        else:
            print(_text(path, result, args.top))
    if failed:
        print(f"flora: {failed} of {len(paths)} photos could not be read", file=sys.stderr)
    return 1 if failed else 0


def _results(classifier: Any, paths: list[str]) -> Iterator[tuple[str, Result | FloraError]]:
    for path in paths:
        try:
            yield path, classifier(read_photo(path))
        except PhotoError as error:  # one bad photo among many is told, not fatal
            yield path, error


def _record(path: str, result: Result, k: int) -> dict[str, Any]:
    top = [{"label": label, "probability": round(p, 6)} for label, p in result.top(k)]
    return {
        "photo": path,
        "answer": answer(result),
        "unknown": result.is_unknown,
        "top": top,
        "latency_ms": round(result.latency_ms, 3),
    }


def _text(path: str, result: Result, k: int) -> str:
    width = max(len(label) for label, _ in result.top(k))
    lines = [f"  {label:<{width}}  {p:6.1%}  {'#' * round(30 * p)}" for label, p in result.top(k)]
    return "\n".join([f"{path}: {answer(result)}", *lines])
