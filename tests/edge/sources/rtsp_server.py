"""An RTSP server for drills: H.264 on rtsp://127.0.0.1:PORT/live, 25 frames a second, each with the time in it.

    /usr/bin/python3 rtsp_server.py PORT

It needs the system's Python, with gir1.2-gst-rtsp-server-1.0, python3-gi and the good and ugly plugins of GStreamer.
SIGUSR1 freezes the picture, and thaws it. Says "ready" when it listens.
"""

from __future__ import annotations

import signal
import sys
import time
from importlib import import_module
from typing import Any

gi: Any = import_module("gi")
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
GLib, Gst, GstRtspServer = (import_module(f"gi.repository.{name}") for name in ("GLib", "Gst", "GstRtspServer"))

WIDTH, HEIGHT, FPS = 384, 240, 25
BITS = 24  # as in tests/edge/sources/streams.py, which this Python cannot import: it has no NumPy
PIPELINE = (
    "( appsrc name=frames is-live=true do-timestamp=true format=time "
    f"caps=video/x-raw,format=GRAY8,width={WIDTH},height={HEIGHT},framerate={FPS}/1 "
    "! videoconvert ! video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 "
    "! rtph264pay name=pay0 pt=96 )"
)


class Frames:
    """Pushes a frame each 1/25 s into the appsrc of every medium there is."""

    def __init__(self) -> None:
        self.is_frozen = False
        self._sources: list[Any] = []
        self._frame = b""

    def configure(self, factory: Any, media: Any) -> None:
        self._sources = [media.get_element().get_child_by_name("frames")]

    def toggle(self) -> bool:
        self.is_frozen = not self.is_frozen
        return True

    def push(self) -> bool:
        if not self.is_frozen or not self._frame:
            self._frame = stamped(time.monotonic())
        for source in self._sources:
            source.emit("push-buffer", Gst.Buffer.new_wrapped(self._frame))
        return True


def stamped(seconds: float) -> bytes:
    """Black and white bars: the milliseconds in binary, the most significant bit first. A picture, grey."""
    number = int(seconds * 1000) % 2**BITS
    row = b"".join((b"\xff" if number >> (BITS - 1 - i) & 1 else b"\0") * (WIDTH // BITS) for i in range(BITS))
    return row * HEIGHT


def main() -> None:
    Gst.init(None)
    frames = Frames()
    factory = GstRtspServer.RTSPMediaFactory(launch=PIPELINE, shared=True)
    factory.connect("media-configure", frames.configure)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=sys.argv[1])
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    GLib.timeout_add(1000 // FPS, frames.push)
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGUSR1, frames.toggle)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


main()
