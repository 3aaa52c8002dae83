"""Prune and quantise a trained run, measure every variant, and write the one that keeps the accuracy as one .tflite file.

Validation photos alone decide; when no variant is within --max-drop and --max-kb nothing is written and the exit code is 1.

example: flora export runs/flowers -o flowers.tflite
         flora export runs/flowers -o flowers.tflite --max-drop 0.5 --max-kb 3000
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from edge.options import add_options, read_options
from edge.progress import Stages
from export.config import ExportConfig
from training.flowers import default_cache


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder written by flora train")
    parser.add_argument(
        "-o", "--out", metavar="FILE", help="the model file to write (default: NAME of the run .tflite)"
    )
    parser.add_argument("--cache", metavar="FOLDER", help="where decoded photos are kept (default: as for flora train)")
    parser.add_argument("--json", action="store_true", help="the table as one JSON object on stdout")
    add_options(parser, ExportConfig)


def run(args: argparse.Namespace) -> int:
    config, folder = read_options(ExportConfig, args), Path(args.run)
    out = Path(args.out or f"{folder.resolve().name}.tflite")
    cache = Path(args.cache).expanduser() if args.cache else default_cache()
    from export.exporter import as_json, export, table

    with Stages() as stages:

        def show(variants: Any, float_validation: Any) -> None:
            stages.tell(table(variants, float_validation))

        done = export(config, folder, out, cache, stages, show)
    print(json.dumps(as_json(done)) if args.json else table(done.variants, done.float_validation, done.float_test))
    print(
        f"wrote {done.path} ({done.bytes / 1000:.0f} kB, {done.chosen}); next: flora run {done.path} --source 0",
        file=sys.stderr,
    )
    return 0
