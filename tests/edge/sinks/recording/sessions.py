"""A camera that stalls, and a run over it that is recorded: what the tests of recording and replaying share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.contract.event import NO_PICTURE, PICTURE_BACK, REOPENING, Event, Tell
from edge.contract.frame import Frame
from edge.contract.sink import Sink
from edge.errors import FloraError, SourceError
from edge.live.hub import Hub
from edge.live.loop import Live, LiveConfig
from edge.live.monitor import LiveSummary
from edge.model.classifier import Classifier
from edge.picture.geometry import Picture
from edge.sinks.jsonl import JsonLinesFile
from edge.sinks.recording.journal import header_of
from edge.sinks.recording.sink import RecordSink
from tests.edge.model import tiny

EPOCH_S = 1_800_000_000.123456
STALL_S = 7.25


class Time:
    """A clock, and the time of day, that move by amounts that no float holds exactly."""

    def __init__(self, seed: int = 1) -> None:
        self.now = 35_499.472641822
        self._random = np.random.default_rng(seed)

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        self.now += float(self._random.uniform(1e-6, 1e-4))
        return self.now + EPOCH_S

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def jitter(self, least_s: float, most_s: float) -> float:
        return float(self._random.uniform(least_s, most_s))


class StallingCamera:
    """`count` frames of slowly changing colour; after each tenth one nothing comes for seconds, and it is reopened."""

    name, is_live = "camera 0", True
    warnings: Sequence[str] = ()

    def __init__(
        self, time: Time, tell: Tell, count: int = 40, failure: FloraError | None = None
    ) -> None:
        self.dropped = self.reopened = 0
        self._time, self._tell, self._count, self._failure = time, tell, count, failure
        self._delivered = self._number = 0

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        if self._delivered == self._count:
            if self._failure:
                raise self._failure
            return None
        if self._delivered and self._delivered % 10 == 0:
            self._stall()
        self._time.now += self._time.jitter(0.01, 0.2)
        captured_at = self._time.now - self._time.jitter(0.0, 0.01)
        skipped = self._delivered % 3
        self._number += 1 + skipped
        self.dropped += skipped
        self._delivered += 1
        return Frame(self._image(), self._number - 1, captured_at, self.name)

    def close(self) -> None:
        """Nothing is held."""

    def _stall(self) -> None:
        for seconds in range(3):
            data = {"seconds": float(seconds), "reason": "no frame"}
            self._tell(Event(NO_PICTURE, self._time.wall(), f"no picture for {seconds} s", data, seconds > 0))
            self._time.now += STALL_S / 3
        self._tell(Event(REOPENING, self._time.wall(), "opening camera 0 again", {"attempt": 1, "reason": "no frame"}))
        self.reopened += 1
        self._tell(Event(PICTURE_BACK, self._time.wall(), "picture again", {"seconds": STALL_S}))

    def _image(self) -> Picture:
        """Noise over a colour between red and green, so that the answer wavers."""
        random = np.random.default_rng(self._delivered)
        share = 0.5 + 0.4 * np.sin(self._delivered / 3)
        colour = np.array([20, 255 * (1 - share), 255 * share])
        return np.clip(colour + random.normal(0, 30, (48, 64, 3)), 0, 255).astype(np.uint8)


def timed_classifier(model: Path, time: Time, threshold: float | None = None) -> Classifier:
    """The tiny model; an answer takes 3 to 5 ms of fake time."""

    def moment() -> float:
        time.now += time.jitter(0.001, 0.003)
        return time.now

    return Classifier(model, threshold=threshold, clock=moment)


@dataclass(frozen=True)
class Recorded:
    """What a recorded run left."""

    folder: Path
    lines: bytes  # its JSON lines
    summary: LiveSummary
    model: Path


def record(
    root: Path,
    *,
    config: LiveConfig | None = None,
    threshold: float | None = None,
    gate: Callable[[Frame], bool] | None = None,
    count: int = 40,
    failure: SourceError | None = None,
) -> Recorded:
    """Run over the stalling camera, with JSON lines and a recording."""
    root.mkdir(parents=True, exist_ok=True)
    time, config = Time(), config or LiveConfig()
    classifier = timed_classifier(tiny.write_model(root / "colours.tflite"), time, threshold)
    hub = Hub(clock=time.clock, wall=time.wall)
    source = StallingCamera(time, hub.tell, count, failure)
    settings = {"smoothing_s": config.smoothing_s, "hysteresis": config.hysteresis, "threshold": threshold}
    header = header_of(classifier, root / "colours.tflite", source, settings, time.wall())
    sink = RecordSink(root / "rec", header, tell=hub.tell)
    sink.backlog = count  # or the loop, which here never waits, would outrun it
    sinks: list[Sink] = [JsonLinesFile(root / "live.jsonl"), sink]
    summary = Live(hub, classifier, source, sinks, config, gate=gate, sleep=time.sleep).run()
    return Recorded(sink.folder, (root / "live.jsonl").read_bytes(), summary, root / "colours.tflite")
