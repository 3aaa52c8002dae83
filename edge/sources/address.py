"""Addresses of streams: which ones are opened, and how they are shown.

In:  http(s):// and rtsp(s):// addresses as a person typed them, perhaps with a user and password.
Out: the address, or SourceError for what is none: FFmpeg, which opens it, would also read local files, join or cut
     them, and listen on ports, if it were only asked with the right words.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from edge.base.text import shown_name
from edge.errors import SourceError

STREAM_SCHEMES = frozenset({"http", "https", "rtsp", "rtsps"})
LONGEST = 2000  # characters
HIGHEST_PORT = 65535
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")


def checked_address(address: str) -> str:
    """The address, if it is one of a stream. Raises SourceError, one line that shows no password."""
    problem = _problem(address)
    if problem:
        raise SourceError(f"{shown_name(address)}: {problem}; expected such as rtsp://camera:554/stream")
    return address


def _problem(address: str) -> str | None:
    if len(address) > LONGEST:
        return f"an address of {len(address)} characters"
    if re.search(r"[^!-~]", address) or set(address) & set('\\"<>^`{|}'):
        return "the address has a character that must be written as %XX"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "the address has a broken host or port (write / : @ in a password as %2F %3A %40)"
    if parts.scheme not in STREAM_SCHEMES:
        return f"{parts.scheme}:// is not supported"
    if not host or not _is_host(host):
        return "the address has no proper host name"
    return None if port is None or 0 < port <= HIGHEST_PORT else "the address has no proper port"


def _is_host(host: str) -> bool:
    if _HOST_NAME.fullmatch(host):
        return True
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True
