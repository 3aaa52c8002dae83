"""Where the page is served."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from edge.errors import OutputError, UsageError
from edge.sinks.web.address import PageAddress, bound_port, is_loopback, listen, reachable_host
from tests.edge.fakes import one_line


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("8000", "127.0.0.1", 8000),
        ("0.0.0.0:80", "0.0.0.0", 80),
        ("pi.local:8000", "pi.local", 8000),
        ("[::1]:8000", "::1", 8000),
        ("localhost:0", "localhost", 0),
    ],
)
def test_an_address_is_a_port_or_a_host_with_a_port(text: str, host: str, port: int) -> None:
    assert PageAddress.parse(text) == PageAddress(host, port)


@pytest.mark.parametrize(
    "text",
    ["", ":8000", "host", "65536", "-1", "::1:8000", "[::1]", "1.2.3.4:", "http://localhost:80", "a b:80", "8000/x",
     "host:80\n", "٨٠"],
)  # fmt: skip
def test_what_is_no_address_is_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="expected PORT or HOST:PORT") as caught:
        PageAddress.parse(text)
    if "\n" not in text:
        one_line(caught)


def test_ipv6_addresses_are_shown_in_brackets() -> None:
    assert str(PageAddress("::1", 8000)) == "[::1]:8000"


def test_a_port_alone_is_for_this_machine_only() -> None:
    with _listening("0") as sockets:
        assert is_loopback(sockets)
        assert bound_port(sockets) > 0


def test_all_addresses_are_more_than_this_machine() -> None:
    with _listening("0.0.0.0:0") as sockets:
        assert not is_loopback(sockets)


def test_every_address_of_a_name_has_the_same_port() -> None:
    with _listening("localhost:0") as sockets:
        assert len({bound.getsockname()[1] for bound in sockets}) == 1
        assert is_loopback(sockets)


def test_a_taken_port_is_one_line() -> None:
    with _listening("0") as sockets, pytest.raises(OutputError, match="the port is taken; choose another") as caught:
        listen(PageAddress("127.0.0.1", bound_port(sockets)))
    one_line(caught)


def test_an_address_of_another_machine_is_one_line() -> None:
    with pytest.raises(OutputError, match="this machine does not have that address") as caught:
        listen(PageAddress("192.0.2.1", 0))
    one_line(caught)


def test_a_name_that_no_host_has_is_one_line() -> None:
    with pytest.raises(OutputError, match="no such host") as caught:
        listen(PageAddress("no-such-host.invalid", 0))
    one_line(caught)


def test_others_are_not_told_to_open_an_address_that_means_all() -> None:
    assert reachable_host(PageAddress("0.0.0.0", 80)) != "0.0.0.0"
    assert reachable_host(PageAddress("pi.local", 80)) == "pi.local"


@contextlib.contextmanager
def _listening(text: str) -> Iterator[list[socket.socket]]:
    sockets = listen(PageAddress.parse(text))
    try:
        yield sockets
    finally:
        for bound in sockets:
            bound.close()
