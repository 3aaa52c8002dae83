"""Stand-ins for the tests of the live half, from the clock to the sink. No camera, model or waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.decision import Decision
from edge.contract.event import Event
from edge.contract.frame import Frame, Source
from edge.contract.rejection import overridden
from edge.contract.result import Result
from edge.contract.sink import ALL
from edge.picture.geometry import Picture

if TYPE_CHECKING:  # a device environment has no pytest
    import pytest

LABELS = ("daisy", "roses", "tulips")


def result(
    *values: float,
    labels: tuple[str, ...] = LABELS,
    threshold: float | None = None,
    invoke_ms: float = 3.0,
    evidence: NDArray[np.float32] | None = None,
) -> Result:
    """An answer with these probabilities."""
    return Result(labels, np.array(values, np.float32), 0.5, invoke_ms, overridden(None, threshold), evidence)


class FakeClassifier:
    """Answers as it is told to."""

    name = "fake.tflite"
    labels: tuple[str, ...] = LABELS
    size = 32
    remarks: tuple[str, ...] = ()
    manifest_sha256: str | None = None

    def __init__(self, answer: Callable[[Picture], Result] = lambda frame_bgr: result(0.1, 0.8, 0.1)) -> None:
        self._answer = answer

    def __call__(self, frame_bgr: Picture) -> Result:
        return self._answer(frame_bgr)

    def require_right_answers(self) -> None:
        """All of them are."""


class FakeClock:
    """Seconds that pass only when asked to; `sleep` is the way to ask."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def probabilities(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def frame(
    number: int = 0, *, captured_at: float = 100.0, name: str = "clip.avi", size_wh: tuple[int, int] = (64, 48)
) -> Frame:
    return Frame(np.full((size_wh[1], size_wh[0], 3), 90, np.uint8), number, captured_at, name)


def decision(
    values: Sequence[float] = (0.125, 0.75, 0.125),
    *,
    labels: tuple[str, ...] = LABELS,
    threshold: float | None = None,
    number: int = 0,
    name: str = "clip.avi",
    time: float = 1_800_000_000.5,
) -> Decision:
    found = result(*values, labels=labels, threshold=threshold)
    index = int(np.argmax(found.probabilities))
    return Decision(time, "clip.avi", number, name, found, found.probabilities, index, wait_ms=30.0, age_ms=7.0)


class FakeSource:
    """`count` frames (None: without end), one each `every_s`; then `failure`, or the end."""

    name = "camera 0"
    dropped = 3
    reopened = 0
    warnings: Sequence[str] = ("2.jpg: not a readable picture",)

    def __init__(
        self,
        clock: FakeClock,
        count: int | None,
        *,
        every_s: float = 0.01,
        is_live: bool = False,
        failure: Exception | None = None,
    ) -> None:
        self.is_live = is_live
        self.closed = 0
        self.number = 0
        self._clock, self._count, self._every_s, self._failure = clock, count, every_s, failure

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        if stop is not None and stop.is_set():
            return None
        if self.number == self._count:
            if self._failure:
                raise self._failure
            return None
        self._clock.now += self._every_s
        self.number += 1
        return frame(self.number - 1, captured_at=self._clock.now, name=self.name)

    def close(self) -> None:
        self.closed += 1


class FakeSink:
    """Keeps what it is shown; fails at decision `fails_at`, or when it is closed."""

    name, backlog, needs_picture = "fake", ALL, True

    def __init__(self, fails_at: int | None = None, failure: Exception | None = None) -> None:
        self.shown: list[Decision] = []
        self.frames: list[Frame] = []
        self.told: list[Event] = []
        self.closed = 0
        self._fails_at, self._failure = fails_at, failure

    def show(self, decision: Decision, frame: Frame) -> None:
        if self._failure and len(self.shown) == self._fails_at:
            raise self._failure
        self.shown.append(decision)
        self.frames.append(frame)

    def tell(self, event: Event) -> None:
        self.told.append(event)

    def close(self) -> None:
        self.closed += 1
        if self._failure and self._fails_at is None:
            raise self._failure


def picture(level: int, size_wh: tuple[int, int] = (32, 24)) -> NDArray[np.uint8]:
    return np.full((size_wh[1], size_wh[0], 3), level, np.uint8)


def write_clip(path: Path, levels: list[int], fps: float = 10.0) -> Path:
    """A lossless clip with one grey level for each frame."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), fps, (32, 24))
    assert writer.isOpened()
    for level in levels:
        writer.write(picture(level))
    writer.release()
    return path


def read_all(source: Source) -> list[Frame]:
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    source.close()
    return frames


def one_line(caught: pytest.ExceptionInfo[Exception]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


def quantised(seed: int, n: int, classes: int = 3) -> NDArray[np.float32]:
    """Probabilities (n, classes) in steps of 1/256, many of them tied."""
    drawn = np.random.default_rng(seed).dirichlet(np.full(classes, 0.4), n)
    return np.asarray(np.minimum(np.round(drawn * 256), 255) / 256, np.float32)


def write_photo(path: Path, level: int = 100) -> Path:
    """A picture of one grey level, whatever its name says it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture(level))[1].tobytes())
    return path
