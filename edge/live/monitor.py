"""What a run adds up on its way: the summary at its end, and how it is doing meanwhile.

In:  each decision, each event, the source and the sinks.
Out: LiveSummary, Health. Everything kept is bounded, whatever the length of the run. `health` may be called from any
     thread.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge.base.intervals import Percentiles, percentiles
from edge.contract.decision import Decision
from edge.contract.event import NO_PICTURE as NO_PICTURE_EVENT
from edge.contract.event import Event
from edge.contract.frame import Clock, Source
from edge.contract.health import LIVE, NO_PICTURE, STARTING, STOPPED, Health, OutputHealth, Vitals
from edge.contract.rejection import said
from edge.contract.result import PictureClassifier
from edge.errors import FloraError

WARM_UP_FRAMES = 1  # the first invoke also lays out memory: counted, but not timed
TIMED_FRAMES = 10_000  # the last so many are timed, so that months of running take no more memory than minutes
STAGES = 4  # wait, geometry, invoke, age
FPS_WINDOW_S = 5.0
STABILITY_WINDOW_S, SHORTEST_FOR_STABILITY_S = 600.0, 10.0


@dataclass(frozen=True)
class LiveSummary:
    """What a run amounted to. The times leave out the first frame and look back over the last 10 000."""

    frames: int  # answered
    held: int  # of them, without asking the model, because nothing moved
    seconds: float  # from the first decision to the last
    fps: float | None  # (frames - 1) / seconds
    dropped: int  # frames that a newer one replaced
    reopened: int  # times that the source was opened again
    label_changes: int  # between one decision and the next, "unknown" being a label
    changes_per_minute: float | None  # stability
    label_counts: dict[str, int]  # most frequent first
    wait_ms: Percentiles | None  # for the frame
    geometry_ms: Percentiles | None
    invoke_ms: Percentiles | None
    age_ms: Percentiles | None  # capture to answer
    outputs: Mapping[str, OutputHealth]
    warnings: tuple[str, ...]  # of the source: what was left out
    error: FloraError | None  # why the run broke off; None if it ended as it should

    def lines(self) -> list[str]:
        """For a person."""
        rate = f", {self.fps:.1f} frames/s" if self.fps is not None else ""
        rest = f"; {self.held} held, nothing moved" if self.held else ""
        rest += f"; source opened again {self.reopened} times" if self.reopened else ""
        seen = ", ".join(f"{said(label)} {count}" for label, count in self.label_counts.items()) or "nothing"
        stability = f", {self.changes_per_minute:.1f} a minute" if self.changes_per_minute is not None else ""
        lines = [
            f"{self.frames} frames in {self.seconds:.1f} s{rate}; {self.dropped} dropped for newer ones{rest}",
            f"seen: {seen}; {self.label_changes} changes{stability}",
        ]
        lost = [f"{name} {output.lost}" for name, output in self.outputs.items() if output.lost]
        lines += [f"decisions that outputs were too slow for: {', '.join(lost)}"] * bool(lost)
        stages = {"wait": self.wait_ms, "geometry": self.geometry_ms, "invoke": self.invoke_ms, "age": self.age_ms}
        times = "  ".join(
            f"{name} {found.p50:.1f}/{found.p95:.1f}/{found.p99:.1f}" for name, found in stages.items() if found
        )
        return [*lines, f"ms p50/p95/p99: {times}"] if times else lines


class Monitor:
    """One run's figures."""

    def __init__(self, clock: Clock, wall: Clock) -> None:
        self._clock, self._wall = clock, wall
        self._lock = threading.Lock()
        self._started_at = clock()
        self.frames = self._held = self._changes = 0
        self._first_at = self._last_at = 0.0
        self._last_shown: str | None = None
        self._captured_at: float | None = None
        self._label_counts: Counter[str] = Counter()
        self._times_ms = np.zeros((TIMED_FRAMES, STAGES))  # a ring, laid out at once so that memory stays flat
        self._timed = 0
        self._stamps: deque[float] = deque()
        self._changed_at: deque[float] = deque()
        self._state, self._reason = STARTING, ""
        self.vitals = Vitals()

    def add(self, decision: Decision, captured_at: float) -> None:
        """One more decision, about a frame captured at `captured_at` on the loop's clock."""
        now, result = self._clock(), decision.result
        with self._lock:
            self._first_at = self._first_at if self.frames else now
            self._last_at, self._captured_at, self._state, self._reason = now, captured_at, LIVE, ""
            self.frames += 1
            self._held += decision.is_held
            self._label_counts[decision.shown] += 1
            if self._last_shown not in (None, decision.shown):
                self._changes += 1
                _append_recent(self._changed_at, now, STABILITY_WINDOW_S)
            self._last_shown = decision.shown
            _append_recent(self._stamps, now, FPS_WINDOW_S)
            if self.frames > WARM_UP_FRAMES and not decision.is_held:
                times = (decision.wait_ms, result.geometry_ms, result.invoke_ms, decision.age_ms)
                self._times_ms[self._timed % TIMED_FRAMES] = times
                self._timed += 1

    def note(self, event: Event) -> None:
        """What happened to the source."""
        if event.kind == NO_PICTURE_EVENT:
            with self._lock:
                self._state, self._reason = NO_PICTURE, str(event.data.get("reason", event.text))

    def end(self) -> None:
        with self._lock:
            self._state = STOPPED

    def health(self, classifier: PictureClassifier, source: Source, outputs: Mapping[str, OutputHealth]) -> Health:
        """A snapshot."""
        now = self._clock()
        with self._lock:
            times = self._times_ms[: self._timed].copy()
        wait, geometry, invoke, age = _stages(times)  # sorting takes a while, in which the loop must not wait
        with self._lock:
            uptime = now - self._started_at
            recent = [at for at in self._stamps if now - at <= FPS_WINDOW_S]
            window = min(max(uptime, 1.0), STABILITY_WINDOW_S)
            changes = sum(now - at <= STABILITY_WINDOW_S for at in self._changed_at)
            return Health(
                time=self._wall(), uptime_s=uptime, state=self._state, reason=self._reason or None,
                model=classifier.name, labels=classifier.labels, source=source.name,
                picture_age_s=None if self._captured_at is None else max(0.0, now - self._captured_at),
                frames=self.frames, held=self._held, dropped=source.dropped,
                reopened=source.reopened, fps=_rate(recent),
                changes_per_minute=changes * 60 / window if self.frames else None,
                wait_ms=wait, geometry_ms=geometry, invoke_ms=invoke, age_ms=age, outputs=outputs,
                cpu_share=self.vitals.cpu_share, memory_mb=self.vitals.memory_mb,
                temperature_c=self.vitals.temperature_c, is_throttled=self.vitals.is_throttled,
            )  # fmt: skip

    def summary(self, source: Source, outputs: Mapping[str, OutputHealth], error: FloraError | None) -> LiveSummary:
        seconds = self._last_at - self._first_at
        wait, geometry, invoke, age = _stages(self._times_ms[: self._timed])
        return LiveSummary(
            frames=self.frames,
            held=self._held,
            seconds=seconds,
            fps=(self.frames - 1) / seconds if seconds > 0 else None,
            dropped=source.dropped,
            reopened=source.reopened,
            label_changes=self._changes,
            changes_per_minute=self._changes * 60 / seconds if seconds >= SHORTEST_FOR_STABILITY_S else None,
            label_counts=dict(self._label_counts.most_common()),
            wait_ms=wait,
            geometry_ms=geometry,
            invoke_ms=invoke,
            age_ms=age,
            outputs=outputs,
            warnings=tuple(source.warnings),
            error=error,
        )


def _append_recent(stamps: deque[float], now: float, window_s: float) -> None:
    stamps.append(now)
    while stamps[0] < now - window_s:
        stamps.popleft()


def _rate(stamps: Sequence[float]) -> float | None:
    """(n - 1) / span; None where there is no span."""
    return (len(stamps) - 1) / (stamps[-1] - stamps[0]) if len(stamps) > 1 and stamps[-1] > stamps[0] else None


def _stages(times_ms: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[Percentiles | None]:
    """Of wait, geometry, invoke and age, from (n, 4)."""
    if not len(times_ms):
        return [None] * STAGES
    return [percentiles(times_ms[:, stage]) for stage in range(STAGES)]
