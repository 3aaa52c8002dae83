"""Decisions and events in a terminal.

On a terminal: a panel redrawn in place, at most ten times a second: label, bars of the five most probable labels,
frames a second, milliseconds of each stage, age of the frame, how the board is doing, the last few events. It stays
within 60 columns, for SSH from a phone. While there is no picture it says so in place of the answer.
Elsewhere (a pipe, a file, the journal of a service): one plain line for each photo, each change of the answer, each
event ("10:02:40  sighting: roses from ..."), and once a minute as a sign of life.
"""

from __future__ import annotations

import os
import textwrap
import time
import unicodedata
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TextIO

from edge.base.streams import abandon, columns_of
from edge.base.text import printable
from edge.contract.decision import Decision
from edge.contract.event import NO_PICTURE, SIGHTING_BEGAN, Event
from edge.contract.frame import Clock, Frame
from edge.contract.health import Health
from edge.contract.rejection import said
from edge.contract.result import headline
from edge.contract.sink import NEWEST
from edge.errors import OutputError

REDRAW_S = 0.1
HEALTH_S = 1.0  # to ask more often would cost more than it tells
COLUMNS = 60  # the widest the panel gets
BARS = 5
BAR_CELLS = 24
LABEL_COLUMNS = 24
EVENTS = 4  # the last of them, in the panel
FPS_WINDOW = 30  # frames
PLAIN_EVERY_S = 60.0


@dataclass(frozen=True)
class View:
    """All that the panel shows."""

    decision: Decision | None = None
    gap: Event | None = None  # why there has been no picture since that decision
    events: tuple[Event, ...] = ()
    health: Health | None = None


class TerminalSink:
    """The live view. `is_panel` None: a panel if the stream is a terminal that understands ANSI, else plain lines."""

    name = "terminal"
    backlog = NEWEST
    needs_picture = False

    def __init__(
        self,
        stream: TextIO,
        *,
        is_panel: bool | None = None,
        every_s: float = PLAIN_EVERY_S,
        health: Callable[[], Health] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._stream = stream
        self._is_panel = _understands_ansi(stream) if is_panel is None else is_panel
        self._every_s, self._health, self._clock = every_s, health, clock
        self._stamps: deque[float] = deque(maxlen=FPS_WINDOW)
        self._told: tuple[str, str] | None = None  # (name, answer) of the last plain line
        self._told_at = 0.0
        self._view = View()
        self._is_drawn = True  # False while the limit on redrawing holds a view back
        self._drawn_at, self._drawn_lines = -REDRAW_S, 0
        self._asked_at = -HEALTH_S
        self._unflushed: str | None = None  # what a failed write may have left in the stream's buffer

    def show(self, decision: Decision, frame: Frame) -> None:
        if self._is_panel:
            self._stamps.append(self._clock())
            self._refresh(replace(self._view, decision=decision, gap=None))
        else:
            self._show_line(decision)

    def tell(self, event: Event) -> None:
        if self._is_panel:
            self._refresh(with_event(self._view, event))
        elif not event.is_update:
            self._write(event_line(event) + "\n")
            if event.kind == NO_PICTURE:
                self._told = None  # the next answer is news, even if it is the same

    def close(self) -> None:
        """Draw what the limit on redrawing held back; the stream is not ours to close."""
        if self._unflushed is not None:
            self._unflushed = None
            abandon(self._stream)
        elif not self._is_drawn:
            self._draw(self._view)

    def _refresh(self, view: View) -> None:
        now = self._clock()
        if self._health and now - self._asked_at >= HEALTH_S:
            self._asked_at = now
            view = replace(view, health=self._health())
        is_due = now - self._drawn_at >= REDRAW_S
        if is_due:
            self._draw(view)
            self._drawn_at = now
        self._view, self._is_drawn = view, is_due

    def _draw(self, view: View) -> None:
        columns = min(COLUMNS, columns_of(self._stream) - 1)
        cell = "█" if _can_encode("█", self._stream) else "#"
        lines = panel(view, rate(self._stamps), cell, columns)
        lines += [""] * (self._drawn_lines - len(lines))  # over what was longer before
        up = f"\x1b[{self._drawn_lines}F" if self._drawn_lines else ""
        self._write(up + "".join(f"{_fit(line, columns)}\x1b[K\n" for line in lines))
        self._drawn_lines, self._is_drawn = len(lines), True

    def _show_line(self, decision: Decision) -> None:
        told, now = (decision.name, decision.shown), self._clock()
        is_news = told != self._told
        if is_news or now - self._told_at >= self._every_s:
            lines = [plain_line(decision)]
            if not is_news and self._health:
                lines.append(health_line(self._health()))
            self._write("".join(f"{line}\n" for line in lines))
            self._told, self._told_at = told, now

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        try:
            if text != self._unflushed:
                self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
            self._unflushed = None
        except BrokenPipeError:
            abandon(self._stream)
            raise
        except OSError as error:
            self._unflushed = text
            raise OutputError(f"the terminal view cannot be written ({error.strerror or error})") from error


def with_event(view: View, event: Event) -> View:
    """`view` after `event`: a gap is shown at once, and what goes on is no new event."""
    gap = event if event.kind == NO_PICTURE else view.gap
    # That a sighting began is what the headline says.
    is_listed = not event.is_update and event.kind != SIGHTING_BEGAN
    return replace(view, gap=gap, events=(*view.events, event)[-EVENTS:] if is_listed else view.events)


def panel(view: View, fps: float | None, cell: str, columns: int = COLUMNS) -> list[str]:
    """The lines of the live panel, before they are cut to the width; without events, always as many for a model."""
    lines = _answer(view.decision, fps, cell) if view.decision else []
    if view.gap:
        # As many lines as the answer had, so that what stands below stays where it is.
        reason = textwrap.wrap(printable(view.gap.text), columns)
        lines = (lines[:1] + reason + [""] * len(lines))[: max(len(lines), len(reason))]
    if view.health:
        lines.append(board(view.health))
    return lines + [event_line(event) for event in view.events]


def _answer(decision: Decision, fps: float | None, cell: str) -> list[str]:
    result = decision.result
    lines = [
        f"{printable(decision.name)}  frame {decision.frame}",
        printable(headline(decision)),
    ]
    for label, probability in decision.top(BARS):
        bar = (cell * round(probability * BAR_CELLS)).ljust(BAR_CELLS)
        lines.append(f"  {_fit(printable(said(label)), LABEL_COLUMNS)} {bar} {probability:5.2f}")
    speed = "   -" if fps is None else f"{fps:4.1f}"
    lines.append(f"{speed} frames/s   age {decision.age_ms:.0f} ms")
    cost = f"geometry {result.geometry_ms:.1f}  invoke {result.invoke_ms:.1f} ms"
    lines.append(f"wait {decision.wait_ms:.1f}  {'nothing moved' if decision.is_held else cost}")
    return lines


def plain_line(decision: Decision) -> str:
    """One decision as one line, local time first."""
    cost = "nothing moved" if decision.is_held else f"{decision.latency_ms:.1f} ms"
    where = f"{_moment(decision.time)}  {decision.name} frame {decision.frame}"
    answer = f"{headline(decision)}  [{cost}, age {decision.age_ms:.0f} ms]"
    return printable(f"{where}: {answer}")


def event_line(event: Event) -> str:
    """One event as one line, local time first, then its kind, to be found by."""
    return printable(f"{_moment(event.time)}  {event.kind}: {event.text}")


def health_line(health: Health) -> str:
    """How the run is doing, as one line like the others."""
    speed = "" if health.fps is None else f"{health.fps:.1f} frames/s  "
    return printable(f"{_moment(health.time)}  health: {speed}{board(health)}")


def board(health: Health) -> str:
    """Of the board what it says of itself."""
    parts = (
        "" if health.cpu_share is None else f"cpu {health.cpu_share:.0%}",
        "" if health.memory_mb is None else f"{health.memory_mb:.0f} MB",
        "" if health.temperature_c is None else f"{health.temperature_c:.0f} C",
        "throttled" if health.is_throttled else "",
    )
    return "  ".join(part for part in parts if part) or health.state


def rate(stamps: deque[float]) -> float | None:
    """Frames a second over n time stamps in seconds: n - 1 intervals in their span; None if there is no span."""
    if len(stamps) < 2 or stamps[-1] <= stamps[0]:
        return None
    return (len(stamps) - 1) / (stamps[-1] - stamps[0])


def _fit(text: str, columns: int) -> str:
    """`text` padded or cut to exactly `columns` terminal columns; East Asian characters take two."""
    kept, width = "", 0
    for character in text:
        step = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if width + step > columns:
            break
        kept, width = kept + character, width + step
    return kept + " " * (columns - width)


def _moment(epoch_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(epoch_s))


def _understands_ansi(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") != "dumb"


def _can_encode(text: str, stream: TextIO) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
