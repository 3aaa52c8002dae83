"""Events as plain lines, for a log beside answers that go elsewhere: local time first, one line each."""

from __future__ import annotations

from typing import TextIO

from edge.base.streams import abandon
from edge.contract.decision import Decision
from edge.contract.event import Event
from edge.contract.frame import Frame
from edge.contract.sink import NEWEST
from edge.sinks.terminal import event_line


class LogSink:
    """To a stream that somebody else opened and will close, such as stderr. That it cannot be written to is no loss."""

    name = "log"
    backlog = NEWEST
    needs_picture = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, decision: Decision, frame: Frame) -> None:
        """Answers go elsewhere."""

    def tell(self, event: Event) -> None:
        if event.is_update:
            return
        try:
            self._stream.write(event_line(event) + "\n")
            self._stream.flush()
        except OSError:
            abandon(self._stream)

    def close(self) -> None:
        """The stream is not ours to close."""
