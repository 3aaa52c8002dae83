"""Where the page is served: what was typed, as listening sockets.

In:  "8000" (this machine only), "HOST:PORT", "[IPv6]:PORT". Port 0 takes a free one.
Out: sockets that listen; OutputError in one line where that is impossible.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from dataclasses import dataclass

from edge.errors import OutputError, UsageError

LOOPBACK = "127.0.0.1"
HIGHEST_PORT = 65535
EXPECTED = "expected PORT or HOST:PORT, as 8000, 0.0.0.0:8000 or [::]:8000"
SOMEWHERE = ("192.0.2.1", 9)  # reserved for documentation: a datagram socket connects without sending anything
REASONS = {
    errno.EADDRINUSE: "the port is taken; choose another, or stop what uses it",
    errno.EACCES: "not allowed; choose a port from 1024 on",
    errno.EADDRNOTAVAIL: "this machine does not have that address; 0.0.0.0 means all that it has",
}


@dataclass(frozen=True)
class PageAddress:
    """A host and a port, as asked for."""

    host: str  # a name or an address, IPv6 without its brackets
    port: int

    def __str__(self) -> str:
        return authority(self.host, self.port)

    @classmethod
    def parse(cls, text: str) -> PageAddress:
        """Raises UsageError, one line."""
        match = re.fullmatch(r"(?:(?P<host>[\w.-]+|\[[0-9a-fA-F:.]+\]):)?(?P<port>\d{1,5})", text, re.ASCII)
        if match is None or int(match["port"]) > HIGHEST_PORT:
            raise UsageError(f"--web {text}: {EXPECTED}")
        return cls((match["host"] or LOOPBACK).strip("[]"), int(match["port"]))


def authority(host: str, port: int) -> str:
    """As a URL has it: IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(address: PageAddress) -> list[socket.socket]:
    """One socket for each address that the host has. Raises OutputError, one line."""
    sockets: list[socket.socket] = []
    port = address.port
    for family, host in _resolved(address):
        try:
            sockets.append(_bound(family, host, port))
        except OSError as error:
            if sockets and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue  # as where localhost has an IPv6 address and the machine has no IPv6
            for other in sockets:
                other.close()
            raise OutputError(f"--web {address}: {REASONS.get(error.errno or 0, error.strerror)}") from error
        port = bound_port(sockets)
    return sockets


def bound_port(sockets: list[socket.socket]) -> int:
    return int(sockets[0].getsockname()[1])


def is_loopback(sockets: list[socket.socket]) -> bool:
    """True if nobody but this machine can reach any of them."""
    return all(ipaddress.ip_address(bound.getsockname()[0]).is_loopback for bound in sockets)


def reachable_host(address: PageAddress) -> str:
    """What another machine would type: for an address that means "all", the one used on the way out."""
    if address.host not in ("0.0.0.0", "::"):
        return address.host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(SOMEWHERE)
        except OSError:  # no network just now
            return socket.gethostname()
        return str(probe.getsockname()[0])


def _resolved(address: PageAddress) -> list[tuple[int, str]]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise OutputError(f"--web {address}: no such host; {EXPECTED}") from error
    return list(dict.fromkeys((int(family), str(where[0])) for family, _, _, _, where in found))


def _bound(family: int, host: str, port: int) -> socket.socket:
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family, dualstack_ipv6=both, backlog=64)
