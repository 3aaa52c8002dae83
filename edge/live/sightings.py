"""Sightings: one label shown for a while becomes "sunflowers from 10:02:11 to 10:02:40, 0.97".

In:  decisions, in order, of a live source.
Out: events: SIGHTING_BEGAN once a label was shown for a second, SIGHTING when it no longer is.

A sighting runs from the capture of its first frame to that of its last. "unknown" is no sighting, and neither is a
frame's worth of another label. Nothing is sighted while there is no picture: a gap ends what was before it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from edge.contract.decision import Decision
from edge.contract.event import SIGHTING, SIGHTING_BEGAN, Event, iso_utc

SHORTEST_S = 1.0  # that a label is shown, to count
LONGEST_GAP_S = 2.0  # between two frames of one sighting


@dataclass
class _Sighting:
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
        self._current: _Sighting | None = None

    def add(self, decision: Decision) -> list[Event]:
        """The events that this decision brings, in order."""
        at, seen = decision.captured, self._current
        events: list[Event] = []
        if seen and (decision.shown != seen.label or at - seen.last > LONGEST_GAP_S):
            events, seen = self.end(), None
        if seen is None:
            if decision.is_unknown:
                return events
            seen = self._current = _Sighting(decision.label, at, at, 0, 0.0)
        seen.last, seen.frames, seen.total = at, seen.frames + 1, seen.total + decision.probability
        if not seen.is_told and seen.last - seen.began >= self._shortest_s:
            seen.is_told = True
            events.append(Event(SIGHTING_BEGAN, seen.last, f"{seen.label} since {_clock(seen.began)}", seen.data))
        return events

    def end(self) -> list[Event]:
        """End what is being seen: nothing more comes for now."""
        seen, self._current = self._current, None
        if seen is None or not seen.is_told:
            return []
        data = seen.data | {"to": iso_utc(seen.last), "seconds": round(seen.last - seen.began, 3)}
        text = f"{seen.label} from {_clock(seen.began)} to {_clock(seen.last)}, {data['probability']:.2f}"
        return [Event(SIGHTING, seen.last, text, data)]


def _clock(epoch_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(epoch_s))
