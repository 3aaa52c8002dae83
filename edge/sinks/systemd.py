"""How the run is doing, for systemd: datagrams on its notification socket, as sd_notify(3) has them.

Out: READY=1 with the first decision, or once the run waits for a picture; WATCHDOG=1 in time, as long as decisions or
     events come; STATUS= with the answer, or why there is none, for `systemctl status`; STOPPING=1 at the end.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from edge.base.text import printable
from edge.contract.decision import Decision
from edge.contract.event import NO_PICTURE, Event
from edge.contract.frame import Clock, Frame
from edge.contract.result import headline
from edge.contract.sink import NEWEST, Opened, Run
from edge.errors import OutputError

STATUS_S = 1.0  # between two, at least
SEND_S = 1.0  # that a send may take


@dataclass(frozen=True)
class SystemdOptions:
    """None: systemd asks through the environment."""


def open_systemd(options: SystemdOptions, run: Run) -> Opened | None:
    """None where systemd did not start the run, or does not listen."""
    sink = SystemdSink.from_environment(os.environ)
    return Opened(sink) if sink else None


class SystemdSink:
    """To the socket at `address`; a word to the watchdog at most every half of `watchdog_s`, None: never."""

    name = "systemd"
    backlog = NEWEST
    needs_picture = False

    def __init__(
        self, address: str, *, watchdog_s: float | None = None, clock: Clock = time.monotonic
    ) -> None:
        # A name in Linux' abstract space begins with a zero byte, which is written as @.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._every_s, self._clock = watchdog_s / 2 if watchdog_s else None, clock
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(SEND_S)
        self._is_ready = False
        self._alive_at = self._status_at = float("-inf")
        self._status = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], pid: int | None = None) -> SystemdSink | None:
        """As systemd set it up for the process `pid`, this one; None where it did not."""
        address = environment.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        pid = os.getpid() if pid is None else pid
        is_watched = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        microseconds = environment.get("WATCHDOG_USEC", "") if is_watched else ""
        return cls(address, watchdog_s=int(microseconds) / 1e6 if microseconds.isdigit() else None)

    def show(self, decision: Decision, frame: Frame) -> None:
        self._report(headline(decision), is_ready=True)

    def tell(self, event: Event) -> None:
        is_gap = event.kind == NO_PICTURE
        # To wait for a picture is what the run is for: it has started.
        self._report(event.text if is_gap else None, is_ready=is_gap)

    def close(self) -> None:
        # systemd may have gone, then nobody is left who could care; so may the socket, when this is the second time.
        with contextlib.suppress(OSError):
            self._send("STOPPING=1\nSTATUS=stopped")
        self._socket.close()

    def _report(self, status: str | None, *, is_ready: bool) -> None:
        now, lines = self._clock(), []
        is_new = status not in (None, self._status) and now - self._status_at >= STATUS_S
        is_due = self._every_s is not None and now - self._alive_at >= self._every_s
        if is_ready and not self._is_ready:
            lines.append("READY=1")
        if is_new:
            lines.append(f"STATUS={printable(status or '')}")
        if is_due:
            lines.append("WATCHDOG=1")
        if not lines:
            return
        try:
            self._send("\n".join(lines))
        except OSError as error:
            raise OutputError(f"systemd does not take notice ({error.strerror or error}); is it running?") from error
        self._is_ready = self._is_ready or is_ready
        self._status, self._status_at = (status or "", now) if is_new else (self._status, self._status_at)
        self._alive_at = now if is_due else self._alive_at

    def _send(self, message: str) -> None:
        self._socket.sendto(message.encode(), self._address)
