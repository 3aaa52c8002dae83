"""Make a trained run fast and small, measure every variant, and write the best one as one .tflite file.

Whole channels are removed, the trained network teaches what is left, and the result is quantised. --preset says what
matters; --speed, --max-kb and --max-drop say it in numbers. Of the files within the limits the fastest wins, of those
about as fast the most accurate. Validation photos alone decide.

A preset's speed and size are aims: a file that misses them is written, and the miss is told. What may be lost in
accuracy is a limit, and so are --speed and --max-kb where they are given: when nothing keeps them, nothing is written,
and the exit code is 1. What can be known of them before a network is taught, is refused before.

What takes minutes is kept until a file is written: an export that was broken off goes on when the command is given
again. One that was refused prints the command that writes the network that was taught, with nothing taught again.

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
from edge.base.options import add_options, read_options, typed_options
from edge.base.progress import Bars
from edge.errors import FloraError
from edge.evaluation.accuracy import Scores
from export.config import ExportConfig
from export.outcome import Exported, as_json, refusal_as_json
from export.variants.choosing import BudgetError
from export.variants.making import own_options
from export.variants.table import table
from export.variants.variant import Variant


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
    for options in own_options():
        add_options(parser, options)


def run(args: argparse.Namespace) -> int:
    own = tuple(read_options(options, args) for options in own_options())
    config, trained = read_options(ExportConfig, args, own=own), Path(args.run)
    out = Path(args.out or f"{trained.stem if trained.is_file() else trained.resolve().name}.tflite")
    cache = Path(args.cache).expanduser() if args.cache else default_cache()
    from export.exporter import export

    measured: list[tuple[Sequence[Variant], Scores]] = []
    try:
        with Bars() as stages:
            done = export(config, trained, out, cache, stages, lambda *found: measured.append(found), stages.tell)
    except FloraError as stopped:
        refusal = _with_command(stopped, args, config)
        for found in measured:
            print(json.dumps(refusal_as_json(*found, str(refusal))) if args.json else table(*found))
        raise refusal from None
    print(json.dumps(as_json(done)) if args.json else table(done.variants, done.float_validation, done.float_test))
    print("\n".join([*_finish_lines(done), *_missed_lines(done, args, config)]), file=sys.stderr)
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


def _missed_lines(done: Exported, args: argparse.Namespace, config: ExportConfig) -> list[str]:
    """What a preset aims at and the file does not reach, and how what reaches it is had all the same."""
    lines = [f"missed: {line}" for line in done.missed]
    if done.passed_over:
        other = done.passed_over
        lines.append(f"{other.name} reaches it, but {other.why}; it is kept, and written with: ")
        lines[-1] += _command(args, config.within(other.remedy))
    return lines


def _with_command(stopped: FloraError, args: argparse.Namespace, config: ExportConfig) -> FloraError:
    """A refusal, with the command that writes what was taught."""
    if not isinstance(stopped, BudgetError) or not stopped.nearest:
        return stopped
    command = _command(args, config.within(stopped.remedy))
    return BudgetError(f"{stopped}; to write {stopped.nearest.name} all the same, with nothing taught again: {command}")


def _command(args: argparse.Namespace, config: ExportConfig) -> str:
    """The same command for another `config`, to be pasted."""
    given = {"-o": args.out, "--cache": args.cache}
    places = [word for option, value in given.items() if value for word in (option, value)]
    options = [word for one in (config, *config.own) for word in typed_options(one)]
    return shlex.join(["flora", "export", args.run, *places, *["--json"] * args.json, *options])
