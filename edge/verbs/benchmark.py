"""How long model files take on this machine, from camera frame to answer: several files side by side, in turns.

Every number of threads is tried, and the best one named as the option to give. The first file is what the others are
compared with, in ratios, since a busy machine slows all of them alike.

With --soak one file works for minutes on end: does it get slower, the board hot, the process larger?

With --layers it measures this machine and no file: how long single layers take, for about 30 seconds. From the table
that it writes, `flora export RUN --device-table FILE` on a workstation knows what is slow on this device.

example: flora benchmark flowers.tflite
         flora benchmark mobilenet.tflite flowers.tflite --threads 1 --threads 4 --frame 1280x720 --json
         flora benchmark --soak 10m --max-fps 5
         flora benchmark --layers pi4.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2

from edge.base.board import Board
from edge.base.files import write_atomically
from edge.base.packages import DISTRIBUTION, installed
from edge.base.progress import Progress
from edge.errors import UsageError
from edge.machine.layers import SECONDS, read_probes, table_text, time_probes
from edge.machine.soak import Drift, Period, read_duration, soak
from edge.machine.starts import Start, fresh_start
from edge.machine.timing import STAGES, Pipeline, Steady, best_of, camera_jpeg, thread_counts, time_frames
from edge.model.classifier import Classifier, bundled_model
from edge.model.interpreter import checked_threads, default_threads, runtime_version

LARGEST_SIDE = 8192
STDOUT = "-"
SOAK_HEAD = (
    f"{'seconds':>8} {'frames/s':>9}  {'frame to answer, ms':>20} {'CPU':>6} {'heat':>7} {'clock':>9} "
    f"{'memory':>9} {'threads':>8} {'files':>6}"
)


@dataclass(frozen=True)
class Measured:
    """What a benchmark found."""

    board: dict[str, Any]
    frame: str  # WxH
    starts: dict[str, Start]
    steady: list[Steady]
    heat: tuple[float | None, float | None]  # degrees Celsius before and after


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models", nargs="*", metavar="MODEL",
        help=".tflite files; ratios are to the first (default: the flower model that comes with Flora)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=int, action="append", metavar="N",
        help=f"threads of the runtime; may be given several times (default: 1 to {Board().cores()}, each is tried)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=200, metavar="N", help="frames per model (default: 200)")
    parser.add_argument("--frame", default="640x480", metavar="WxH", help="size of the frames (default: 640x480)")
    parser.add_argument(
        "--soak", metavar="TIME", help="work for so long, as 90s, 10m or 2h, one file; a line for each minute"
    )
    parser.add_argument(
        "--max-fps", type=float, metavar="FPS", help="with --soak: frames a second (default: as many as it can)"
    )
    parser.add_argument(
        "--layers", nargs="?", const=STDOUT, metavar="FILE",
        help="time single layers on this machine and write its table for flora export --device-table (default: stdout)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, to compare boards by")


def run(args: argparse.Namespace) -> int:
    if args.max_fps is not None and not (args.soak and 0 < args.max_fps < float("inf")):
        raise UsageError(f"--max-fps {args.max_fps:g}: expected more than 0, and --soak TIME")
    if args.layers is not None:
        return _layers(args)
    args.models = args.models or [str(bundled_model())]
    size_wh = _size(args.frame)
    if args.soak is not None:
        return _soak(args, size_wh)
    if args.rounds < 1:
        raise UsageError(f"--rounds {args.rounds}: expected 1 or more")
    doubled = next((model for model in args.models if args.models.count(model) > 1), None)
    if doubled:
        raise UsageError(f"{doubled} is named {args.models.count(doubled)} times; expected different files to compare")
    board = Board()
    counts = sorted({checked_threads(number) for number in args.threads or thread_counts(board.cores())})
    for model in args.models:
        Classifier(model)  # what is wrong with a file is told before anything is timed
    measured = _measured(args, board, counts, size_wh)
    print(json.dumps(_record(measured)) if args.json else _text(measured))
    best = best_of(measured.steady, args.models[-1])
    print(f"next: flora run {best.model} --source 0 --threads {best.threads}", file=sys.stderr)
    return 0


def _measured(args: argparse.Namespace, board: Board, counts: list[int], size_wh: tuple[int, int]) -> Measured:
    before = board.temperature_c()
    starts = {model: fresh_start(model, size_wh) for model in args.models}
    title = " and ".join(map(str, counts[:-1])) + " and " * (len(counts) > 1) + _threads(counts[-1])
    with Progress(title, args.rounds * len(counts)) as bar:
        steady = time_frames(args.models, counts, camera_jpeg(size_wh), args.rounds, bar, board=board)
    return Measured(_board(board), args.frame, starts, steady, (before, board.temperature_c()))


def _soak(args: argparse.Namespace, size_wh: tuple[int, int]) -> int:
    """One file, for minutes."""
    seconds = read_duration(args.soak)
    if len(args.models) > 1 or len(args.threads or ()) > 1:
        many = f"{len(args.models)} files" if len(args.models) > 1 else f"{len(args.threads)} numbers of threads"
        raise UsageError(f"--soak with {many}: expected one")
    board, model = Board(), args.models[0]
    threads = checked_threads(args.threads[0] if args.threads else None)
    periods: list[Period] = []
    with _soak_view(args, f"{model}, {_threads(threads)}, {_where(_board(board))}", seconds) as show:
        work = Pipeline(model, threads)
        for period in soak(work, camera_jpeg(size_wh), seconds, max_fps=args.max_fps, board=board):
            periods.append(period)
            show(period)
    drift = Drift.of(periods)
    if args.json:
        told = {"max_fps": args.max_fps, "periods": [_plain(one) for one in periods], "drift": asdict(drift)}
        head = _head(_board(board), args.frame, [model])
        print(json.dumps(head | {"soak": {"model": model, "threads": threads} | told}))
    else:
        print(_drift_text(drift))
    return 0


@contextmanager
def _soak_view(args: argparse.Namespace, title: str, seconds: float) -> Iterator[Any]:
    """Lines as they come; with --json a progress bar."""
    if args.json:
        with Progress("soak, seconds", round(seconds)) as bar:
            yield lambda period: bar(min(round(period.seconds), round(seconds)))
        return
    print(f"{title}\n{SOAK_HEAD}", flush=True)
    yield lambda period: print(_period_text(period), flush=True)


def _layers(args: argparse.Namespace) -> int:
    """Write the table of this machine."""
    extra = next((text for text in (*args.models, *_given(args)) if text), None)
    if extra:
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


def _given(args: argparse.Namespace) -> tuple[str, str]:
    return f"--threads {args.threads[0]}" if args.threads else "", f"--soak {args.soak}" if args.soak else ""


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


def _board(board: Board) -> dict[str, Any]:
    return board.facts() | {"is_throttled": board.is_throttled(), "temperature_c": board.temperature_c()}


def _head(board: dict[str, Any], frame: str, models: list[str]) -> dict[str, Any]:
    """What makes a figure comparable with that of another board."""
    files = {model: hashlib.sha256(Path(model).read_bytes()).hexdigest() for model in models}
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "flora": installed([DISTRIBUTION]).get(DISTRIBUTION),
        "runtime": runtime_version(),
        "opencv": cv2.__version__,
        "board": board,
        "frame": frame,
        "sha256": files,
    }


def _record(measured: Measured) -> dict[str, Any]:
    head = _head(measured.board, measured.frame, list(measured.starts))
    return head | {
        "temperature_c": {"before": measured.heat[0], "after": measured.heat[1]},
        "start": {model: asdict(found) for model, found in measured.starts.items()},
        "steady": [_plain(one) for one in measured.steady],
        "best_threads": {model: best_of(measured.steady, model).threads for model in measured.starts},
    }


def _plain(found: Steady | Period) -> dict[str, Any]:
    """As JSON has it: percentiles are objects."""
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    named = {name: value._asdict() for name, value in values.items() if hasattr(value, "_asdict")}
    return asdict(found) | named


def _text(measured: Measured) -> str:
    starts, width = measured.starts, max(len(model) for model in measured.starts)
    heads = [*STAGES, "frame to answer"]
    lines = [
        f"{_where(measured.board)}; frames of {measured.frame}; milliseconds, p50/p95/p99",
        f"{'':{width}}  threads  {'  '.join(f'{head:>16}' for head in heads)}   times as fast",
    ]
    for one in measured.steady:
        stages = "  ".join(f"{_stage(getattr(one, stage)):>16}" for stage in (*STAGES, "total"))
        speed = f"{one.speed.value:.2f} ({one.speed.low:.2f} to {one.speed.high:.2f})"
        note = "  while throttled" if one.is_throttled else ""
        lines.append(f"{one.model:{width}}  {one.threads:>7}  {stages}   {speed}{note}")
    lines += ["", f"{'in a fresh process':{width}}  {'opened, ms':>12}  {'first answer, ms':>16}  {'warm-up, ms':>11}"
              f"  {'peak MB':>8}"]  # fmt: skip
    lines += [
        f"{model:{width}}  {found.init_ms:>12.1f}  {found.first_ms:>16.1f}  {found.warm_up_ms:>11.1f}"
        f"  {_or_dash(found.peak_mb, '.1f'):>8}"
        for model, found in starts.items()
    ]
    return "\n".join([*lines, "", *(_best_line(measured, model) for model in starts), _heat_line(measured)])


def _best_line(measured: Measured, model: str) -> str:
    best = best_of(measured.steady, model)
    usual = "" if best.threads == default_threads() else f"; flora run takes {default_threads()} unless told"
    return f"best for {model}: --threads {best.threads}, {best.total.p50:.2f} ms{usual}"


def _heat_line(measured: Measured) -> str:
    before, after = (_or_dash(value, ".1f") for value in measured.heat)
    throttled = [one.is_throttled for one in measured.steady]
    told = "throttled meanwhile: the figures are too high" if any(throttled) else "not throttled"
    heat = "the board does not tell its temperature" if before == after == "-" else f"{before} to {after} °C"
    return f"{heat}; {'no word on throttling' if None in throttled and not any(throttled) else told}"


def _where(board: dict[str, Any]) -> str:
    features = ", ".join(board["features"]) or "features not told"
    clock = f", governor {board['governor']}" if board["governor"] else ""
    return f"{board['name']}, {board['cores']} cores ({features}){clock}; {runtime_version()}"


def _period_text(one: Period) -> str:
    clock = {True: "throttled", False: "full", None: "-"}[one.is_throttled]
    return (
        f"{one.seconds:>8.0f} {one.fps:>9.1f}  {_stage(one.total):>20} {_or_dash(one.cpu_share, '.2f'):>6} "
        f"{_or_dash(one.temperature_c, '.1f'):>7} {clock:>9} {_or_dash(one.memory_mb, '.1f'):>9} "
        f"{_or_dash(one.threads, 'd'):>8} {_or_dash(one.descriptors, 'd'):>6}"
    )


def _drift_text(drift: Drift) -> str:
    parts = [f"{drift.slower:.2f} times as long"]
    for value, form, unit in (
        (drift.hotter_c, "+.1f", "°C"),
        (drift.memory_mb, "+.1f", "MB"),
        (drift.threads, "+d", "threads"),
        (drift.descriptors, "+d", "files"),
    ):
        parts += [f"{value:{form}} {unit}"] if value is not None else []
    return f"last line against the first: {', '.join(parts)}"


def _stage(found: Any) -> str:
    return "/".join(f"{value:.2f}" for value in found)


def _threads(number: int) -> str:
    return f"{number} thread{'s' if number > 1 else ''}"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
