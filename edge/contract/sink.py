"""Where decisions go: one file per kind of output, one protocol for all.

In:  a Decision and the Frame that it is about; Events.
Out: whatever the sink makes of them. A sink that cannot write raises OutputError, or BrokenPipeError where its reader
     has gone on purpose (`flora run … | head`), which is no failure.

From a camera or a stream each sink is served by a thread of its own (edge/sinks/threads.py), so that one that is slow
or dead never holds the loop; `backlog` says how many decisions may wait for it. All calls to one sink come from one
thread. After an OutputError the same call is made again later: a sink must not have done half of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edge.contract.decision import Decision
from edge.contract.event import Event, Tell
from edge.contract.frame import Frame, Source
from edge.contract.health import Health
from edge.contract.result import PictureClassifier

NEWEST, ALL = 1, 10_000  # a backlog: only the newest decision matters; none may be lost in a bad minute


class Sink(Protocol):
    """One output of the live loop. `close` is always called, also after an error, and may be called twice."""

    name: str  # as in health and messages: "jsonl", "web"
    backlog: int  # NEWEST, ALL or a number between: of the decisions that wait, the oldest is dropped beyond it
    needs_picture: bool  # False: frames come without their picture, so that a long backlog is small

    def show(self, decision: Decision, frame: Frame) -> None: ...

    def tell(self, event: Event) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Run:
    """What a sink may need to know of the run that it serves, when it is opened."""

    classifier: PictureClassifier  # its labels change when another model takes over
    model: Path  # its file or folder
    source: Source
    settings: Mapping[str, Any]  # as given: smoothing_s, hysteresis, threshold, roi ...
    created: float  # seconds since the epoch
    health: Callable[[], Health]
    tell: Tell
    lost: Callable[[str], int]  # decisions that the sink of that name did not get
    others: tuple[Sink, ...] = ()  # those that were opened before


@dataclass(frozen=True)
class Opened:
    """A sink that is open, and what a person is told of it."""

    sink: Sink
    page: str | None = None  # the address where its page is
    remark: Callable[[], str | None] | None = None  # asked once the run has ended; None: nothing to say
    wrote: str | None = None  # the file or folder, as it was named, that is there once the run has ended well
