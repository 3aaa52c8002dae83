"""Sightings: one label held for a while becomes "sunflowers from 10:02:11 to 10:02:40, 0.97".

In:  decisions, in order, of a live source.
Out: events: SIGHTING_BEGAN once a label was held for a second, SIGHTING when it no longer is.

A sighting runs from the capture of its first frame to that of its last. "unknown" is no sighting, and neither is a
frame's worth of another label. Nothing is sighted while there is no picture: a gap ends what was before it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from edge.contract.decision import Decision
from edge.contract.event import SIGHTING, SIGHTING_BEGAN, Event, iso_utc

SHORTEST_S = 1.0  # that a label is held, to count
LONGEST_GAP_S = 2.0  # between two frames of one sighting


@dataclass
class _Held:
    """The label shown since `began`."""

    label: str
    began: float  # seconds since the epoch, of captures
    last: float
    frames: int
    total: float  # of the probabilities
    is_told: bool = False

    @property
    def data(self) -> dict[str, object]:
        return {"label": self.label, "from": iso_utc(self.began), "probability": round(self.total / self.frames, 4)}


class Sightings:
    """Feed it every decision; it hands out what came of them."""

    def __init__(self, shortest_s: float = SHORTEST_S) -> None:
        self._shortest_s = shortest_s
        self._held: _Held | None = None

    def add(self, decision: Decision) -> list[Event]:
        """The events that this decision brings, in order."""
        at, held = decision.captured, self._held
        events: list[Event] = []
        if held and (decision.shown != held.label or at - held.last > LONGEST_GAP_S):
            events, held = self.end(), None
        if held is None:
            if decision.is_unknown:
                return events
            held = self._held = _Held(decision.label, at, at, 0, 0.0)
        held.last, held.frames, held.total = at, held.frames + 1, held.total + decision.probability
        if not held.is_told and held.last - held.began >= self._shortest_s:
            held.is_told = True
            events.append(Event(SIGHTING_BEGAN, held.last, f"{held.label} since {_clock(held.began)}", held.data))
        return events

    def end(self) -> list[Event]:
        """End what is being seen: nothing more comes for now."""
        held, self._held = self._held, None
        if held is None or not held.is_told:
            return []
        data = held.data | {"to": iso_utc(held.last), "seconds": round(held.last - held.began, 3)}
        text = f"{held.label} from {_clock(held.began)} to {_clock(held.last)}, {data['probability']:.2f}"
        return [Event(SIGHTING, held.last, text, data)]


def _clock(epoch_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(epoch_s))
