"""Frames that the model was unsure about, to a folder where they wait for a person (edge/sinks/uncertain/store.py)."""

from __future__ import annotations

from edge.contract.decision import Decision
from edge.contract.event import Event
from edge.contract.frame import Frame
from edge.contract.sink import NEWEST
from edge.sinks.uncertain.store import UncertainStore


class UncertainSink:
    """Offers each frame to a store, which keeps few."""

    name = "keep-uncertain"
    backlog = NEWEST
    needs_picture = True

    def __init__(self, store: UncertainStore) -> None:
        self.store = store

    def show(self, decision: Decision, frame: Frame) -> None:
        self.store.offer(decision, frame)

    def tell(self, event: Event) -> None:
        """Events leave no picture."""

    def close(self) -> None:
        """The store holds nothing open, and the page may still ask it."""
