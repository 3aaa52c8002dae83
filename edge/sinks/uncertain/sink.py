"""Frames to a folder: those that the model was unsure about, which wait for a person (edge/sinks/uncertain/store.py),
and for a while before that the scene as it is (edge/sinks/uncertain/scene.py).
"""

from __future__ import annotations

from edge.contract.decision import Decision
from edge.contract.event import SCENE_LEARNED, Event, Tell
from edge.contract.frame import Frame
from edge.contract.sink import NEWEST
from edge.sinks.uncertain.scene import SceneLesson
from edge.sinks.uncertain.store import UncertainStore


class UncertainSink:
    """Offers each frame to a store, which keeps few; while a lesson lasts to that alone. `tell` hears what it kept."""

    name = "keep-uncertain"
    backlog = NEWEST
    needs_picture = True

    def __init__(self, store: UncertainStore, lesson: SceneLesson | None = None, tell: Tell | None = None) -> None:
        self.store = store
        self._lesson, self._tell = lesson, tell

    def show(self, decision: Decision, frame: Frame) -> None:
        lesson = self._lesson
        if lesson is not None and not lesson.is_over(frame):
            lesson.offer(decision, frame)
            return
        self.store.offer(decision, frame)
        if lesson is not None:
            self._lesson = None
            if self._tell is not None:
                data = {"kept": lesson.kept, "folder": str(lesson.folder)}
                self._tell(Event(SCENE_LEARNED, decision.time, lesson.line(), data))

    def tell(self, event: Event) -> None:
        """Events leave no picture."""

    def close(self) -> None:
        """The store holds nothing open, and the page may still ask it."""

    def remark(self) -> str | None:
        """What the run, now that it has ended, broke off."""
        return f"the run ended before its lesson: {self._lesson.line()}" if self._lesson else None
