"""What is inside a model file, and does it give the right answers on this device? What is wrong with these photos?

MODEL is a .tflite file: its card, inputs and outputs, operators, size, the oldest runtime that runs it, and its golden
cases, which are run here. Exit code 1 when one fails. PHOTOS is a folder of class folders: photos per class, and what
training would leave out and why.

example: flora inspect
         flora inspect flowers.tflite
         flora inspect photos/
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

from edge.base.progress import Progress
from edge.errors import ModelError, PhotoError
from edge.model.classifier import bundled_model
from edge.model.inspection import inspect_model
from edge.photos.run_folder import is_run
from edge.picture.video import quieten_opencv


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", nargs="?", metavar="MODEL|PHOTOS",
        help="a .tflite file, or a folder of class folders (default: the bundled flower model)",
    )  # fmt: skip
    parser.add_argument("--layers", action="store_true", help="of a model, a line for each layer as well")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, with every layer or photo")


def run(args: argparse.Namespace) -> int:
    quieten_opencv()
    path = bundled_model() if args.path is None else Path(args.path)
    if is_run(path):
        raise ModelError(
            f"{path}: a run folder; expected a .tflite file or photos; make a file with: flora export {path}"
        )
    return _photos(path, args.json) if path.is_dir() else _model(path, args)


def _model(path: Path, args: argparse.Namespace) -> int:
    found = inspect_model(path)
    print(json.dumps(found.to_json()) if args.json else found.text(layers=args.layers), flush=True)
    if found.trouble:
        raise ModelError(found.trouble)
    named = "" if args.path is None else f"{path} "
    print(f"next: flora run {named}--source 0", file=sys.stderr)
    return 0


def _photos(path: Path, as_json: bool) -> int:
    with Progress("checking photos") as bar:
        found = import_module("training.photos.inspection").inspect_photos(path, bar)
    print(json.dumps(found.to_json()) if as_json else found.text(), flush=True)
    if found.trouble:
        raise PhotoError(found.trouble)
    print(f"next: flora train {path}", file=sys.stderr)
    return 0
