"""Classify live: camera, video, picture, folder, glob, http(s):// or rtsp:// stream, or a test pattern.

example: flora run --source 0
         flora run flowers.tflite --source clip.mp4 --jsonl answers.jsonl
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from threading import Event

from edge.classifier import Classifier, PictureClassifier, introduction, open_classifier
from edge.live import LiveConfig, LiveSummary, run_live, stop_on_signals
from edge.options import add_options, read_options
from edge.sinks import Sink
from edge.sinks.clip import ClipSink
from edge.sinks.jsonl import JsonLinesFile, JsonLinesStream
from edge.sinks.terminal import TerminalSink
from edge.sinks.window import WindowSink
from edge.source import open_source

CLIP_FPS = 15.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", nargs="?", metavar="MODEL",
        help="a .tflite file written by flora export (default: the bundled flower model)",
    )  # fmt: skip
    parser.add_argument(
        "--source", required=True, metavar="S", help="camera number, file, folder, glob, stream address, or test"
    )
    parser.add_argument("--show", action="store_true", help="a window with the picture, the crop and the answer")
    parser.add_argument("--jsonl", metavar="PATH", help="append one JSON object per decision to PATH; - is stdout")
    parser.add_argument("--json", action="store_true", help="the same as --jsonl -")
    parser.add_argument("--clip", metavar="PATH", help="write the annotated frames to an .avi file")
    parser.add_argument(
        "--realtime", action="store_true", help="play a video at its own rate, dropping frames as a camera would"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads of the runtime (default: all cores, at most 4)"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help='below this score the answer is "unknown"; 0 turns that off (default: the model\'s own)',
    )
    parser.add_argument(
        "--no-verify", action="store_true", help="run even if the model's golden cases give wrong answers here"
    )
    add_options(parser, LiveConfig)


def run(args: argparse.Namespace) -> int:
    config = read_options(LiveConfig, args)
    classifier = open_classifier(args.model, threads=args.threads, threshold=args.threshold)
    _prove(classifier, args)
    if args.model is None:
        print(introduction(classifier), file=sys.stderr)
    with stop_on_signals() as stop, ExitStack() as undo:
        # The source first: one that is not there leaves no empty output behind.
        source = open_source(args.source, realtime=args.realtime)
        undo.callback(source.close)
        sinks = _sinks(args, stop, undo)
        undo.pop_all()  # from here on the loop closes them
        summary = run_live(classifier, source, sinks, config=config, stop=stop)
    _tell(summary, args)
    if summary.error is not None:
        raise summary.error
    return 0


def _prove(classifier: PictureClassifier, args: argparse.Namespace) -> None:
    """Refuse a model that gives wrong answers on this device; say what is taken on trust."""
    if isinstance(classifier, Classifier):
        if not args.no_verify:
            classifier.require_right_answers()
        for line in classifier.remarks:
            print(line, file=sys.stderr)


def _sinks(args: argparse.Namespace, stop: Event, undo: ExitStack) -> Sequence[Sink]:
    """The outputs asked for; those opened before one that fails are closed again."""
    to_stdout = args.json or args.jsonl == "-"
    sinks: list[Sink] = [JsonLinesStream(sys.stdout)] if to_stdout else []
    if args.jsonl and args.jsonl != "-":
        sinks.append(JsonLinesFile(args.jsonl))
        undo.callback(sinks[-1].close)
    if args.clip:
        sinks.append(ClipSink(args.clip, CLIP_FPS))
        undo.callback(sinks[-1].close)
    if args.show:
        sinks.append(WindowSink(stop))
        undo.callback(sinks[-1].close)
    if not to_stdout:
        sinks.append(TerminalSink(sys.stdout))
    return sinks


def _tell(summary: LiveSummary, args: argparse.Namespace) -> None:
    """The summary, unless the run broke off before there was anything to sum up: then the error alone."""
    if summary.error is not None and summary.frames <= 1:
        return
    for line in (*summary.warnings, *summary.lines()):
        print(line, file=sys.stderr)
    for what in (args.jsonl, args.clip):
        if what and what != "-" and summary.error is None:
            print(f"wrote {what}", file=sys.stderr)
