"""Where everything that happens in one run is told: it is there before the source, and closes after it.

In:  events, from any thread: of the source, of a model that is replaced, of the loop; sightings, from its decisions.
Out: the same events for the monitor and, once the loop has attached them, for all sinks.
"""

from __future__ import annotations

import threading
import time

from edge.contract.decision import Decision
from edge.contract.event import NO_PICTURE, Event
from edge.contract.frame import Clock, Source
from edge.contract.health import Health
from edge.contract.result import PictureClassifier
from edge.live.monitor import Monitor
from edge.live.sightings import Sightings
from edge.sinks.threads import SinkThreads


class Hub:
    """What the parts of one run have in common: its clocks, its end, its figures, and whom they tell what happens.

    `tell` and `health` may be called from any thread.
    """

    def __init__(
        self, *, stop: threading.Event | None = None, clock: Clock = time.monotonic, wall: Clock = time.time
    ) -> None:
        """`stop` ends the run once it is set; `clock` must be the source's; `wall` is the time of day."""
        self.stop, self.clock, self.wall = stop or threading.Event(), clock, wall
        self.monitor = Monitor(clock, wall)
        self.sinks = SinkThreads(on_gone=self.stop.set, wall=wall)
        self._sightings = Sightings()

    def tell(self, event: Event) -> None:
        """Pass on what happened; before sinks are attached the monitor alone hears of it."""
        self.monitor.note(event)
        if event.kind == NO_PICTURE and not event.is_update:
            self.end_sighting()
        self.sinks.tell(event)

    def sight(self, decision: Decision) -> None:
        """One more decision about a live picture: tell what is seen for a while."""
        for event in self._sightings.add(decision):
            self.sinks.tell(event)

    def end_sighting(self) -> None:
        """Nothing more is seen for now."""
        for event in self._sightings.end():
            self.sinks.tell(event)

    def health(self, classifier: PictureClassifier, source: Source) -> Health:
        """How the run of this classifier over this source is doing."""
        return self.monitor.health(classifier, source, self.sinks.health())
