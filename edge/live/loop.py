"""The live loop: read the newest frame, classify it, publish the decision, until something says stop.

In:  a classifier (frame BGR uint8 (H, W, 3) -> Answer), a Source, any number of Sinks.
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
from typing import Protocol

from edge.base.options import option
from edge.contract.decision import Answer, Decision
from edge.contract.event import COOL_AGAIN, NO_PICTURE, STARTED, STOPPED, THROTTLED, Event
from edge.contract.frame import Frame, Source
from edge.contract.health import Health, Vitals
from edge.contract.sink import Sink
from edge.errors import FloraError, OutputError, UsageError
from edge.live.monitor import LiveSummary, Monitor
from edge.live.sightings import Sightings
from edge.live.smoothing import Smoother
from edge.picture.geometry import Picture
from edge.picture.region import WHOLE, Roi
from edge.sinks.threads import Outlets, first_error

__all__ = ["Decision", "Live", "LiveConfig", "LiveSummary", "run_live", "stop_on_signals"]

Clock = Callable[[], float]
Sleep = Callable[[float], object]
Gate = Callable[[Frame], bool]

LIVE_SMOOTHING_S = 0.5
SLEEP_SLICE_S = 0.05  # how soon a pause notices that it should stop
VITALS_EVERY_S = 5.0
THROTTLED_SHARE = 0.5  # of the time is spent working while the board lowers its clock, so that it can cool


class Classify(Protocol):
    """A frame in, an answer out; `edge.model.classifier.Classifier` is one."""

    def __call__(self, frame_bgr: Picture, /) -> Answer: ...


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
    classifier: Classify,
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
    """One run of a Live that nobody needs to ask how it is doing."""
    live = Live(config, stop=stop, clock=clock, sleep=sleep, wall=wall)
    return live.run(classifier, source, sinks, gate=gate, in_step=in_step)


class Live:
    """One run of the loop. `tell` and `health` may be called from any thread, also before it runs.

    A Live comes before its source and its sinks, since those need its `tell` and its `health`.
    """

    def __init__(
        self,
        config: LiveConfig | None = None,
        *,
        stop: threading.Event | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
        wall: Clock = time.time,
        vitals: Callable[[], Vitals] = Vitals,
    ) -> None:
        """`clock` must be the source's; `vitals` reads how the machine is doing, every few seconds."""
        self.config, self.stop = config or LiveConfig(), stop or threading.Event()
        self._clock, self._sleep, self._wall, self._read_vitals = clock, sleep, wall, vitals
        self._monitor = Monitor(clock, wall)
        self._sightings = Sightings()
        self._outlets = Outlets((), is_live=False, on_gone=self.stop.set)  # until it runs
        self._source: Source | None = None
        self._classifier: Classify = _nothing
        self._gate: Gate | None = None
        self._vitals_at = float("-inf")

    def tell(self, event: Event) -> None:
        """Pass on what happened; before the run has begun there is nobody to tell."""
        self._monitor.note(event)
        if event.kind == NO_PICTURE and not event.is_update:
            self._tell_all(self._sightings.end())
        self._outlets.tell(event)

    def health(self) -> Health:
        classifier, outputs = self._classifier, self._outlets.health()
        return self._monitor.health(
            getattr(classifier, "name", ""), getattr(classifier, "labels", ()), self._source, outputs
        )

    def lost(self, output: str) -> int:
        """How many decisions the sink of that name did not get."""
        found = self._outlets.health().get(output)
        return found.lost if found else 0

    def run(
        self,
        classifier: Classify,
        source: Source,
        sinks: Sequence[Sink],
        *,
        gate: Gate | None = None,
        in_step: bool = False,
    ) -> LiveSummary:
        """Classify frames until the source ends, `config.frames` are done, or `stop` is set.

        A FloraError of the source ends the run and is returned in the summary, so that what was measured is not lost:
        whoever calls must look at `summary.error`. So does an error of a sink, where the source is a file; from a
        live one the sink is tried again. A sink whose reader has gone (BrokenPipeError) just ends the run. Where
        `gate` finds that nothing moved in a frame, the last answer holds. `in_step` serves sinks as those of a file:
        for a replay, which is faster than they may be.
        """
        self._classifier, self._source, self._gate = classifier, source, gate
        self._outlets = Outlets(sinks, is_live=source.is_live and not in_step, on_gone=self.stop.set, wall=self._wall)
        errors: list[FloraError | None] = []
        with contextlib.ExitStack() as last:  # each of these is done, whatever becomes of the others
            last.callback(lambda: errors.append(self._outlets.close()))
            last.callback(lambda: errors.append(_closing_error(source)))
            last.callback(self._monitor.end)
            errors.append(self._publish(source))
        return self._monitor.summary(source, self._outlets.health(), first_error(*errors))

    def _publish(self, source: Source) -> FloraError | None:
        """Everything between opening and closing; what ended it, if that is an error."""
        error: FloraError | None = None
        self._tell_if_live(STARTED, f"watching {source.name}", source=source.name)
        try:
            for decision, frame in self._decisions(source):
                self._outlets.show(decision, frame)
                if source.is_live:
                    self._tell_all(self._sightings.add(decision))
        except FloraError as found:
            error = found
        except BrokenPipeError:
            return None
        except OSError as found:
            return OutputError(f"an output failed ({found.strerror or found}); the run has stopped")
        self._tell_all(self._sightings.end())
        text = f"stopped: {error}" if error else f"stopped after {self._monitor.frames} frames"
        self._tell_if_live(STOPPED, text, reason=error and str(error))
        return error

    def _decisions(self, source: Source) -> Iterator[tuple[Decision, Frame]]:
        smoother = Smoother(self._smoothing_s(source), self.config.hysteresis)
        region, last, next_at = self.config.region, None, self._clock()
        while not self._is_over():
            self._pause_until(next_at)
            asked_at = self._clock()
            frame = source.read(self.stop)
            if frame is None:
                return
            frame = frame if region is WHOLE else replace(frame, roi=region)
            read_at = self._clock()
            last = self._decide(frame, (read_at - asked_at) * 1000, smoother, last)
            self._monitor.add(last, frame.captured_at)
            yield last, frame
            next_at = asked_at + self._pace_s(self._clock() - read_at)

    def _decide(self, frame: Frame, wait_ms: float, smoother: Smoother, last: Decision | None) -> Decision:
        is_held = self._gate is not None and self._gate(frame) and last is not None
        result = last.result if is_held and last else self._classifier(frame.seen_bgr)
        if last and result.labels != last.result.labels:  # another model has taken over
            smoother.reset()
        probabilities, index = smoother.update(result.probabilities, frame.captured_at)
        return Decision(
            time=self._wall(),
            source=self._source.name if self._source else "",
            frame=frame.number,
            name=frame.name,
            result=result,
            probabilities=probabilities,
            index=index,
            wait_ms=wait_ms,
            age_ms=(self._clock() - frame.captured_at) * 1000,
            is_held=is_held,
        )

    def _is_over(self) -> bool:
        return self.stop.is_set() or (self.config.frames is not None and self._monitor.frames >= self.config.frames)

    def _smoothing_s(self, source: Source) -> float:
        if self.config.smoothing_s is not None:
            return self.config.smoothing_s
        return LIVE_SMOOTHING_S if source.is_live else 0.0

    def _pace_s(self, worked_s: float) -> float:
        """From one frame to the next: as --max-fps has it, and longer while the board is too hot."""
        self._look_at_the_board()
        least = 1 / self.config.max_fps if self.config.max_fps else 0.0
        return max(least, worked_s / THROTTLED_SHARE) if self._monitor.vitals.is_throttled else least

    def _look_at_the_board(self) -> None:
        if self._clock() - self._vitals_at < VITALS_EVERY_S:
            return
        self._vitals_at = self._clock()
        before, self._monitor.vitals = self._monitor.vitals, self._read_vitals()
        is_throttled = self._monitor.vitals.is_throttled
        if is_throttled and not before.is_throttled:
            self._tell_if_live(THROTTLED, "the board lowers its clock; working half of the time until it is cool again")
        elif before.is_throttled and not is_throttled:
            self._tell_if_live(COOL_AGAIN, "the board is cool again")

    def _pause_until(self, at: float) -> None:
        # In slices of plain sleep: waiting on the event could deadlock with the signal handler that sets it.
        while not self.stop.is_set() and (left_s := at - self._clock()) > 0:
            self._sleep(min(left_s, SLEEP_SLICE_S))

    def _tell_all(self, events: Sequence[Event]) -> None:
        for event in events:
            self._outlets.tell(event)

    def _tell_if_live(self, kind: str, text: str, **data: object) -> None:
        if self._source is not None and self._source.is_live:
            self._outlets.tell(Event(kind, self._wall(), text, data))


def _closing_error(source: Source) -> FloraError | None:
    try:
        source.close()
    except FloraError as error:
        return error
    return None


def _nothing(frame_bgr: Picture) -> Answer:
    """Stands for the classifier before there is one."""
    raise AssertionError("asked before it ran")


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
