"""What `flora run` would have shown and sighted of a clip, or of any frames with times of their own, without waiting.

In:  a classifier; a video file, or a source whose frames are stamped in seconds of the scene.
Out: Scene: frames named, frames named with 0.9 and more, sightings in all and per hour.

Time is the scene's own: the default smoothing and the sightings are those of a camera that saw it. Of a clip every
frame is asked, and number / rate is the time of each.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2

from edge.base.text import aligned, shown_name
from edge.contract.decision import Decision
from edge.contract.event import SIGHTING, Event
from edge.contract.frame import Frame, Source
from edge.contract.result import PictureClassifier
from edge.contract.sink import ALL
from edge.evaluation.others import SURE
from edge.live.loop import LiveConfig, run_live
from edge.picture.video import FASTEST_FPS, USUAL_FPS, open_video
from edge.sources.files import VideoSource

HOUR_S = 3600.0
HEADS = ("scenes", "seconds", "frames", "named", "with 0.9 and more", "sightings", "per hour", "0.9 and more", "of")


@dataclass(frozen=True)
class Sighted:
    """One sighting."""

    label: str
    began_s: float  # on the scene's clock
    ended_s: float
    probability: float  # mean

    @property
    def is_sure(self) -> bool:
        return self.probability >= SURE


@dataclass(frozen=True)
class Scene:
    """What was made of it."""

    name: str
    frames: int
    seconds: float
    named: int  # frames that were not called unknown, after smoothing
    named_surely: int  # the same, with a probability of 0.9 and more
    sightings: tuple[Sighted, ...]

    @property
    def sure_sightings(self) -> int:
        return sum(one.is_sure for one in self.sightings)

    def an_hour(self, count: int) -> float:
        return count * HOUR_S / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Shares of frames in 0..1."""
        return {
            "name": self.name,
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
            "named": self.named / self.frames,
            "named_surely": self.named_surely / self.frames,
            "sightings": len(self.sightings),
            "sightings_an_hour": self.an_hour(len(self.sightings)),
            "sure_sightings": self.sure_sightings,
            "sure_sightings_an_hour": self.an_hour(self.sure_sightings),
            "sighted": [asdict(one) for one in self.sightings],
        }


@dataclass
class Tally:
    """A sink that counts."""

    name: str = "tally"
    backlog: int = ALL
    needs_picture: bool = False
    frames: int = 0
    named: int = 0
    named_surely: int = 0
    sightings: list[Sighted] = field(default_factory=list)

    def show(self, decision: Decision, frame: Frame) -> None:
        self.frames += 1
        self.named += not decision.is_unknown
        self.named_surely += not decision.is_unknown and decision.probability >= SURE

    def tell(self, event: Event) -> None:
        if event.kind == SIGHTING:
            label, seconds, probability = (event.data[name] for name in ("label", "seconds", "probability"))
            self.sightings.append(Sighted(label, event.time - seconds, event.time, probability))

    def close(self) -> None:
        """Nothing is held."""


class OnItsOwnClock:
    """A source that is taken for live, and a clock that stands at the frame that was read last."""

    is_live = True

    def __init__(self, source: Source) -> None:
        self._source, self.name, self._now = source, source.name, 0.0

    def clock(self) -> float:
        return self._now

    @property
    def dropped(self) -> int:
        return self._source.dropped

    @property
    def reopened(self) -> int:
        return self._source.reopened

    @property
    def warnings(self) -> Sequence[str]:
        return self._source.warnings

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        frame = self._source.read(stop)
        self._now = frame.captured_at if frame else self._now
        return frame

    def close(self) -> None:
        self._source.close()


class ClipSource(VideoSource):
    """A video, every frame stamped with its second in it."""

    def __init__(self, name: str, capture: cv2.VideoCapture) -> None:
        super().__init__(name, capture)
        stated = capture.get(cv2.CAP_PROP_FPS)
        self.fps = stated if 1 <= stated <= FASTEST_FPS else USUAL_FPS

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        frame = super().read(stop)
        return replace(frame, captured_at=frame.number / self.fps) if frame else None


def watch(classifier: PictureClassifier, source: Source, fps: float, config: LiveConfig | None = None) -> Scene:
    """Every frame of a source that yields `fps` a second of its own time. Raises what the source or the model raises.

    `config` is that of the loop; as it comes it is that of `flora run`.
    """
    timed, tally = OnItsOwnClock(source), Tally()
    found = run_live(classifier, timed, [tally], config=config, clock=timed.clock, wall=timed.clock, in_step=True)
    if found.error:
        raise found.error
    seconds = timed.clock() + 1 / fps
    return Scene(source.name, tally.frames, seconds, tally.named, tally.named_surely, tuple(tally.sightings))


def watch_clip(classifier: PictureClassifier, clip: str) -> Scene:
    """A video file. Raises SourceError for what is none."""
    source = ClipSource(shown_name(clip), open_video(Path(clip).expanduser()))
    return watch(classifier, source, source.fps)


def table(scenes: Sequence[Scene]) -> list[str]:
    """One line a scene, below a line of heads."""
    return aligned([HEADS, *map(_cells, scenes)])


def _cells(scene: Scene) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for one in scene.sightings:
        counts[one.label] = counts.get(one.label, 0) + 1
    return (
        scene.name,
        f"{scene.seconds:.1f}",
        str(scene.frames),
        f"{scene.named / scene.frames:.1%}",
        f"{scene.named_surely / scene.frames:.1%}",
        str(len(scene.sightings)),
        f"{scene.an_hour(len(scene.sightings)):.1f}",
        str(scene.sure_sightings),
        ", ".join(f"{label} {count}" for label, count in counts.items()) or "-",
    )
