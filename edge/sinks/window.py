"""Decisions in a window: the newest frame with the overlay, at most 30 times a second.

Keys: q or Esc stops the run, as does closing the window; s writes the frame to a PNG file; h lays the heat map over it.

A window belongs to the main thread, and so the loop runs in another: `show` and `tell` only leave there what is newest,
`run` draws it. Whether there can be a window is asked first, without OpenCV: its window code ends the whole process,
with no exception to catch, where it finds no display.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from edge.base.files import write_atomically
from edge.base.text import first_line
from edge.contract.decision import Decision
from edge.contract.event import NO_PICTURE, Event
from edge.contract.frame import Clock, Frame
from edge.contract.sink import NEWEST
from edge.drawing.heatmap import draw_heatmap
from edge.drawing.overlay import draw_banner, draw_note, draw_overlay, enlarged
from edge.errors import OutputError
from edge.picture.geometry import Picture

TITLE = "Flora (q stops, s snapshot, h heat map)"
STOP_KEYS = frozenset({ord("q"), 27})  # 27 is Esc
WITHOUT = "run without --show, the terminal view needs no window"
PUMP_MS = 33  # at most 30 pictures a second
REDRAW_S = 0.25  # of the same picture, so that its age is seen to grow
NOTE_S = 4.0
WAITING = "waiting for the first picture"
BLANK_WH = (640, 480)
X11_SOCKETS = "/tmp/.X11-unix/X"
X11_TCP_PORT = 6000  # plus the number of the display
CONNECT_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class _Scene:
    """What there is to show; replaced as a whole, so that no thread sees half of it."""

    decision: Decision | None = None
    frame: Frame | None = None
    arrived_at: float = 0.0  # of the decision, on the window's clock
    gap: Event | None = None  # why there has been no picture since then


class WindowSink:
    """A window. Raises OutputError where there can be none. Snapshots go to the folder `snapshots`."""

    name = "window"
    backlog = NEWEST
    needs_picture = True

    def __init__(
        self,
        *,
        snapshots: Path = Path(),
        on_snapshot: Callable[[Path], None] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        check_display(os.environ)
        check_build()
        self._snapshots, self._on_snapshot, self._clock = snapshots, on_snapshot, clock
        self._scene = _Scene()
        self._has_ended = False
        self._has_heat = False
        self._note, self._note_until = "", 0.0

    def show(self, decision: Decision, frame: Frame) -> None:
        self._scene = _Scene(decision, frame, self._clock())

    def tell(self, event: Event) -> None:
        if event.kind == NO_PICTURE:
            self._scene = replace(self._scene, gap=event)

    def close(self) -> None:
        """`run` returns; the window is its to close."""
        self._has_ended = True

    def run(self, stop: threading.Event) -> None:
        """Draw until `stop` is set or the sink is closed; set `stop` when the person has seen enough. Main thread only.

        Raises OutputError where OpenCV refuses. However it ends, `stop` is set and the window is gone.
        """
        drawn, drawn_at = None, 0.0
        try:
            while not stop.is_set() and not self._has_ended:
                scene, now = self._scene, self._clock()
                if scene is not drawn or now - drawn_at >= REDRAW_S:
                    cv2.imshow(TITLE, self.picture(scene, now))
                    drawn, drawn_at = scene, now
                key = cv2.waitKey(PUMP_MS) & 0xFF
                if key in STOP_KEYS or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
                    return
                if self._press(key, scene):
                    drawn = None
        except cv2.error as error:
            raise OutputError(f"no window: OpenCV refused it ({first_line(error.err or error)}); {WITHOUT}") from error
        finally:
            stop.set()
            with contextlib.suppress(cv2.error):  # there never was one, or the person has closed it already
                cv2.destroyWindow(TITLE)

    def picture(self, scene: _Scene, now: float) -> Picture:
        """What the window holds at `now`, BGR uint8 (H, W, 3)."""
        if scene.decision is None or scene.frame is None:
            canvas = np.zeros((BLANK_WH[1], BLANK_WH[0], 3), np.uint8)
            draw_banner(canvas, scene.gap.text if scene.gap else WAITING)
        elif scene.gap:
            canvas, _ = enlarged(scene.frame.image_bgr)
            draw_banner(canvas, scene.gap.text)
        else:
            age_ms = scene.decision.age_ms + (now - scene.arrived_at) * 1000
            canvas = draw_overlay(self._heated(scene.decision, scene.frame), replace(scene.decision, age_ms=age_ms))
        if now < self._note_until:
            draw_note(canvas, self._note)
        return canvas

    def _heated(self, decision: Decision, frame: Frame) -> Frame:
        evidence = decision.result.evidence
        if not self._has_heat or evidence is None:
            return frame
        return replace(frame, image_bgr=draw_heatmap(frame.image_bgr, evidence[..., decision.index], frame.square))

    def _press(self, key: int, scene: _Scene) -> bool:
        """Do what the key says; True if that can be seen."""
        if key == ord("h"):
            self._has_heat = not self._has_heat
            if self._has_heat and scene.decision and scene.decision.result.evidence is None:
                self._say("this model has no evidence map: flora export RUN --evidence")
        elif key == ord("s") and scene.decision and scene.frame and not scene.gap:
            self._snap(scene.decision, scene.frame)
        else:
            return False
        return True

    def _snap(self, decision: Decision, frame: Frame) -> None:
        """The frame as it came, without what is drawn over it: to predict it again, or to train on it."""
        path = self._snapshots / snapshot_name(decision)
        try:
            write_atomically(path, cv2.imencode(".png", frame.image_bgr)[1].tobytes())
        except OutputError as error:  # a disk that is full is no reason to stop looking
            self._say(str(error))
            return
        self._say(f"wrote {path}")
        if self._on_snapshot:
            self._on_snapshot(path)

    def _say(self, note: str) -> None:
        self._note, self._note_until = note, self._clock() + NOTE_S


def snapshot_name(decision: Decision) -> str:
    """As in 20261123-065000-123-roses.png, local time of the capture; a label that cannot be in a name is changed."""
    moment = time.strftime("%Y%m%d-%H%M%S", time.localtime(decision.captured))
    label = re.sub(r"[^\w-]+", "-", decision.shown).strip("-")[:40]
    return f"{moment}-{int(decision.captured % 1 * 1000):03d}-{label or 'frame'}.png"


def check_display(environment: Mapping[str, str], platform: str = sys.platform) -> None:
    """Raise OutputError where a window is impossible: on Linux without a display that answers."""
    if not platform.startswith("linux") or environment.get("QT_QPA_PLATFORM") or environment.get("WAYLAND_DISPLAY"):
        return
    display = environment.get("DISPLAY", "")
    if not display:
        raise OutputError(f"no window: neither DISPLAY nor WAYLAND_DISPLAY is set, so there is no screen; {WITHOUT}")
    if not _answers(display):
        raise OutputError(f"no window: no display answers at DISPLAY={display}; start one, or {WITHOUT}")


def check_build() -> None:
    """Raise OutputError if this OpenCV was built without windows, as opencv-python-headless is."""
    if re.search(r"^\s*GUI:\s*NONE", cv2.getBuildInformation(), re.MULTILINE):
        raise OutputError(f"no window: this OpenCV has none; install Flora with [window], not [headless], or {WITHOUT}")


def _answers(display: str) -> bool:
    """True if an X server accepts a connection at `display`, such as ":0" or "localhost:10.0"."""
    match = re.fullmatch(r"(?P<host>.*):(?P<number>\d+)(\.\d+)?", display)
    if match is None:
        return False
    host, number = match["host"], int(match["number"])
    if host not in ("", "unix"):
        return _connects(socket.AF_INET, (host.removeprefix("tcp/"), X11_TCP_PORT + number))
    # Either a file or a name in Linux' abstract space, which begins with a zero byte.
    return any(_connects(socket.AF_UNIX, f"{start}{X11_SOCKETS}{number}") for start in ("", "\0"))


def _connects(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_TIMEOUT_S)
        try:
            connection.connect(address)
        except OSError:
            return False
    return True
