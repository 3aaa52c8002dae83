"""How long model files take on this machine, from camera frame to answer: several files side by side, in turns.

The first file is what the others are compared with, in ratios, since a busy machine slows all of them alike.

With --layers it measures this machine and no file: how long single layers take, for about 30 seconds. From the table
that it writes, `flora export RUN --device-table FILE` on a workstation knows what is slow on this device.

example: flora benchmark flowers.tflite
         flora benchmark mobilenet.tflite flowers.tflite --threads 1 --threads 4 --frame 1280x720
         flora benchmark --layers pi4.json
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge.benchmark import Start, Steady, fresh_start, noise, time_frames
from edge.classifier import Classifier, bundled_model
from edge.errors import UsageError
from edge.files import write_atomically
from edge.interpreter import checked_threads, default_threads, runtime_version
from edge.layers import SECONDS, read_probes, table_text, time_probes
from edge.progress import Progress

LARGEST_SIDE = 8192
STDOUT = "-"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models", nargs="*", metavar="MODEL",
        help=".tflite files; ratios are to the first (default: the flower model that comes with Flora)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=int, action="append", metavar="N",
        help=f"threads of the runtime; may be given several times (default: 1 and {default_threads()})",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=200, metavar="N", help="frames per model (default: 200)")
    parser.add_argument("--frame", default="640x480", metavar="WxH", help="size of the frames (default: 640x480)")
    parser.add_argument(
        "--layers", nargs="?", const=STDOUT, metavar="FILE",
        help="time single layers on this machine and write its table for flora export --device-table (default: stdout)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    if args.layers is not None:
        return _layers(args)
    args.models = args.models or [str(bundled_model())]
    size_wh = _size(args.frame)
    if args.rounds < 1:
        raise UsageError(f"--rounds {args.rounds}: expected 1 or more")
    doubled = next((model for model in args.models if args.models.count(model) > 1), None)
    if doubled:
        raise UsageError(f"{doubled} is named {args.models.count(doubled)} times; expected different files to compare")
    threads = sorted({checked_threads(number) for number in args.threads or (1, default_threads())})
    for model in args.models:
        Classifier(model)  # what is wrong with a file is told before anything is timed
    starts = {model: fresh_start(model, size_wh) for model in args.models}
    steady: list[Steady] = []
    for number in threads:
        with Progress(f"{number} thread{'s' if number > 1 else ''}", args.rounds) as bar:
            steady += time_frames(args.models, number, noise(size_wh), args.rounds, bar)
    print(json.dumps(_record(starts, steady, args.frame)) if args.json else _text(starts, steady, args.frame))
    best = min((one for one in steady if one.model == args.models[-1]), key=lambda one: one.total.p50)
    print(f"next: flora run {best.model} --source 0 --threads {best.threads}", file=sys.stderr)
    return 0


def _layers(args: argparse.Namespace) -> int:
    """Write the table of this machine."""
    if args.models or args.threads:
        extra = args.models[0] if args.models else f"--threads {args.threads[0]}"
        raise UsageError(f"--layers together with {extra}: expected --layers alone; it times this machine, one thread")
    with Progress("timing layers", int(SECONDS)) as bar:
        timings = time_probes(read_probes(), bar, seconds=SECONDS)
    text = table_text(timings)
    if args.layers == STDOUT:
        sys.stdout.write(text)
        return 0
    write_atomically(Path(args.layers), text.encode())
    sys.stdout.write(text if args.json else f"{_summary(json.loads(text))}\n")
    print(f"wrote {args.layers}; next: flora export RUN --device-table {args.layers}", file=sys.stderr)
    return 0


def _summary(table: dict[str, Any]) -> str:
    longest = max(network["ms"] for network in table["networks"])
    return (
        f"{table['device']}, {table['runtime']}, one thread: {len(table['rows'])} layers and "
        f"{len(table['networks'])} networks; the largest, a whole MobileNetV2 1.0/224, takes {longest:.2f} ms"
    )


def _size(text: str) -> tuple[int, int]:
    width, times, height = text.partition("x")
    if not (times and width.isdecimal() and height.isdecimal()) or not (
        0 < int(width) <= LARGEST_SIDE and 0 < int(height) <= LARGEST_SIDE
    ):
        raise UsageError(f"--frame {text}: expected width x height in pixels, as 640x480, each at most {LARGEST_SIDE}")
    return int(width), int(height)


def _record(starts: dict[str, Start], steady: list[Steady], frame: str) -> dict[str, Any]:
    return {
        "runtime": runtime_version(),
        "frame": frame,
        "start": {model: asdict(found) for model, found in starts.items()},
        "steady": [
            {**asdict(one), **{stage: getattr(one, stage)._asdict() for stage in ("geometry", "invoke", "total")}}
            for one in steady
        ],
    }


def _text(starts: dict[str, Start], steady: list[Steady], frame: str) -> str:
    width = max(len(model) for model in starts)
    lines = [
        f"{runtime_version()}, frames of {frame}; milliseconds, p50/p95/p99",
        f"{'':{width}}  threads  {'geometry':>14}  {'invoke':>17}  {'frame to answer':>17}   times as fast",
    ]
    for one in steady:
        stages = (f"{_stage(one.geometry):>14}", f"{_stage(one.invoke):>17}", f"{_stage(one.total):>17}")
        speed = f"{one.speed.value:.2f} ({one.speed.low:.2f} to {one.speed.high:.2f})"
        lines.append(f"{one.model:{width}}  {one.threads:>7}  {'  '.join(stages)}   {speed}")
    lines += ["", f"{'in a fresh process':{width}}  {'opened, ms':>12}  {'first answer, ms':>16}  {'peak MB':>8}"]
    lines += [
        f"{model:{width}}  {found.init_ms:>12.1f}  {found.first_ms:>16.1f}  {found.peak_mb:>8.1f}"
        for model, found in starts.items()
    ]
    return "\n".join(lines)


def _stage(found: Any) -> str:
    return "/".join(f"{value:.2f}" for value in found)
