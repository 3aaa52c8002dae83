"""Stand-ins for the tests of the live half: an answer, a decision, a frame, a clock. No camera, model or waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.decision import Decision
from edge.contract.frame import Frame, Source
from edge.contract.rejection import Rejection, overridden

if TYPE_CHECKING:  # a device environment has no pytest
    import pytest

LABELS = ("daisy", "roses", "tulips")


@dataclass(frozen=True, eq=False)
class FakeResult:
    probabilities: NDArray[np.float32]
    labels: tuple[str, ...] = LABELS
    geometry_ms: float = 0.5
    invoke_ms: float = 3.0
    rejection: Rejection | None = None


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
    result = FakeResult(np.array(values, np.float32), labels, rejection=overridden(None, threshold))
    index = int(np.argmax(result.probabilities))
    return Decision(time, "clip.avi", number, name, result, result.probabilities, index, wait_ms=30.0, age_ms=7.0)


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
