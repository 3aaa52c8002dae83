"""Decisions in a terminal.

On a terminal: a panel redrawn in place, at most ten times a second: label, bars of the five most probable labels,
frames a second, milliseconds of each stage, age of the frame. It stays within 60 columns, for SSH from a phone.
Elsewhere (a pipe, a file, CI): one plain line for each photo, each change of the answer, and every hundredth frame.
"""

from __future__ import annotations

import os
import time
import unicodedata
from collections import deque
from collections.abc import Callable
from typing import TextIO

from edge.errors import OutputError
from edge.frames import Frame
from edge.sinks import abandon
from edge.smoothing import Decision

REDRAW_S = 0.1
COLUMNS = 60  # the widest the panel gets
BARS = 5
BAR_CELLS = 24
LABEL_COLUMNS = 24
FPS_WINDOW = 30  # frames
PLAIN_EVERY = 100  # frames


class TerminalSink:
    """The live view. `is_panel` None: a panel if the stream is a terminal that understands ANSI, else plain lines."""

    def __init__(
        self,
        stream: TextIO,
        *,
        is_panel: bool | None = None,
        every: int = PLAIN_EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._is_panel = _understands_ansi(stream) if is_panel is None else is_panel
        self._every = every
        self._clock = clock
        self._stamps: deque[float] = deque(maxlen=FPS_WINDOW)
        self._told: tuple[str, str] | None = None  # (name, answer) of the last plain line
        self._untold = 0  # frames since then
        self._drawn_at: float | None = None
        self._drawn_lines = 0
        self._undrawn: Decision | None = None

    def show(self, decision: Decision, frame: Frame) -> None:
        if self._is_panel:
            self._show_panel(decision)
        else:
            self._show_line(decision)

    def close(self) -> None:
        """Draw what the limit on redrawing held back; the stream is not ours to close."""
        if self._undrawn is not None:
            decision, self._undrawn = self._undrawn, None
            self._draw(decision)

    def _show_panel(self, decision: Decision) -> None:
        now = self._clock()
        self._stamps.append(now)
        self._undrawn = decision
        if self._drawn_at is None or now - self._drawn_at >= REDRAW_S:
            self._drawn_at = now
            self._undrawn = None
            self._draw(decision)

    def _draw(self, decision: Decision) -> None:
        columns = min(COLUMNS, _columns(self._stream) - 1)
        cell = "█" if _can_encode("█", self._stream) else "#"
        lines = [_fit(line, columns) for line in panel(decision, rate(self._stamps), cell)]
        up = f"\x1b[{self._drawn_lines}F" if self._drawn_lines else ""
        self._drawn_lines = len(lines)
        self._write(up + "".join(f"{line}\x1b[K\n" for line in lines))

    def _show_line(self, decision: Decision) -> None:
        told = (decision.name, decision.shown)
        self._untold += 1
        if told == self._told and self._untold < self._every:
            return
        self._told = told
        self._untold = 0
        self._write(plain_line(decision) + "\n")

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        try:
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
        except BrokenPipeError:
            abandon(self._stream)
            raise
        except OSError as error:
            abandon(self._stream)
            raise OutputError(f"the terminal view cannot be written ({error.strerror or error})") from error


def panel(decision: Decision, fps: float | None, cell: str) -> list[str]:
    """The lines of the live panel, before they are cut to the width; always as many for the same model."""
    result = decision.result
    headline = decision.shown if not decision.is_unknown else f"unknown (nearest: {decision.label})"
    lines = [
        f"{printable(decision.name)}  frame {decision.frame}",
        f"{printable(headline)}  {decision.probability:.2f}",
    ]
    for label, probability in decision.top(BARS):
        bar = (cell * round(probability * BAR_CELLS)).ljust(BAR_CELLS)
        lines.append(f"  {_fit(printable(label), LABEL_COLUMNS)} {bar} {probability:5.2f}")
    speed = "   -" if fps is None else f"{fps:4.1f}"
    lines.append(f"{speed} frames/s   age {decision.age_ms:.0f} ms")
    lines.append(f"wait {decision.wait_ms:.1f}  geometry {result.geometry_ms:.1f}  invoke {result.invoke_ms:.1f} ms")
    return lines


def plain_line(decision: Decision) -> str:
    """One decision as one line, local time first."""
    moment = time.strftime("%H:%M:%S", time.localtime(decision.time))
    nearest = f" (nearest: {decision.label})" if decision.is_unknown else ""
    cost = f"{decision.latency_ms:.1f} ms, age {decision.age_ms:.0f} ms"
    where = f"{decision.name} frame {decision.frame}"
    return printable(f"{moment}  {where}: {decision.shown}{nearest} {decision.probability:.2f}  [{cost}]")


def rate(stamps: deque[float]) -> float | None:
    """Frames a second over n time stamps in seconds: n - 1 intervals in their span; None if there is no span."""
    if len(stamps) < 2 or stamps[-1] <= stamps[0]:
        return None
    return (len(stamps) - 1) / (stamps[-1] - stamps[0])


def printable(text: str) -> str:
    """`text` without control characters: names come from files, and could otherwise steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _fit(text: str, columns: int) -> str:
    """`text` padded or cut to exactly `columns` terminal columns; East Asian characters take two."""
    kept, width = "", 0
    for character in text:
        step = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if width + step > columns:
            break
        kept, width = kept + character, width + step
    return kept + " " * (columns - width)


def _understands_ansi(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") != "dumb"


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or COLUMNS + 1
    except (OSError, ValueError):  # no terminal behind it
        return COLUMNS + 1


def _can_encode(text: str, stream: TextIO) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
