"""Classify live: camera, video, picture, folder, glob, http(s):// or rtsp:// stream, or a test pattern.

A camera or a stream that stalls or vanishes is opened again; Ctrl-C ends the run with a summary.

example: flora run --source 0
         flora run --source 0 --web 8080
         flora run flowers.tflite --source rtsp://camera/stream --mqtt mqtt://broker/garden --jsonl answers.jsonl
         flora run flowers.tflite --source clip.mp4 --jsonl answers.jsonl
         flora run --source 0 --learn-scene 60s --keep-uncertain kept
         flora run --source 0 --web 8080 --print-service
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.base.options import add_options, read_options
from edge.contract.event import Tell
from edge.contract.frame import Source
from edge.contract.result import PictureClassifier
from edge.contract.sink import Opened, Run, Sink
from edge.live.assembly import Parts, run_recording, run_source
from edge.live.loop import Gate, LiveConfig, stop_on_signals
from edge.live.monitor import LiveSummary
from edge.live.motion import THRESHOLD, MotionGate
from edge.model.classifier import Classifier, bundled_model, introduction
from edge.sinks.opening import AskedSinks, add_sink_options, open_sinks, read_sink_options
from edge.sources.opening import add_source_options, open_source, read_source_options, source_help
from edge.verbs.opening import open_classifier

if TYPE_CHECKING:
    from edge.live.replay import Session


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", nargs="?", metavar="MODEL",
        help="a .tflite file written by flora export (default: the bundled flower model)",
    )  # fmt: skip
    parser.add_argument("--source", required=True, metavar="S", help=source_help())
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads of the runtime (default: all cores, at most 4)"
    )
    parser.add_argument(
        "--threshold", type=float, metavar="P",
        help='below this score the answer is "nothing known"; 0 turns that off (default: the model\'s own)',
    )  # fmt: skip
    parser.add_argument(
        "--no-verify", action="store_true", help="run even if the model's golden cases give wrong answers here"
    )
    parser.add_argument(
        "--skip-still", nargs="?", type=float, const=THRESHOLD, metavar="LEVELS",
        help="ask the model only when something moved, by this many grey levels "
        f"(default: off; without a number {THRESHOLD:g})",
    )  # fmt: skip
    parser.add_argument("--print-service", action="store_true", help="print a systemd unit for this command, and end")
    add_options(parser, LiveConfig)
    _configure_source(parser.add_argument_group("source"))
    _configure_outputs(parser.add_argument_group("outputs, any number at once; the terminal is always one"))


def _configure_source(group: Any) -> None:
    group.add_argument(
        "--realtime", action="store_true", help="play a video at its own rate, dropping frames as a camera would"
    )
    group.add_argument("--replay", action="store_true", help="the source is a folder that --record wrote")
    add_source_options(group)


def _configure_outputs(group: Any) -> None:
    group.add_argument("--show", action="store_true", help="a window; h: heat map, s: snapshot, q: stop")
    add_sink_options(group)


def run(args: argparse.Namespace) -> int:
    config, camera, outputs = read_options(LiveConfig, args), read_source_options(args), read_sink_options(args)
    if args.print_service:
        return _print_service(args)
    session = _session(args.source) if args.replay else None
    threshold = session.threshold if session and args.threshold is None else args.threshold
    gate: Gate | None = MotionGate(args.skip_still) if args.skip_still is not None else None
    open_model = partial(open_classifier, args.model, threads=args.threads, threshold=threshold)
    classifier = open_model()
    _prove(classifier, args)
    if args.model is None and isinstance(classifier, Classifier):
        _say(introduction(classifier))
    opened: list[Opened] = []
    with stop_on_signals() as stop:
        parts = _parts(args, config, partial(_open_sinks, outputs, opened), classifier, stop)
        if session:
            summary = run_recording(parts, session)
        else:
            reopen = open_model if isinstance(classifier, Classifier) else None  # it is one file, that can be replaced
            opener = partial(_open_source, args, camera, config)
            summary = run_source(parts, opener, reopen=reopen, must_prove=not args.no_verify, gate=gate)
    _sum_up(summary, opened)
    if summary.error is not None:
        raise summary.error
    return 0


def _session(folder: str) -> Session:
    from edge.live.replay import read_session

    return read_session(folder)


def _prove(classifier: PictureClassifier, args: argparse.Namespace) -> None:
    """Refuse a model that gives wrong answers on this device; say what is taken on trust."""
    if not args.no_verify:
        classifier.require_right_answers()
    for line in classifier.remarks:
        _say(line)


def _parts(
    args: argparse.Namespace, config: LiveConfig, open_them: Callable[[Run, ExitStack], Sequence[Sink]],
    classifier: PictureClassifier, stop: threading.Event,
) -> Parts:  # fmt: skip
    return Parts(
        model=Path(args.model) if args.model else bundled_model(),
        classifier=classifier,
        config=config,
        settings=asdict(config) | {"threshold": args.threshold, "skip_still": args.skip_still},
        open_sinks=open_them,
        has_window=args.show,
        stop=stop,
        say=_say,
    )


def _open_source(args: argparse.Namespace, options: Sequence[object], config: LiveConfig, tell: Tell) -> Source:
    return open_source(args.source, *options, realtime=args.realtime, max_fps=config.max_fps, tell=tell)


def _open_sinks(asked: AskedSinks, opened: list[Opened], served: Run, undo: ExitStack) -> Sequence[Sink]:
    """They are added to `opened`, for what is to be told of them in the end."""
    opened += open_sinks(asked, served, undo)
    for one in opened:
        if one.page:
            _say(f"page: {one.page}")
    return [one.sink for one in opened]


def _print_service(args: argparse.Namespace) -> int:
    """The unit on stdout, how to install it on stderr."""
    import getpass

    from edge.live.service import install_commands, unit_text

    program, *module = args.program
    unit = unit_text(
        [*module, "run", *args.arguments], user=getpass.getuser(), working_directory=str(Path.cwd()),
        executable=program,
    )  # fmt: skip
    print(unit, end="")
    for line in ("save it as flora.service, then:", *(f"  {command}" for command in install_commands())):
        _say(line)
    return 0


def _sum_up(summary: LiveSummary, opened: Sequence[Opened]) -> None:
    """The summary, unless the run broke off before there was anything to sum up: then the error alone."""
    if summary.error is not None and summary.frames <= 1:
        return
    remarks = [remark for one in opened if one.remark and (remark := one.remark())]
    for line in (*summary.warnings, *summary.lines(), *remarks):
        _say(line)
    for what in [one.wrote for one in opened if one.wrote] if summary.error is None else ():
        _say(f"wrote {what}")


def _say(line: str) -> None:
    print(line, file=sys.stderr)
