"""Servers of streams for the tests: HTTP MJPEG that can misbehave, and the RTSP server in a process of its own.

Each picture carries the time at which it was sent, so that its age can be told by whoever receives it.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

BITS = 24  # as in rtsp_server.py
SYSTEM_PYTHON = "/usr/bin/python3"
BOUNDARY = b"--frame\r\nContent-Type: image/jpeg\r\n"
HEADER = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
LIVE, FROZEN, SILENT, TRICKLE, GARBAGE, RESET, CORRUPT = (
    "live", "frozen", "silent", "trickle", "garbage", "reset", "corrupt",
)  # fmt: skip


def stamped(seconds: float, size_wh: tuple[int, int] = (384, 240)) -> NDArray[np.uint8]:
    """Black and white bars: the milliseconds in binary, the most significant bit first. BGR."""
    number = int(seconds * 1000) % 2**BITS
    width, height = size_wh
    bits = [255 * (number >> (BITS - 1 - i) & 1) for i in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8), width // BITS)
    return np.repeat(np.tile(row, (height, 1))[:, :, None], 3, axis=2)


def age_s(image: NDArray[np.uint8], now: float) -> float:
    """How long ago the picture was stamped."""
    row = image[image.shape[0] // 2, :, 1]
    bar = len(row) // BITS
    number = 0
    for i in range(BITS):
        number = 2 * number + int(row[i * bar + bar // 4 : (i + 1) * bar - bar // 4].mean() > 127)
    age_ms: int = (int(now * 1000) - number) % 2**BITS
    return age_ms / 1000


class MjpegCamera:
    """An HTTP camera. `mode` may be changed at any time; `stop` and `start` are the power switch."""

    def __init__(self, fps: float = 25.0, size_wh: tuple[int, int] = (384, 240)) -> None:
        self.mode = LIVE
        self.connections = 0
        self.latest_s = 0.0  # from the stamp until the picture was sent, at most
        self._fps, self._size_wh = fps, size_wh
        self._frozen = _jpeg(stamped(0.0, size_wh))
        self._garbage = np.random.default_rng(0).bytes(5000)
        self._port = 0
        self._open: list[socket.socket] = []
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}/stream.mjpg"

    def start(self) -> None:
        self._is_on = True
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, args=(self._listener,), daemon=True)]
        self._threads[0].start()

    def stop(self) -> None:
        self._is_on = False
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def __enter__(self) -> MjpegCamera:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_on:
            self.stop()

    def _accept(self, listener: socket.socket) -> None:
        while self._is_on:
            try:
                connection, _ = listener.accept()
            except OSError:  # switched off
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(0.2)
            try:
                connection.recv(4000)
                if self.mode != SILENT:
                    connection.sendall(HEADER)
                due_at = time.monotonic()
                while self._is_on and self._send(connection):
                    due_at = max(due_at + 1 / self._fps, time.monotonic() - 1 / self._fps)  # no bursts
                    time.sleep(max(0.0, due_at - time.monotonic()))
            except TimeoutError:  # the reader reads too slowly: as cameras do, hang up
                return
            except OSError:
                return

    def _send(self, connection: socket.socket) -> bool:
        if self.mode == RESET:  # closing a socket that lingers for no time sends a reset
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if self.mode == SILENT:
            return True
        if self.mode == TRICKLE:
            connection.sendall(_part(self._frozen)[:1])
        elif self.mode == GARBAGE:
            connection.sendall(self._garbage)
        elif self.mode == CORRUPT:
            connection.sendall(_part(self._garbage))
        elif self.mode == FROZEN:
            connection.sendall(_part(self._frozen))
        else:
            now = time.monotonic()
            connection.sendall(_part(_jpeg(stamped(now, self._size_wh))))
            self.latest_s = max(self.latest_s, time.monotonic() - now)
        return True


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def _part(jpeg: bytes) -> bytes:
    return BOUNDARY + b"Content-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg)


class RtspServer:
    """The server of rtsp_server.py, which can be killed, stopped like a process that hangs, and frozen."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"rtsp://127.0.0.1:{self.port}/live"
        self.start()

    def start(self) -> None:
        script = Path(__file__).with_name("rtsp_server.py")
        self._process = subprocess.Popen([SYSTEM_PYTHON, script, str(self.port)], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "see rtsp_server.py for what must be installed"

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
