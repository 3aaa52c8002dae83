"""Where decisions go: one file per kind of output, one protocol for all.

In:  a Decision and the Frame that it is about.
Out: whatever the sink makes of them. A sink that cannot write raises OutputError, or BrokenPipeError where its reader
     has gone on purpose (`flora run … | head`), which is no failure.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import Protocol, TextIO

from edge.frames import Frame
from edge.smoothing import Decision


class Sink(Protocol):
    """One output of the live loop. `close` is always called, also after an error, and may be called twice."""

    def show(self, decision: Decision, frame: Frame) -> None: ...

    def close(self) -> None: ...


def abandon(stream: TextIO) -> None:
    """Point a stream that can no longer be written to at nothing.

    What is still in its buffer would otherwise raise once more, and for stdout with a traceback, when Python exits.
    """
    with contextlib.suppress(io.UnsupportedOperation, ValueError):  # no descriptor behind it: nothing to redirect
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
