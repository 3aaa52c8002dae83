"""The link over paho-mqtt, against a server in this process that speaks just enough MQTT."""

from __future__ import annotations

import queue
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edge.sinks.mqtt.address import BrokerAddress
from edge.sinks.mqtt.link import PahoLink
from edge.sinks.mqtt.message import Message
from tests.edge.sinks.mqtt.fakes import join_links

pytest.importorskip("paho.mqtt.client")

WAIT_S = 10.0  # at most; what is waited for comes within milliseconds
CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, DISCONNECT = 0x10, 0x20, 0x30, 0x40, 0x80, 0xE0
WELCOME, NOT_AUTHORISED = b"\x20\x02\x00\x00", b"\x20\x02\x00\x05"
WILL = Message("t/availability", b"offline", qos=1, is_retained=True)


class Server:
    """Accepts one connection at a time, when asked to."""

    def __init__(self) -> None:
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(WAIT_S)
        self.port: int = self._listener.getsockname()[1]

    def accept(self, answer: bytes = WELCOME) -> tuple[socket.socket, bytes]:
        """The connection, and the CONNECT packet that it began with."""
        connection = self.accept_silently()
        first = packet(connection)
        assert first[0] == CONNECT
        connection.sendall(answer)
        return connection, first

    def accept_silently(self) -> socket.socket:
        connection, _ = self._listener.accept()
        connection.settimeout(WAIT_S)
        self._connections.append(connection)
        return connection

    def close(self) -> None:
        for each in (self._listener, *self._connections):
            each.close()


def packet(connection: socket.socket) -> bytes:
    """The next packet, its length byte left out; short ones only."""
    kind, length = exactly(connection, 2)
    assert length < 128
    return bytes([kind]) + exactly(connection, length)


def exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        assert part, "the link has closed the connection"
        found += part
    return found


class Calls:
    """What the link called back with."""

    def __init__(self, link: PahoLink) -> None:
        self._calls: queue.Queue[tuple[Any, ...]] = queue.Queue()
        link.on_up = lambda: self._calls.put(("up",))
        link.on_down = lambda reason: self._calls.put(("down", reason))
        link.on_sent = lambda number: self._calls.put(("sent", number))
        link.on_message = lambda payload: self._calls.put(("message", payload))

    def next(self) -> tuple[Any, ...]:
        return self._calls.get(timeout=WAIT_S)

    def made(self) -> list[tuple[Any, ...]]:
        """Those so far."""
        return [self._calls.get_nowait() for _ in range(self._calls.qsize())]


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


Connect = Callable[..., tuple[PahoLink, Calls]]


@pytest.fixture
def connect(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Opens links, which try again at once; closes them at the end."""
    monkeypatch.setattr("edge.sinks.mqtt.link.FIRST_RETRY_S", 0.01)
    monkeypatch.setattr("edge.sinks.mqtt.link.LONGEST_RETRY_S", 0.01)
    links: list[PahoLink] = []

    def start(**options: Any) -> tuple[PahoLink, Calls]:
        where = {"host": "127.0.0.1", "port": server.port, "prefix": "t", **options}
        link = PahoLink(BrokerAddress(**where), "me", WILL)
        links.append(link)
        calls = Calls(link)
        link.open()
        return link, calls

    yield start
    for link in links:
        link.close(0)
    join_links("me", WAIT_S)


def test_it_says_who_it_is_and_leaves_its_last_will(server: Server, connect: Connect) -> None:
    _, calls = connect(user="somebody", password="hidden")
    _, first = server.accept()
    assert calls.next() == ("up",)
    for part in (b"\x00\x04MQTT\x04", b"\x00\x02me", b"t/availability", b"offline", b"somebody", b"hidden"):
        assert part in first
    flags = first[8]
    assert flags == 0b11101110  # user, password, the will retained, at QoS 1, a will, a clean session


def test_a_message_is_sent_and_its_confirmation_told(server: Server, connect: Connect) -> None:
    link, calls = connect()
    connection, _ = server.accept()
    calls.next()
    number = link.publish(Message("t/event", b"{}", qos=1))
    assert number is not None
    assert packet(connection) == b"\x32\x00\x07t/event" + number.to_bytes(2, "big") + b"{}"
    connection.sendall(b"\x40\x02" + number.to_bytes(2, "big"))
    assert calls.next() == ("sent", number)


def test_a_retained_message_says_so(server: Server, connect: Connect) -> None:
    link, calls = connect()
    connection, _ = server.accept()
    calls.next()
    assert link.publish(Message("t/state", b"{}", is_retained=True)) is not None
    assert packet(connection) == b"\x31\x00\x07t/state{}"


def test_what_is_unconfirmed_when_the_connection_breaks_is_sent_again(server: Server, connect: Connect) -> None:
    link, calls = connect()
    connection, _ = server.accept()
    calls.next()
    link.publish(Message("t/event", b"1", qos=1))
    first = packet(connection)
    connection.close()
    assert calls.next()[0] == "down"
    again, _ = server.accept()
    assert packet(again) == bytes([first[0] | 0b1000]) + first[1:]  # marked as a duplicate


def test_without_a_connection_only_what_is_to_be_confirmed_is_taken() -> None:
    link = PahoLink(BrokerAddress("127.0.0.1", 1, "t"), "me", WILL)
    assert link.publish(Message("t/state", b"{}")) is None
    assert link.publish(Message("t/event", b"{}", qos=1)) is not None


def test_what_it_subscribed_to_arrives_as_bytes(server: Server, connect: Connect) -> None:
    link, calls = connect()
    connection, _ = server.accept()
    calls.next()
    link.subscribe("homeassistant/status")
    asked = packet(connection)
    assert asked[0] == SUBSCRIBE | 0b10
    assert asked.endswith(b"homeassistant/status\x01")
    connection.sendall(b"\x30\x09\x00\x01\xff\x00\xfe\xff\r\n\x1b")  # its topic is no UTF-8
    assert calls.next() == ("message", b"\x00\xfe\xff\r\n\x1b")


def test_a_broker_that_refuses_is_told(server: Server, connect: Connect) -> None:
    _, calls = connect()
    server.accept(NOT_AUTHORISED)
    assert calls.next() == ("down", "the broker refuses the connection (Not authorized); check user and password")
    server.accept()
    while calls.next()[0] == "down":
        pass


def test_no_broker_at_all_is_told_with_the_systems_reason(server: Server, connect: Connect) -> None:
    server.close()
    _, calls = connect()
    reason = "no broker answers (Connection refused); check that it runs, its address and its port"
    assert calls.next() == ("down", reason)


# paho-mqtt leaves it to Python to close a socket whose handshake failed; Python does so at once, but warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_server_without_tls_is_told(server: Server, connect: Connect) -> None:
    _, calls = connect(is_tls=True)
    server.accept_silently().sendall(WELCOME * 2)  # enough to see that it is no TLS
    kind, reason = calls.next()
    assert kind == "down"
    assert "SSL" in reason


@pytest.mark.parametrize("seed", range(20))
def test_garbage_from_the_broker_ends_the_connection_and_not_the_link(
    seed: int, server: Server, connect: Connect
) -> None:
    _, calls = connect()
    connection, _ = server.accept()
    assert calls.next() == ("up",)
    generator = random.Random(seed)
    garbage = b""
    for _ in range(10):
        kind = generator.choice([PUBLISH, PUBACK, CONNACK, SUBSCRIBE, generator.randrange(256)])
        length = generator.randrange(9)
        garbage += bytes([kind, length]) + generator.randbytes(length)
    connection.sendall(garbage)
    connection.close()
    server.accept()
    found = calls.next()
    while found != ("up",):
        assert found[0] in {"down", "message", "sent"}
        found = calls.next()


def test_goodbye_is_said_so_that_the_broker_keeps_the_will(server: Server, connect: Connect) -> None:
    link, calls = connect()
    connection, _ = server.accept()
    calls.next()
    link.close(WAIT_S)
    assert [call[0] for call in calls.made()] == ["down"]
    assert packet(connection) == bytes([DISCONNECT])


def test_a_link_without_a_connection_closes_at_once() -> None:
    link = PahoLink(BrokerAddress("127.0.0.1", 1, "t"), "me", WILL)
    link.close(WAIT_S)
