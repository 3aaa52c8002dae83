"""One progress bar for all long work, on stderr, so that data on stdout stays clean.

In:  bar(done, total, note), called as often as the work likes; any unit.
Out: on a terminal one line redrawn in place, at most ten times a second, with elapsed and remaining time; elsewhere
     (a file, a pipe, CI) one plain line at the start, at each quarter and at the end. Where a Pulse is kept, nothing
     is silent for long either: not what tells no steps of its own, nor what is between two bars.

Work takes a `Bar`, or `Stages` if it has several steps, and knows nothing of where they are drawn: nowhere unless asked
(`no_bar`, `silent`), else by `Progress` and `Bars`. A bar never breaks the work that it reports on: when its stream is
closed it falls silent.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from edge.base.streams import USUAL_COLUMNS, columns_of

REDRAW_S = 0.1
QUARTERS = 4
BAR_CELLS = 24  # characters
PULSE_S = 0.5
QUIET_S = 4.0  # after which a pulse has a plain line written; on a terminal each pulse draws the line anew

Bar = Callable[..., None]  # bar(done), bar(done, total) or bar(done, total, note)
Stages = Callable[[str], Bar]  # opens a bar for a named stage
Say = Callable[[str], None]  # takes a line for a person


def no_bar(done: int, total: int | None = None, note: str = "") -> None:
    """A bar that is drawn nowhere."""


def silent(title: str) -> Bar:
    """Stages whose bars are drawn nowhere."""
    return no_bar


class Progress:
    """A bar on a terminal or in a log.

    with Progress("reading photos", 3120) as bar: bar(done), or bar(done, total, note="daisy.jpg").

    `total` may be 0 (not known) and may be given or corrected by any call. `unit="bytes"` counts in megabytes.
    """

    def __init__(
        self,
        title: str,
        total: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        unit: str = "",
    ) -> None:
        self._title, self._total, self._unit, self._clock = title, total, unit, clock
        self._stream = sys.stderr if stream is None else stream
        self._done, self._note = 0, ""
        self._started_s = self._drawn_s = self._said_s = clock()
        self._first: tuple[int, float] | None = None  # a resumed job starts above 0: its rate counts from there
        self._quarter = -1  # the last quarter that a plain line has told
        self._is_silent = self._stream is None  # Python without a console has no stderr
        self._is_terminal = not self._is_silent and _is_terminal(self._stream)
        self._is_closed = False
        self._lock = threading.RLock()  # of what a pulse writes in another thread

    def __call__(self, done: int, total: int | None = None, note: str = "") -> None:
        with self._lock:
            self._done, self._note = done, note
            if total is not None:
                self._total = total
            now_s = self._clock()
            if self._first is None:
                self._first = (done, now_s)
            if self._is_terminal:
                self._redraw(now_s)
            else:
                self._tell_quarter(now_s)

    def beat(self) -> None:
        """Say again how far the work is, if nothing was said for a while."""
        with self._lock:
            now_s = self._clock()
            if self._is_closed or now_s - self._said_s < (PULSE_S if self._is_terminal else QUIET_S):
                return
            if self._is_terminal:
                self._write("\r" + self._line(now_s))
            elif self._first is None:  # no step of it is done yet
                self._write(f"{self._title}: begun {_clock_text(now_s - self._started_s)} ago\n")
            else:
                self._write(self._plain(now_s))

    def close(self) -> None:
        """Draw the last state and end the line; a second call does nothing."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            if self._is_terminal:
                self._write("\r" + self._line(self._clock()) + "\n")
            elif self._quarter < QUARTERS:
                self._write(self._plain(self._clock()))

    def __enter__(self) -> Progress:
        if self._is_terminal:
            self._write("\r" + self._line(self._clock()))
        else:
            self._tell_quarter(self._clock())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _redraw(self, now_s: float) -> None:
        if now_s - self._drawn_s < REDRAW_S:
            return
        self._drawn_s = now_s
        self._write("\r" + self._line(now_s))

    def _tell_quarter(self, now_s: float) -> None:
        quarter = min(QUARTERS, self._done * QUARTERS // self._total) if self._total > 0 else 0
        if quarter > self._quarter:
            self._quarter = quarter
            self._write(self._plain(now_s))

    def _line(self, now_s: float) -> str:
        columns = columns_of(self._stream)
        parts = [self._title, self._count(), self._times(now_s), self._note]
        if self._total > 0 and columns >= USUAL_COLUMNS:
            filled = min(BAR_CELLS, BAR_CELLS * self._done // self._total)
            parts.insert(1, "[" + "#" * filled + "." * (BAR_CELLS - filled) + "]")
        line = "  ".join(part for part in parts if part)
        # One column stays free: a full line makes some terminals wrap. The padding wipes what stood there before.
        return line[: columns - 1].ljust(columns - 1)

    def _plain(self, now_s: float) -> str:
        line = f"{self._title}: {self._count()} in {_clock_text(now_s - self._started_s)}"
        return f"{line}  {self._note}".rstrip() + "\n"

    def _count(self) -> str:
        scale, suffix = (1e6, " MB") if self._unit == "bytes" else (1, f" {self._unit}" if self._unit else "")
        digits = 1 if scale > 1 else 0
        done = f"{self._done / scale:.{digits}f}"
        return f"{done}/{self._total / scale:.{digits}f}{suffix}" if self._total > 0 else f"{done}{suffix}"

    def _times(self, now_s: float) -> str:
        elapsed = _clock_text(now_s - self._started_s)
        first_done, first_s = self._first or (0, now_s)
        gained, left = self._done - first_done, self._total - self._done
        if gained <= 0 or left <= 0:
            return elapsed
        return f"{elapsed}, {_clock_text((now_s - first_s) * left / gained)} left"

    def _write(self, text: str) -> None:
        self._said_s = self._clock()
        if self._is_silent:
            return
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError):  # closed by its reader; the work goes on without its bar
            self._is_silent = True


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Bars:
    """Stages drawn as one bar after another: `stages("reading photos")` closes the bar before and hands out the next.

    `tell` writes a line between bars. As a context manager it ends the last one.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = sys.stderr if stream is None else stream, clock
        self._bar: Progress | None = None
        self._told_s = self._said_s = clock()  # when the last line between bars was written, the second by a beat too
        self._lock = threading.RLock()

    def __call__(self, title: str) -> Progress:
        with self._lock:
            self.close()
            self._bar = Progress(title, stream=self._stream, clock=self._clock)
            return self._bar

    def tell(self, text: str) -> None:
        with self._lock:
            self.close()
            print(text, file=self._stream, flush=True)
            self._told_s = self._said_s = self._clock()

    def beat(self) -> None:
        """Say that the work goes on, if nothing was said for a while: for a Pulse."""
        with self._lock:
            if self._bar is not None:
                self._bar.beat()
                return
            now_s = self._clock()
            if now_s - self._said_s >= QUIET_S:
                self._said_s = now_s
                with contextlib.suppress(OSError, ValueError):  # closed by its reader
                    print(f"still at work, {_clock_text(now_s - self._told_s)}", file=self._stream, flush=True)

    def close(self) -> None:
        with self._lock:
            if self._bar is not None:
                self._bar.close()
                self._bar = None
                self._told_s = self._said_s = self._clock()

    def __enter__(self) -> Bars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Pulse:
    """Calls `beat` again and again, in a thread of its own, for as long as the context lasts."""

    def __init__(self, beat: Callable[[], None], every_s: float = PULSE_S) -> None:
        self._beat, self._every_s, self._ended = beat, every_s, threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            self._beat()

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
