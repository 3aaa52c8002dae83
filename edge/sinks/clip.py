"""Decisions as a clip: the answered frames with their overlay, as `edge.picture.video.VideoWriter` writes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.base.options import option
from edge.contract.decision import Decision
from edge.contract.event import Event
from edge.contract.frame import Frame
from edge.contract.sink import Opened, Run
from edge.picture.video import VideoWriter

FPS = 15.0
BACKLOG = 64  # decisions; with their pictures, 640x480, 60 MB


@dataclass(frozen=True)
class ClipOptions:
    """Whether there is a clip."""

    clip: str | None = option(None, "write the annotated frames to an .avi file", metavar="PATH")


def open_clip(options: ClipOptions, run: Run) -> Opened | None:
    """None where none is asked for. Raises UsageError and OutputError."""
    return Opened(ClipSink(options.clip, FPS), wrote=options.clip) if options.clip else None


class ClipSink:
    """Annotated frames to `path`, to be played at `fps`, rounded. Without a frame nothing is left behind."""

    name = "clip"
    backlog = BACKLOG
    needs_picture = True

    def __init__(self, path: str | Path, fps: float) -> None:
        self._writer = VideoWriter(path, fps)

    def show(self, decision: Decision, frame: Frame) -> None:
        from edge.drawing.overlay import draw_overlay  # only a run with a clip draws

        self._writer.add(draw_overlay(frame, decision))

    def tell(self, event: Event) -> None:
        """A clip holds the answered frames alone."""

    def close(self) -> None:
        """Finish the clip and give it its name. Raises OutputError if it is not whole."""
        self._writer.close()
