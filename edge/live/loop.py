"""The live loop: read the newest frame, classify it, publish the decision, until something says stop.

In:  a classifier, a Source, any number of Sinks; the Hub that they tell what happens.
Out: a LiveSummary: frames a second, p50/p95/p99 of each stage in milliseconds, what was seen and how it ended.

However it ends, the source and every sink are closed. Sinks of a live source are served by threads of their own
(edge/sinks/threads.py): none of them can hold the loop.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import FrameType

from edge.base.options import option
from edge.contract.decision import Decision
from edge.contract.event import STARTED, STOPPED, Event
from edge.contract.frame import Clock, Frame, Sleep, Source
from edge.contract.health import Vitals
from edge.contract.result import PictureClassifier
from edge.contract.sink import Sink
from edge.errors import FloraError, OutputError, UsageError
from edge.live.hub import Hub
from edge.live.monitor import LiveSummary
from edge.live.pace import Pace
from edge.live.smoothing import Smoother
from edge.picture.region import WHOLE, Roi
from edge.sinks.threads import first_error

Gate = Callable[[Frame], bool]

LIVE_SMOOTHING_S = 0.5


@dataclass(frozen=True)
class LiveConfig:
    """How the loop runs."""

    frames: int | None = option(None, "stop after this many frames")
    max_fps: float | None = option(None, "classify at most this many frames a second, to spare the CPU")
    smoothing_s: float | None = option(
        None, "average the answers over about this many seconds; 0 turns it off (default: 0.5 live, 0 for files)"
    )
    hysteresis: float = option(0.1, "with smoothing: lead in probability that another label needs to take over")
    roi: str | None = option(
        None, "look at this region only: x1,y1,x2,y2 as shares of width and height", metavar="X1,Y1,X2,Y2"
    )

    def __post_init__(self) -> None:
        if self.frames is not None and self.frames < 1:
            raise UsageError(f"--frames is {self.frames}; expected 1 or more")
        if self.max_fps is not None and not 0 < self.max_fps < float("inf"):
            raise UsageError(f"--max-fps is {self.max_fps:g}; expected more than 0")
        if self.smoothing_s is not None and not 0 <= self.smoothing_s < float("inf"):
            raise UsageError(f"--smoothing-s is {self.smoothing_s:g}; expected 0 or more seconds")
        if not 0 <= self.hysteresis < 1:
            raise UsageError(f"--hysteresis is {self.hysteresis:g}; expected at least 0 and less than 1")
        self.region  # noqa: B018  raises what is wrong with it

    @property
    def region(self) -> Roi:
        return Roi.parse(self.roi) if self.roi is not None else WHOLE


def run_live(
    classifier: PictureClassifier,
    source: Source,
    sinks: Sequence[Sink],
    *,
    config: LiveConfig | None = None,
    stop: threading.Event | None = None,
    clock: Clock = time.monotonic,
    sleep: Sleep = time.sleep,
    wall: Clock = time.time,
    gate: Gate | None = None,
    in_step: bool = False,
) -> LiveSummary:
    """One run, with a hub that nobody else needs."""
    hub = Hub(stop=stop, clock=clock, wall=wall)
    return Live(hub, classifier, source, sinks, config, gate=gate, in_step=in_step, sleep=sleep).run()


class Live:
    """One run of the loop; whoever has the hub can tell it things, and ask how it is doing, from any thread."""

    def __init__(
        self,
        hub: Hub,
        classifier: PictureClassifier,
        source: Source,
        sinks: Sequence[Sink],
        config: LiveConfig | None = None,
        *,
        gate: Gate | None = None,
        in_step: bool = False,
        sleep: Sleep = time.sleep,
        vitals: Callable[[], Vitals] = Vitals,
    ) -> None:
        """Where `gate` finds that nothing moved in a frame, the last answer holds.

        `in_step` serves sinks as those of a file: for a replay, which is faster than they may be. `vitals` reads how
        the machine is doing, every few seconds.
        """
        self._hub, self._classifier, self._source, self._sinks = hub, classifier, source, sinks
        self._config, self._gate, self._in_step = config or LiveConfig(), gate, in_step
        self._pace = Pace(hub, self._config.max_fps, tell=self._tell_if_live, read_vitals=vitals, sleep=sleep)

    def run(self) -> LiveSummary:
        """Classify frames until the source ends, `config.frames` are done, or the hub's `stop` is set. Call it once.

        A FloraError of the source ends the run and is returned in the summary, so that what was measured is not lost:
        whoever calls must look at `summary.error`. So does an error of a sink, where the source is a file; from a
        live one the sink is tried again. A sink whose reader has gone (BrokenPipeError) just ends the run.
        """
        hub, source = self._hub, self._source
        hub.sinks.attach(self._sinks, in_threads=source.is_live and not self._in_step)
        errors: list[FloraError | None] = []
        with contextlib.ExitStack() as last:  # each of these is done, whatever becomes of the others
            last.callback(lambda: errors.append(hub.sinks.close()))
            last.callback(lambda: errors.append(_closing_error(source)))
            last.callback(hub.monitor.end)
            errors.append(self._publish())
        return hub.monitor.summary(source, hub.sinks.health(), first_error(*errors))

    def _publish(self) -> FloraError | None:
        """Everything between opening and closing; what ended it, if that is an error."""
        error: FloraError | None = None
        self._tell_if_live(STARTED, f"watching {self._source.name}", source=self._source.name)
        try:
            for decision, frame in self._decisions():
                self._hub.sinks.show(decision, frame)
                if self._source.is_live:
                    self._hub.sight(decision)
        except FloraError as found:
            error = found
        except BrokenPipeError:
            return None
        except OSError as found:
            return OutputError(f"an output failed ({found.strerror or found}); the run has stopped")
        self._hub.end_sighting()
        text = f"stopped: {error}" if error else f"stopped after {self._hub.monitor.frames} frames"
        self._tell_if_live(STOPPED, text, reason=error and str(error))
        return error

    def _decisions(self) -> Iterator[tuple[Decision, Frame]]:
        hub, region, clock = self._hub, self._config.region, self._hub.clock
        smoother, last = Smoother(self._smoothing_s(), self._config.hysteresis), None
        while not self._is_over():
            self._pace.pause()
            asked_at = clock()
            frame = self._source.read(hub.stop)
            if frame is None:
                return
            frame = frame if region is WHOLE else replace(frame, roi=region)
            read_at = clock()
            last = self._decide(frame, (read_at - asked_at) * 1000, smoother, last)
            hub.monitor.add(last, frame.captured_at)
            yield last, frame
            self._pace.note(asked_at, read_at)

    def _decide(self, frame: Frame, wait_ms: float, smoother: Smoother, last: Decision | None) -> Decision:
        is_held = self._gate is not None and self._gate(frame) and last is not None
        result = last.result if is_held and last else self._classifier(frame.seen_bgr)
        if last and result.labels != last.result.labels:  # another model has taken over
            smoother.reset()
        probabilities, index = smoother.update(result.probabilities, frame.captured_at)
        return Decision(
            time=self._hub.wall(),
            source=self._source.name,
            frame=frame.number,
            name=frame.name,
            result=result,
            probabilities=probabilities,
            index=index,
            wait_ms=wait_ms,
            age_ms=(self._hub.clock() - frame.captured_at) * 1000,
            is_held=is_held,
        )

    def _is_over(self) -> bool:
        most = self._config.frames
        return self._hub.stop.is_set() or (most is not None and self._hub.monitor.frames >= most)

    def _smoothing_s(self) -> float:
        if self._config.smoothing_s is not None:
            return self._config.smoothing_s
        return LIVE_SMOOTHING_S if self._source.is_live else 0.0

    def _tell_if_live(self, kind: str, text: str, **data: object) -> None:
        if self._source.is_live:
            self._hub.tell(Event(kind, self._hub.wall(), text, data))


def _closing_error(source: Source) -> FloraError | None:
    try:
        source.close()
    except FloraError as error:
        return error
    return None


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event | None = None) -> Iterator[threading.Event]:
    """Set `stop` on Ctrl-C or SIGTERM; a second Ctrl-C raises KeyboardInterrupt. The old handlers come back after.

    Python delivers signals to the main thread only; in any other this just hands out the event.
    """
    stop = stop or threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    seen: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and signal.SIGINT in seen:
            raise KeyboardInterrupt
        seen.append(number)
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
