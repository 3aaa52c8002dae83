"""Where to publish: one address in, a host, a port and a topic prefix out.

In:  mqtt[s]://[user:password@]host[:port]/topic/prefix, where what has a meaning in addresses (: / @ # ? %) is
     written as %xx; the password may come from FLORA_MQTT_PASSWORD instead, since others can read command lines.
Out: BrokerAddress, or UsageError in one line without the user and the password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from edge.base.text import printable
from edge.errors import UsageError

PASSWORD_VARIABLE = "FLORA_MQTT_PASSWORD"
PORTS = {"mqtt": 1883, "mqtts": 8883}  # as registered with IANA
LONGEST_URL, LONGEST_TOPIC = 2000, 200  # characters, bytes; MQTT itself would take topics of 65 535 bytes
SHOWN = 100  # characters of a refused address
EXPECTED = "expected mqtt[s]://[user:password@]host[:port]/topic, as in mqtt://broker.local/flora/window"


@dataclass(frozen=True)
class BrokerAddress:
    """A broker, and the topic below which everything is published."""

    host: str
    port: int
    prefix: str
    is_tls: bool = False
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.is_tls else 'mqtt'}://{host}:{self.port}/{self.prefix}"

    @classmethod
    def parse(cls, url: str, environment: Mapping[str, str] | None = None) -> BrokerAddress:
        """Raises UsageError, one line."""
        found = os.environ if environment is None else environment
        try:
            return _parse(url, found.get(PASSWORD_VARIABLE))
        except ValueError as error:
            raise UsageError(f"--mqtt {_shown(url)}: {error}; {EXPECTED}") from error


def topic_fault(topic: str) -> str | None:
    """What is wrong with a topic that is to be published to, None if nothing is."""
    if not topic.isprintable():
        return "the topic holds characters that cannot be printed"
    if len(topic.encode()) > LONGEST_TOPIC:
        return f"the topic is longer than {LONGEST_TOPIC} bytes"
    if set("+#") & set(topic):
        return "the topic holds + or #, which only subscribers may use"
    if topic.startswith("$"):
        return "topics that begin with $ belong to the broker"
    if not all(topic.split("/")):
        return "the topic, or a level of it, is empty"
    return None


def _parse(url: str, password: str | None) -> BrokerAddress:
    """Raises ValueError with what is wrong."""
    if len(url) > LONGEST_URL:
        raise ValueError(f"longer than {LONGEST_URL} characters")
    if not url.isprintable():
        raise ValueError("holds characters that cannot be printed")
    if "?" in url or "#" in url:
        raise ValueError("holds ? or #")
    parts = _split(url)
    user, password = _credentials(parts, password)
    prefix = _decoded(parts.path.removeprefix("/"))
    if fault := topic_fault(prefix):
        raise ValueError(fault)
    return BrokerAddress(_host(parts), _port(parts), prefix, parts.scheme == "mqtts", user, password)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:  # brackets that do not close
        raise ValueError("the host is no name or number") from error
    if parts.scheme not in PORTS or "://" not in url:
        raise ValueError("not an MQTT address")
    if "@" in parts.path:  # or what was meant as a password would be published to
        raise ValueError("an @ behind the first /; in a password / is %2F, in a topic @ is %40")
    return parts


def _host(parts: SplitResult) -> str:
    host = parts.hostname
    if not host:
        raise ValueError("names no host")
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise ValueError("the host is no name or number") from error
    if not re.fullmatch(r"[\w.:%-]+", host):
        raise ValueError("the host is no name or number")
    return host


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError("the port is no number up to 65535") from error
    if port == 0:
        raise ValueError("the port is 0")
    return port or PORTS[parts.scheme]


def _credentials(parts: SplitResult, password: str | None) -> tuple[str | None, str | None]:
    user = _decoded(parts.username) if parts.username else None
    if parts.password:
        password = _decoded(parts.password)
    if password and user is None:
        raise ValueError(f"there is a password (here or in {PASSWORD_VARIABLE}) but no user")
    for part in (user, password):
        if part and "\0" in part:  # MQTT forbids it in a text
            raise ValueError("the user or the password holds a zero byte")
    return user, password


def _decoded(part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError as error:
        raise ValueError("a %xx in it is no UTF-8") from error


def _shown(url: str) -> str:
    """As it may be printed: up to the last @ may be a password, even in an address that is malformed."""
    return re.sub(r"//.*@", "//", printable(url))[:SHOWN]
