"""Where decisions go: one file per kind of output, one protocol for all.

In:  a Decision and the Frame that it is about; Events.
Out: whatever the sink makes of them. A sink that cannot write raises OutputError, or BrokenPipeError where its reader
     has gone on purpose (`flora run … | head`), which is no failure.

From a camera or a stream each sink is served by a thread of its own (edge/sinks/threads.py), so that one that is slow or
dead never holds the loop; `backlog` says how many decisions may wait for it. All calls to one sink come from one
thread. After an OutputError the same call is made again later: a sink must not have done half of it.
"""

from __future__ import annotations

from typing import Protocol

from edge.contract.decision import Decision
from edge.contract.event import Event
from edge.contract.frame import Frame

NEWEST, ALL = 1, 10_000  # a backlog: only the newest decision matters; none may be lost in a bad minute


class Sink(Protocol):
    """One output of the live loop. `close` is always called, also after an error, and may be called twice."""

    name: str  # as in health and messages: "jsonl", "web"
    backlog: int  # NEWEST, ALL or a number between: of the decisions that wait, the oldest is dropped beyond it
    needs_picture: bool  # False: frames come without their picture, so that a long backlog is small

    def show(self, decision: Decision, frame: Frame) -> None: ...

    def tell(self, event: Event) -> None: ...

    def close(self) -> None: ...
