"""Frames, what a source of them is, and the clocks that they are stamped by; `edge.sources.opening` opens sources.

Out: `Frame`s, BGR uint8 (H, W, 3), each stamped with the second of its capture.

A file is read frame by frame, unless it is to play in real time. From a camera or a stream the newest frame wins:
see `edge.sources.grabber` and `edge.sources.watchdog`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edge.picture.geometry import Picture
from edge.picture.region import WHOLE, Roi

Clock = Callable[[], float]  # seconds; where it is called `wall`, since the epoch
Sleep = Callable[[float], object]  # for so many seconds


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and where it is from."""

    image_bgr: Picture  # uint8 (H, W, 3)
    number: int  # from 0 in its source, frames that were dropped included
    captured_at: float  # seconds on the source's clock
    name: str  # the photo within its folder, else the name of the source
    roi: Roi = WHOLE  # the region that is looked at

    @property
    def seen_bgr(self) -> Picture:
        """The region that is looked at, a view (h, w, 3); the model sees its centre square."""
        return self.image_bgr if self.roi is WHOLE else self.roi.crop(self.image_bgr)

    @property
    def square(self) -> tuple[int, int, int]:
        """(top, left, side) of what the model sees, in pixels of `image_bgr`."""
        height, width = self.image_bgr.shape[:2]
        return self.roi.square(height, width)


class Source(Protocol):
    """Frames, one after another. `close` may be called twice."""

    @property
    def name(self) -> str: ...
    @property
    def is_live(self) -> bool:
        """True if frames arrive at their own pace and the newest wins."""

    @property
    def dropped(self) -> int:
        """Frames that a newer one replaced before they were read."""

    @property
    def reopened(self) -> int:
        """Times that it was opened again after it had failed."""

    @property
    def warnings(self) -> Sequence[str]:
        """What was left out so far, or is not as it was asked for, one line each."""

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        """The next frame; None at the end, or once `stop` is set. Raises SourceError if the source has gone."""

    def close(self) -> None: ...


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used here; `grab` and `retrieve` may also raise SourceError."""

    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


def is_set(stop: threading.Event | None) -> bool:
    """Whether there is such an event, and it has happened."""
    return stop is not None and stop.is_set()
