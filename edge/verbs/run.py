"""Classify live: camera, video, picture, folder, glob, http(s):// or rtsp:// stream, or a test pattern.

A camera or a stream that stalls or vanishes is opened again; Ctrl-C ends the run with a summary.

example: flora run --source 0
         flora run --source 0 --web 8080
         flora run flowers.tflite --source rtsp://camera/stream --mqtt mqtt://broker/garden --jsonl answers.jsonl
         flora run flowers.tflite --source clip.mp4 --jsonl answers.jsonl
         flora run --source 0 --web 8080 --print-service
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.base.board import Board
from edge.base.options import add_options, option, read_options
from edge.contract.frame import Source
from edge.contract.health import Vitals
from edge.contract.result import PictureClassifier
from edge.contract.sink import Sink
from edge.errors import UsageError
from edge.live.loop import Gate, Live, LiveConfig, stop_on_signals
from edge.live.monitor import LiveSummary
from edge.live.motion import THRESHOLD, MotionGate
from edge.model.classifier import Classifier, bundled_model, introduction
from edge.sinks.opening import STDOUT, OutputConfig, Run, open_sinks
from edge.sources.opening import open_source
from edge.sources.watchdog import FREEZE_S, STALL_S
from edge.verbs.opening import open_classifier

if TYPE_CHECKING:
    from edge.live.replay import Session
    from edge.sinks.recording.journal import Header


@dataclass(frozen=True)
class SourceConfig:
    """How a camera or a stream is opened, and how patient to be with it."""

    camera_size: str | None = option(None, "size asked of a camera, pixels, as 1280x720", metavar="WxH")
    camera_fps: float | None = option(None, "frames a second asked of a camera")
    stall_s: float = option(STALL_S, "seconds without a frame after which a camera or stream is opened again")
    freeze_s: float = option(FREEZE_S, "seconds of the same picture, bit by bit, after which it is; 0 never")
    give_up_after: float | None = option(
        None, "seconds without a picture after which the run ends with an error; a camera that is not there yet is "
        "waited for as long; inf waits for ever (default: never, once there was a picture)", metavar="S",
    )  # fmt: skip

    @property
    def size_wh(self) -> tuple[int, int] | None:
        """Raises UsageError."""
        if self.camera_size is None:
            return None
        width, _, height = self.camera_size.partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise UsageError(f"--camera-size {self.camera_size}: expected width x height in pixels, as 1280x720")
        return int(width), int(height)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", nargs="?", metavar="MODEL",
        help="a .tflite file written by flora export (default: the bundled flower model)",
    )  # fmt: skip
    parser.add_argument(
        "--source", required=True, metavar="S",
        help="camera number, picamera, file, folder, glob, stream address, or test",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads of the runtime (default: all cores, at most 4)"
    )
    parser.add_argument(
        "--threshold", type=float, metavar="P",
        help='below this score the answer is "unknown"; 0 turns that off (default: the model\'s own)',
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
    add_options(group, SourceConfig)


def _configure_outputs(group: Any) -> None:
    group.add_argument("--show", action="store_true", help="a window; h: heat map, s: snapshot, q: stop")
    group.add_argument("--json", action="store_true", help="the same as --jsonl -")
    add_options(group, OutputConfig)


def run(args: argparse.Namespace) -> int:
    config, outputs = read_options(LiveConfig, args), read_options(OutputConfig, args)
    camera = read_options(SourceConfig, args)
    if args.print_service:
        return _print_service(args.arguments)
    session = _session(args.source) if args.replay else None
    threshold = session.threshold if session and args.threshold is None else args.threshold
    gate: Gate | None = MotionGate(args.skip_still) if args.skip_still is not None else None
    open_model = partial(open_classifier, args.model, threads=args.threads, threshold=threshold)
    classifier = open_model()
    _prove(classifier, args)
    if args.model is None:
        print(introduction(classifier), file=sys.stderr)
    with stop_on_signals() as stop, ExitStack() as undo:
        made = _Made(args, config, outputs, camera, classifier, stop, undo)
        summary = made.replay(session) if session else made.live(open_model, gate)
    _tell(summary, args)
    if summary.error is not None:
        raise summary.error
    return 0


@dataclass
class _Made:
    """What a run is made of."""

    args: argparse.Namespace
    config: LiveConfig
    outputs: OutputConfig
    camera: SourceConfig
    classifier: PictureClassifier
    stop: threading.Event
    undo: ExitStack

    @property
    def model(self) -> Path:
        return Path(self.args.model) if self.args.model else bundled_model()

    def live(self, open_model: Callable[[], Any], gate: Gate | None) -> LiveSummary:
        """A camera, a stream or files."""
        live = Live(self.config, stop=self.stop, vitals=partial(_vitals, Board()))
        # The source first: one that is not there leaves no empty output behind.
        source = open_source(
            self.args.source,
            realtime=self.args.realtime,
            size_wh=self.camera.size_wh,
            fps=self.camera.camera_fps,
            max_fps=self.config.max_fps,
            stall_s=self.camera.stall_s,
            freeze_s=self.camera.freeze_s,
            give_up_after_s=self.camera.give_up_after,
            tell=live.tell,
        )
        self.undo.callback(source.close)
        if source.is_live and isinstance(self.classifier, Classifier):
            from edge.live.swap import ModelWatch

            watch = ModelWatch(
                self.model, open_model, self.classifier, tell=live.tell, must_prove=not self.args.no_verify
            )
            self.classifier = watch
            watch.start()
            self.undo.callback(watch.close)
        sinks = self._sinks(live, source, time.time())
        return self._with_window(sinks, lambda all_sinks: live.run(self.classifier, source, all_sinks, gate=gate))

    def replay(self, session: Session) -> LiveSummary:
        """A recording."""
        from edge.live.replay import Comparison

        if remark := session.remark(self.model):
            print(remark, file=sys.stderr)
        live = Live(session.config(self.config), stop=self.stop, clock=session.clock, wall=session.wall)
        source, comparison = session.source(live.tell), Comparison(session)
        self.undo.callback(source.close)
        sinks = [*self._sinks(live, source, session.header.created), comparison]
        timed = session.timed(self.classifier)
        summary = self._with_window(
            sinks, lambda all_sinks: live.run(timed, source, all_sinks, gate=session.gate, in_step=True)
        )
        print(comparison.line(), file=sys.stderr)
        return summary

    def _sinks(self, live: Live, source: Source, created: float) -> Sequence[Sink]:
        header = partial(self._header, source, created)
        run = Run(self.classifier.labels, header, live.health, lambda: self.classifier.labels, live.tell, live.lost)
        sinks = open_sinks(self.outputs, run, self.undo, is_json=self.args.json)
        for link in (getattr(sink, "link", None) for sink in sinks):
            if link:
                print(f"page: {link}", file=sys.stderr)
        return sinks

    def _header(self, source: Source, created: float) -> Header:
        from edge.sinks.recording.journal import header_of

        settings = asdict(self.config) | {"threshold": self.args.threshold, "skip_still": self.args.skip_still}
        return header_of(self.classifier, self.model, source, settings, created)

    def _with_window(self, sinks: Sequence[Sink], go: Callable[[Sequence[Sink]], LiveSummary]) -> LiveSummary:
        """The loop in this thread; with --show in another, since a window must live in this one."""
        if not self.args.show:
            return go(sinks)
        from edge.sinks.window import WindowSink

        window = WindowSink(on_snapshot=lambda path: print(f"wrote {path}", file=sys.stderr))
        done: list[LiveSummary | BaseException] = []

        def loop() -> None:
            try:
                done.append(go([*sinks, window]))
            except BaseException as error:  # noqa: BLE001  raised again below
                done.append(error)
            finally:
                self.stop.set()

        thread = threading.Thread(target=loop, name="loop")
        thread.start()
        try:
            window.run(self.stop)
        finally:
            self.stop.set()
            thread.join()
        if isinstance(done[0], BaseException):
            raise done[0]
        return done[0]


def _session(folder: str) -> Session:
    from edge.live.replay import read_session

    return read_session(folder)


def _vitals(board: Board) -> Vitals:
    return Vitals(board.cpu_share(), board.memory_mb(), board.temperature_c(), board.is_throttled())


def _print_service(arguments: Sequence[str]) -> int:
    """The unit on stdout, how to install it on stderr."""
    import getpass

    from edge.live.service import install_commands, unit_text

    program = Path(sys.argv[0]).resolve()
    command = [str(program)] if os.access(program, os.X_OK) else [sys.executable, "-m", "edge.cli"]
    unit = unit_text(
        [*command[1:], "run", *arguments], user=getpass.getuser(), working_directory=str(Path.cwd()),
        executable=command[0],
    )  # fmt: skip
    print(unit, end="")
    print("save it as flora.service, then:", *install_commands(), sep="\n  ", file=sys.stderr)
    return 0


def _prove(classifier: PictureClassifier, args: argparse.Namespace) -> None:
    """Refuse a model that gives wrong answers on this device; say what is taken on trust."""
    if isinstance(classifier, Classifier):
        if not args.no_verify:
            classifier.require_right_answers()
        for line in classifier.remarks:
            print(line, file=sys.stderr)


def _tell(summary: LiveSummary, args: argparse.Namespace) -> None:
    """The summary, unless the run broke off before there was anything to sum up: then the error alone."""
    if summary.error is not None and summary.frames <= 1:
        return
    for line in (*summary.warnings, *summary.lines()):
        print(line, file=sys.stderr)
    for what in (args.jsonl, args.clip, args.record):
        if what and what != STDOUT and summary.error is None:
            print(f"wrote {what}", file=sys.stderr)
