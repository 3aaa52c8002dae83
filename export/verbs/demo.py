"""Everything, offline, on rendered flowers: train, prune, quantise, and classify a clip live.

A few minutes on two cores, nothing downloaded.

example: flora demo
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.base.progress import Bars, Pulse
from edge.base.streams import heard_stderr
from edge.errors import OutputError, UsageError
from training.config import numbered, write_json

if TYPE_CHECKING:
    from export.demo import Demo

EPOCHS = 20


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FOLDER", help="where everything goes (default: runs/demo, numbered)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="seed of the garden and of the training (default: 1)"
    )
    parser.add_argument(
        "--epochs", type=int, default=EPOCHS, metavar="N", help=f"most epochs of training (default: {EPOCHS})"
    )
    parser.add_argument("--json", action="store_true", help="the summary as one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    if args.epochs < 1 or args.seed < 0:
        raise UsageError(
            f"--epochs {args.epochs} --seed {args.seed}: expected at least one epoch and a seed of 0 or more"
        )
    folder = Path(args.out) if args.out else numbered(Path("runs"), "demo")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder}: there is something in it already; give another --out")
    started = time.perf_counter()
    with heard_stderr() as stderr, Bars(stderr) as stages, Pulse(stages.beat):
        from export.demo import demo

        folder.mkdir(parents=True, exist_ok=True)
        done = demo(folder, args.seed, args.epochs, stages, stages.tell)
    minutes = (time.perf_counter() - started) / 60
    record = _record(done, minutes)
    write_json(folder / "demo.json", record)
    print(json.dumps(record) if args.json else _summary(done, minutes))
    return 0


def _summary(done: Demo, minutes: float) -> str:
    from export.variants.table import table

    exported, folder = done.exported, done.folder
    chosen = next(v for v in exported.variants if v.is_chosen)
    assert chosen.test is not None
    interval = f"95 % interval {chosen.test.low:.1%} to {chosen.test.high:.1%}"
    pace = f", at {done.summary.invoke_ms.p50:.2f} ms a picture" if done.summary.invoke_ms else ""
    return f"""
{table(exported.variants, exported.float_validation, exported.float_test)}

In {minutes:.1f} minutes Flora rendered {done.photos} flower pictures, trained a network on 70 % of them, and made
one file of it that needs no TensorFlow: {exported.path}, {exported.bytes / 1000:.0f} kB, {chosen.name}.
It names {chosen.test.top1:.1%} of {chosen.test.n} pictures it never saw ({interval}),
and, live, {done.named} of the {done.scenes} flowers that pass by in the clip{pace}.
Of {done.empty_frames} frames of the clip without a flower it named {done.empty_named} as one.

Look at:
  {folder / "contact-sheet.png"}    the clip's flowers with their answers
  {folder / "annotated.avi"}        the clip as a viewer would see it
  {folder / "run" / "report.html"}   how the training went

Next:
  flora run {exported.path} --source {folder / "clip.avi"} --realtime
  flora train flowers                the real thing: downloads flower_photos; a quarter of an hour on two cores
  flora train PHOTOS                 your own: a folder with one folder of photos per class
  flora run FILE.tflite --source 0   your camera"""


def _record(done: Demo, minutes: float) -> dict[str, Any]:
    from export.outcome import as_json

    return {
        "folder": str(done.folder), "minutes": round(minutes, 2), "photos": done.photos, "scenes": done.scenes,
        "scenes_named": done.named, "empty_frames": done.empty_frames, "empty_named": done.empty_named,
        "export": as_json(done.exported),
    }  # fmt: skip
