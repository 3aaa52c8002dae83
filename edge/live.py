"""The live loop: read the newest frame, classify it, publish the decision, until something says stop.

In:  a classifier (frame BGR uint8 (H, W, 3) -> Answer), a Source, any number of Sinks.
Out: a LiveSummary: frames a second, p50/p95/p99 of each stage in milliseconds, what was seen and how it ended.

However it ends, the source and every sink are closed.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Protocol

import numpy as np

from edge.errors import FloraError, OutputError, UsageError
from edge.frames import Frame, Source
from edge.geometry import Picture
from edge.options import option
from edge.sinks import Sink
from edge.smoothing import Answer, Decision, Smoother

__all__ = ["Decision", "LiveConfig", "LiveSummary", "Percentiles", "run_live", "stop_on_signals"]

Clock = Callable[[], float]
Sleep = Callable[[float], object]

LIVE_SMOOTHING_S = 0.5
WARM_UP_FRAMES = 1  # the first invoke also lays out memory: counted, but not timed
TIMED_FRAMES = 10_000  # the last so many are timed, so that months of running take no more memory than minutes
SLEEP_SLICE_S = 0.05  # how soon a pause notices that it should stop


class Classify(Protocol):
    """A frame in, an answer out; `edge.classifier.Classifier` is one."""

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

    def __post_init__(self) -> None:
        if self.frames is not None and self.frames < 1:
            raise UsageError(f"--frames is {self.frames}; expected 1 or more")
        if self.max_fps is not None and not 0 < self.max_fps < float("inf"):
            raise UsageError(f"--max-fps is {self.max_fps:g}; expected more than 0")
        if self.smoothing_s is not None and not 0 <= self.smoothing_s < float("inf"):
            raise UsageError(f"--smoothing-s is {self.smoothing_s:g}; expected 0 or more seconds")
        if not 0 <= self.hysteresis < 1:
            raise UsageError(f"--hysteresis is {self.hysteresis:g}; expected at least 0 and less than 1")


@dataclass(frozen=True)
class Percentiles:
    """Of a time in milliseconds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, samples_ms: Iterable[float]) -> Percentiles | None:
        """None where there is nothing to sum up."""
        values = np.fromiter(samples_ms, np.float64)
        return cls(*np.percentile(values, (50, 95, 99)).tolist()) if values.size else None

    def __str__(self) -> str:
        return f"{self.p50:.1f}/{self.p95:.1f}/{self.p99:.1f}"


@dataclass(frozen=True)
class LiveSummary:
    """What a run amounted to. The times leave out the first frame and look back over the last 10 000."""

    frames: int  # classified
    seconds: float  # from the first decision to the last
    fps: float | None  # (frames - 1) / seconds
    dropped: int  # frames that a newer one replaced
    label_changes: int  # between one decision and the next, "unknown" being a label
    label_counts: dict[str, int]  # most frequent first
    wait_ms: Percentiles | None  # for the frame
    geometry_ms: Percentiles | None
    invoke_ms: Percentiles | None
    age_ms: Percentiles | None  # capture to answer
    warnings: tuple[str, ...]  # of the source: what was left out
    error: FloraError | None  # why the run broke off; None if it ended as it should

    def lines(self) -> list[str]:
        """For a person."""
        rate = f", {self.fps:.1f} frames/s" if self.fps is not None else ""
        seen = ", ".join(f"{label} {count}" for label, count in self.label_counts.items()) or "nothing"
        lines = [
            f"{self.frames} frames in {self.seconds:.1f} s{rate}; {self.dropped} dropped for newer ones",
            f"seen: {seen}; {self.label_changes} changes",
        ]
        stages = {"wait": self.wait_ms, "geometry": self.geometry_ms, "invoke": self.invoke_ms, "age": self.age_ms}
        times = "  ".join(f"{name} {percentiles}" for name, percentiles in stages.items() if percentiles)
        return [*lines, f"ms p50/p95/p99: {times}"] if times else lines


@dataclass
class _Tally:
    """What the loop adds up on its way; bounded, whatever the length of the run."""

    frames: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    last_shown: str | None = None
    label_changes: int = 0
    label_counts: Counter[str] = field(default_factory=Counter)
    times_ms: deque[tuple[float, float, float, float]] = field(default_factory=lambda: deque(maxlen=TIMED_FRAMES))

    def add(self, decision: Decision, at: float) -> None:
        self.first_at = self.first_at if self.frames else at
        self.last_at = at
        self.frames += 1
        self.label_counts[decision.shown] += 1
        self.label_changes += self.last_shown not in (None, decision.shown)
        self.last_shown = decision.shown
        if self.frames > WARM_UP_FRAMES:
            result = decision.result
            self.times_ms.append((decision.wait_ms, result.geometry_ms, result.invoke_ms, decision.age_ms))

    def summary(self, source: Source, error: FloraError | None) -> LiveSummary:
        seconds = self.last_at - self.first_at
        wait, geometry, invoke, age = (Percentiles.of(times[i] for times in self.times_ms) for i in range(4))
        return LiveSummary(
            frames=self.frames,
            seconds=seconds,
            fps=(self.frames - 1) / seconds if seconds > 0 else None,
            dropped=source.dropped,
            label_changes=self.label_changes,
            label_counts=dict(self.label_counts.most_common()),
            wait_ms=wait,
            geometry_ms=geometry,
            invoke_ms=invoke,
            age_ms=age,
            warnings=tuple(source.warnings),
            error=error,
        )


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
) -> LiveSummary:
    """Classify frames until the source ends, `config.frames` are done, `stop` is set, or a source or sink fails.

    `clock` must be the source's. A FloraError, or an OSError of a sink, ends the run and is returned in the summary,
    so that what was measured is not lost: whoever calls must look at `summary.error`. A sink whose reader has gone
    (BrokenPipeError) just ends the run.
    """
    tally = _Tally()
    stop = stop or threading.Event()
    error: FloraError | None = None
    try:
        loop = _Loop(classifier, source, config or LiveConfig(), stop, clock, sleep, wall)
        error = _publish(loop.decisions(tally), sinks)
    finally:
        error = _close(source, sinks, error)
    return tally.summary(source, error)


def _publish(decisions: Iterator[tuple[Decision, Frame]], sinks: Sequence[Sink]) -> FloraError | None:
    try:
        for decision, frame in decisions:
            for sink in sinks:
                sink.show(decision, frame)
    except FloraError as error:
        return error
    except BrokenPipeError:
        return None
    except OSError as error:
        return OutputError(f"an output failed ({error.strerror or error}); the run has stopped")
    return None


def _close(source: Source, sinks: Sequence[Sink], error: FloraError | None) -> FloraError | None:
    """Close everything, whatever fails; return the first error there was."""
    for close in (*(sink.close for sink in sinks), source.close):
        try:
            close()
        except BrokenPipeError:
            continue  # its reader has gone, as above
        except FloraError as closing_error:
            error = error or closing_error
        except OSError as closing_error:
            error = error or OutputError(f"an output could not be finished ({closing_error.strerror or closing_error})")
    return error


@dataclass(frozen=True)
class _Loop:
    """Source and classifier, as a stream of decisions."""

    classifier: Classify
    source: Source
    config: LiveConfig
    stop: threading.Event
    clock: Clock
    sleep: Sleep
    wall: Clock

    def decisions(self, tally: _Tally) -> Iterator[tuple[Decision, Frame]]:
        smoother = Smoother(self._smoothing_s(), self.config.hysteresis)
        next_at = self.clock()
        while not self._is_over(tally.frames):
            self._pause_until(next_at)
            asked_at = self.clock()
            next_at = asked_at + (1 / self.config.max_fps if self.config.max_fps else 0.0)
            frame = self.source.read(self.stop)
            if frame is None:
                return
            decision = self._decide(frame, (self.clock() - asked_at) * 1000, smoother)
            tally.add(decision, self.clock())
            yield decision, frame

    def _is_over(self, frames: int) -> bool:
        return self.stop.is_set() or (self.config.frames is not None and frames >= self.config.frames)

    def _smoothing_s(self) -> float:
        if self.config.smoothing_s is not None:
            return self.config.smoothing_s
        return LIVE_SMOOTHING_S if self.source.is_live else 0.0

    def _pause_until(self, at: float) -> None:
        # In slices of plain sleep: waiting on the event could deadlock with the signal handler that sets it.
        while not self.stop.is_set() and (left_s := at - self.clock()) > 0:
            self.sleep(min(left_s, SLEEP_SLICE_S))

    def _decide(self, frame: Frame, wait_ms: float, smoother: Smoother) -> Decision:
        result = self.classifier(frame.image_bgr)
        probabilities, index = smoother.update(result.probabilities, frame.captured_at)
        return Decision(
            time=self.wall(),
            source=self.source.name,
            frame=frame.number,
            name=frame.name,
            result=result,
            probabilities=probabilities,
            index=index,
            wait_ms=wait_ms,
            age_ms=(self.clock() - frame.captured_at) * 1000,
        )


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
