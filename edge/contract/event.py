"""What happens besides the answers: one record for the log, the page, MQTT, JSON lines and recordings.

Two sorts of events matter to different people: a sighting says what was in front of the camera and for how long, all
others say how the device is doing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from edge.base.formats import Lasting

STARTED, STOPPED = "started", "stopped"
SIGHTING_BEGAN, SIGHTING = "sighting_began", "sighting"  # one label is shown; it was, from data["from"] to data["to"]
NO_PICTURE, PICTURE_BACK = "no_picture", "picture_back"  # data["seconds"] without one, data["reason"]
REOPENING = "reopening"  # data["attempt"], data["reason"]
OUTPUT_FAILED, OUTPUT_BACK = "output_failed", "output_back"  # data["output"], data["reason"] or data["lost"]
MODEL_CHANGED, MODEL_REFUSED = "model_changed", "model_refused"  # data["model"], data["reason"]
SCENE_LEARNED = "scene_learned"  # data["kept"] frames of it in data["folder"]
THROTTLED, COOL_AGAIN = "throttled", "cool_again"  # the board lowers its clock; data["reason"]


@dataclass(frozen=True)
class Event(Lasting):
    """One thing that happened."""

    kind: str  # one of the words above
    time: float  # seconds since the epoch
    text: str  # one line for a person, printable
    data: Mapping[str, Any] = field(default_factory=dict)  # what a program reads; JSON types only
    is_update: bool = False  # the same thing goes on: views redraw, logs leave it out

    def record(self) -> dict[str, Any]:
        """As JSON has it, one flat object."""
        return {"event": self.kind, "time": iso_utc(self.time), "epoch": round(self.time, 3), "text": self.text} | dict(
            self.data
        )


Tell = Callable[[Event], None]  # whom to tell what happened


def iso_utc(epoch_s: float) -> str:
    """As in 2026-11-23T06:50:00.123Z."""
    moment = datetime.fromtimestamp(epoch_s, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
