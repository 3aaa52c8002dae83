"""Make a trained run fast and small, measure every variant, and write the best one as one .tflite file.

Whole channels are removed, the trained network teaches what is left, and the result is quantised. --preset says what
matters; --speed, --max-kb and --max-drop say it in numbers. Of the files within the limits the fastest wins, of those
about as fast the most accurate. Validation photos alone decide. When there is none, the table is shown, nothing is
written, and the exit code is 1.

What takes minutes is kept until a file is written: an export that was broken off goes on when the command is given
again, one that was refused when it is given with other limits.

example: flora export runs/flowers -o flowers.tflite
         flora export runs/flowers -o flowers.tflite --preset accurate
         flora export runs/flowers -o flowers.tflite --max-drop 2 --max-kb 1000 --speed 5
         flora export network.keras --labels labels.txt --photos photos -o mine.tflite
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.base.files import default_cache
from edge.base.options import add_options, read_options
from edge.base.progress import Bars
from edge.errors import FloraError
from edge.evaluation.accuracy import Scores
from export.config import ExportConfig
from export.variants.variant import Exported, Variant, as_json, refusal_as_json, table


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder written by flora train, or a Keras file (.keras, .h5)")
    parser.add_argument(
        "-o", "--out", metavar="FILE", help="the model file to write (default: the name of RUN with .tflite, here)"
    )
    parser.add_argument(
        "--cache",
        metavar="FOLDER",
        help="where decoded photos and unfinished work are kept; a few GB (default: as for flora train)",
    )
    parser.add_argument("--json", action="store_true", help="the table as one JSON object on stdout")
    add_options(parser, ExportConfig)


def run(args: argparse.Namespace) -> int:
    config, trained = read_options(ExportConfig, args), Path(args.run)
    out = Path(args.out or f"{trained.stem if trained.is_file() else trained.resolve().name}.tflite")
    cache = Path(args.cache).expanduser() if args.cache else default_cache()
    from export.exporter import export

    measured: list[tuple[Sequence[Variant], Scores]] = []
    try:
        with Bars() as stages:
            done = export(config, trained, out, cache, stages, lambda *found: measured.append(found), stages.tell)
    except FloraError as refusal:
        for found in measured:
            print(json.dumps(refusal_as_json(*found, str(refusal))) if args.json else table(*found))
        raise
    print(json.dumps(as_json(done)) if args.json else table(done.variants, done.float_validation, done.float_test))
    print("\n".join(_finish_lines(done)), file=sys.stderr)
    next_command = f"flora run {shlex.quote(str(done.path))} --source 0"
    print(f"wrote {done.path} ({done.bytes / 1000:.0f} kB, {done.chosen}); next: {next_command}", file=sys.stderr)
    return 0


def _finish_lines(done: Exported) -> list[str]:
    """Calibration, threshold, proof: what the file has beyond its accuracy."""
    card, lines = done.card, []
    if card.calibration:
        error = f"{card.calibration.ece_before:.3f} to {card.calibration.ece_after:.3f}"
        lines.append(f"temperature {card.calibration.temperature:.2f}: calibration error on test photos {error}")
    if card.rejection:
        rule = f"a {card.rejection.score} below {card.rejection.threshold:.3f}"
        lines.append(f'"unknown" is {rule}, chosen to keep {card.rejection.coverage or 0:.0%} of known photos')
    return [*lines, f"{len(card.golden)} golden cases inside; report: {done.report}"]
