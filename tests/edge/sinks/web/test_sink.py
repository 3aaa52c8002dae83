"""The sink itself: it never holds the loop, and says in one line why it cannot be."""

from __future__ import annotations

import builtins
import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from edge.contract.event import STARTED, Event
from edge.contract.sink import NEWEST, Sink
from edge.errors import DependencyError, OutputError, UsageError
from edge.sinks.web.sink import WebSink
from tests.edge.fakes import LABELS, decision, frame, one_line
from tests.edge.sinks.web.serving import TOKEN, health


def _sink(address: str = "0", **options: Any) -> WebSink:
    return WebSink(address, health=health, labels=lambda: LABELS, **({"environ": {}} | options))


@pytest.fixture
def sink() -> Iterator[WebSink]:
    with contextlib.closing(_sink()) as found:
        yield found


def _status(port: int, path: str) -> int:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


def test_it_is_a_sink_of_the_newest_picture(sink: Sink) -> None:
    assert (sink.name, sink.backlog, sink.needs_picture) == ("web", NEWEST, True)


def test_what_is_shown_and_told_is_served(sink: WebSink) -> None:
    assert _status(sink.port, "/snapshot.jpg") == 503
    sink.tell(Event(STARTED, 1.0, "started"))
    sink.show(decision(), frame())
    assert _status(sink.port, "/snapshot.jpg") == 200


def test_on_this_machine_the_link_needs_no_token(sink: WebSink) -> None:
    assert sink.link == f"http://127.0.0.1:{sink.port}/"
    assert _status(sink.port, "/") == 200


def test_beyond_this_machine_a_token_is_made_and_the_link_carries_it() -> None:
    with contextlib.closing(_sink("0.0.0.0:0")) as sink:
        path, _, token = sink.link.partition("?token=")
        assert len(token) >= 32
        assert "0.0.0.0" not in path
        assert (_status(sink.port, "/"), _status(sink.port, f"/?token={token}")) == (401, 303)


@pytest.mark.parametrize("options", [{"token": TOKEN}, {"environ": {"FLORA_WEB_TOKEN": TOKEN}}], ids=["option", "env"])
def test_a_token_that_was_given_is_used_and_not_shown(options: dict[str, Any]) -> None:
    with contextlib.closing(_sink("0.0.0.0:0", **options)) as sink:
        assert TOKEN not in sink.link
        assert (_status(sink.port, "/"), _status(sink.port, f"/?token={TOKEN}")) == (401, 303)


@pytest.mark.parametrize("address", ["here", ":80", "99999"])
def test_a_wrong_address_is_one_line(address: str) -> None:
    with pytest.raises(UsageError, match="expected PORT or HOST:PORT") as caught:
        _sink(address)
    one_line(caught)


def test_a_weak_token_is_one_line_and_frees_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UsageError, match="expected 16 or more"):
        _sink(str(port), token="short")
    _sink(str(port)).close()


def test_a_taken_port_is_one_line(sink: WebSink) -> None:
    with pytest.raises(OutputError, match="the port is taken") as caught:
        _sink(str(sink.port))
    one_line(caught)


def test_without_aiohttp_the_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "edge.sinks.web.site":
            raise ModuleNotFoundError("No module named 'aiohttp'", name="aiohttp")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DependencyError, match=r"aiohttp is not installed; pip install 'flora-edge\[web\]'") as caught:
        _sink()
    one_line(caught)


def test_closing_twice_leaves_no_thread_and_no_port() -> None:
    before = set(threading.enumerate())
    sink = _sink()
    port = sink.port
    sink.show(decision(), frame())
    assert _status(port, "/snapshot.jpg") == 200
    sink.close()
    sink.close()
    with pytest.raises(OSError, match="refused"):
        _status(port, "/")
    for thread in set(threading.enumerate()) - before:
        thread.join(10)  # the one that draws may be at its last picture
        assert not thread.is_alive(), thread.name


def test_a_page_that_has_stopped_is_a_failure_of_the_output(sink: WebSink) -> None:
    sink.close()
    with pytest.raises(OutputError, match="the web page has stopped"):
        sink.show(decision(), frame())


def test_showing_draws_nothing_while_nobody_watches(sink: WebSink, monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(*_: object) -> bytes:
        raise AssertionError("nobody asked for this picture")

    monkeypatch.setattr("edge.sinks.web.pictures.shot_jpeg", encode)
    for number in range(1000):
        sink.show(decision(number=number), frame(number))
    assert _status(sink.port, "/api/state") == 200
