"""What a source is asked for besides its name, whatever its kind.

In:  the options that were given, each kind's in a dataclass of its own; how the run wants to read; its clocks.
Out: for the file of each kind: its own options, and the way to a watched Source.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edge.contract.event import Tell
from edge.contract.frame import Capture, Clock, Sleep, Source
from edge.errors import SourceError
from edge.sources.watchdog import Patience, WatchedSource, ignore

C = TypeVar("C", bound=Capture)
Options = TypeVar("Options")


@dataclass(frozen=True)
class Asked:
    """See `edge.sources.opening.open_source`."""

    options: Sequence[object] = ()  # dataclasses made with edge.base.options
    realtime: bool = False
    max_fps: float | None = None
    tell: Tell = ignore
    clock: Clock = time.monotonic
    sleep: Sleep = time.sleep
    wall: Clock = time.time

    def of(self, kind: type[Options]) -> Options:
        """The options of this kind, as given or else by default."""
        return next((one for one in self.options if isinstance(one, kind)), None) or kind()

    def first(self, open_once: Callable[[], C]) -> C | SourceError:
        """The first attempt; its failure is an error, unless there is time to try again."""
        try:
            return open_once()
        except SourceError as error:
            if self.of(Patience).give_up_after_s is None:
                raise
            return error

    def watched(
        self,
        name: str,
        open_once: Callable[[], Capture],
        first: Capture | SourceError,
        warnings: Sequence[str] = (),
    ) -> Source:
        """A Source that is opened again whenever it must be; `first` is what the first attempt came to."""
        return WatchedSource(
            name,
            open_once,
            first=first,
            patience=self.of(Patience),
            rest_s=1 / self.max_fps if self.max_fps else 0.0,
            tell=self.tell,
            warnings=warnings,
            clock=self.clock,
            sleep=self.sleep,
            wall=self.wall,
        )
