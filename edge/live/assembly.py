"""What one run is made of, put together in the order in which one part needs another: hub, source, model, sinks, loop.

In:  Parts; a source, or a recording.
Out: a LiveSummary. Whatever is open when something fails is closed again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.base.board import Board
from edge.contract.event import Tell
from edge.contract.frame import Source
from edge.contract.result import PictureClassifier
from edge.contract.sink import Run, Sink
from edge.live.hub import Hub
from edge.live.loop import Gate, Live, LiveConfig
from edge.live.monitor import LiveSummary
from edge.live.pace import vitals_of

if TYPE_CHECKING:
    from edge.base.progress import Say
    from edge.live.replay import Session


@dataclass(frozen=True)
class Parts:
    """All of a run but its source. What is asked for rarely is imported only then: it would double a start."""

    model: Path  # the file or folder of the classifier
    classifier: PictureClassifier
    config: LiveConfig
    settings: Mapping[str, Any]  # of the run, as a recording keeps them
    open_sinks: Callable[[Run, ExitStack], Sequence[Sink]]  # the stack closes what is open, should it be unwound
    has_window: bool
    stop: threading.Event
    say: Say  # to the person who began the run


def run_source(
    parts: Parts,
    open_source: Callable[[Tell], Source],
    *,
    reopen: Callable[[], PictureClassifier] | None = None,
    must_prove: bool = True,
    gate: Gate | None = None,
) -> LiveSummary:
    """Run over a camera, a stream or files.

    `reopen` opens the model again when its file is replaced during a live run, and `must_prove` asks for its golden
    cases then; None: the file is not watched. Raises FloraError for what cannot be opened.
    """
    hub, board = Hub(stop=parts.stop), Board()
    with ExitStack() as undo:
        # The source first: one that is not there leaves no empty output behind.
        source, classifier = open_source(hub.tell), parts.classifier
        undo.callback(source.close)
        if source.is_live and reopen is not None:
            from edge.live.swap import ModelWatch

            watch = ModelWatch(parts.model, reopen, classifier, tell=hub.tell, must_prove=must_prove)
            watch.start()
            undo.callback(watch.close)
            classifier = watch
        sinks = _opened(parts, hub, classifier, source, time.time(), undo)
        vitals = partial(vitals_of, board)
        return _with_window(
            parts, sinks, lambda found: Live(hub, classifier, source, found, parts.config, gate=gate, vitals=vitals)
        )


def run_recording(parts: Parts, session: Session) -> LiveSummary:
    """Run over a recording once more; say how many answers are as they were."""
    from edge.live.replay import Comparison

    if remark := session.remark(parts.model):
        parts.say(remark)
    config, comparison = session.config(parts.config), Comparison(session)
    hub = Hub(stop=parts.stop, clock=session.clock, wall=session.wall)
    with ExitStack() as undo:
        source, timed = session.source(hub.tell), session.timed(parts.classifier)
        undo.callback(source.close)
        sinks = [*_opened(parts, hub, timed, source, session.header.created, undo), comparison]
        summary = _with_window(
            parts, sinks, lambda found: Live(hub, timed, source, found, config, gate=session.gate, in_step=True)
        )
    parts.say(comparison.line())
    return summary


def _opened(
    parts: Parts, hub: Hub, classifier: PictureClassifier, source: Source, created: float, undo: ExitStack
) -> Sequence[Sink]:  # fmt: skip
    """The sinks; `created` is when the run began, seconds since the epoch."""
    health = partial(hub.health, classifier, source)
    run = Run(classifier, parts.model, source, parts.settings, created, health, hub.tell, hub.sinks.lost)
    return parts.open_sinks(run, undo)


def _with_window(parts: Parts, sinks: Sequence[Sink], loop_over: Callable[[Sequence[Sink]], Live]) -> LiveSummary:
    """Run the loop in this thread; where there is a window, which must live in this one, in another."""
    if not parts.has_window:
        return loop_over(sinks).run()
    from edge.sinks.window import WindowSink

    window = WindowSink(on_snapshot=lambda path: parts.say(f"wrote {path}"))
    done: list[LiveSummary | BaseException] = []

    def work() -> None:
        try:
            done.append(loop_over([*sinks, window]).run())
        except BaseException as error:  # noqa: BLE001  raised again below
            done.append(error)
        finally:
            parts.stop.set()

    thread = threading.Thread(target=work, name="loop")
    thread.start()
    try:
        window.run(parts.stop)
    finally:
        parts.stop.set()
        thread.join()
    if isinstance(done[0], BaseException):
        raise done[0]
    return done[0]
