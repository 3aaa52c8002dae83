"""Every path: what it answers, and what is refused in one line."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from edge.contract.event import NO_PICTURE, STARTED, Event
from edge.contract.health import NO_PICTURE as NO_PICTURE_STATE
from edge.contract.health import STARTING, STOPPED
from edge.contract.rejection import NOTHING_KNOWN, UNKNOWN
from edge.sinks.web.routes import LARGEST_BODY, PAGE
from tests.edge.fakes import LABELS, decision, frame
from tests.edge.sinks.web.serving import Served, health, served, with_evidence

STALL = Event(NO_PICTURE, 1.0, "no picture", {"seconds": 4.2, "reason": "rtsp://secret.example: timeout"})


@pytest.fixture
def run() -> Iterator[Served]:
    with served() as found:
        yield found


@pytest.fixture(scope="module")
def steady() -> Iterator[Served]:
    """One that tests only look at."""
    with served() as found:
        found.show()
        yield found


def test_the_page_brings_all_that_it_names_and_nothing_from_elsewhere(steady: Served) -> None:
    page = steady.ask("/").body.decode()
    assert "http" not in page.replace("http-equiv", "")
    for name in ("/page.css", "/icon.svg", "/main.js", *(f"/{path.name}" for path in PAGE.glob("*.js"))):
        assert steady.ask(name).status == 200, name
    scripts = "".join(path.read_text("utf-8") for path in PAGE.glob("*.js"))
    assert not [word for word in ("http:", "https:", "innerHTML", "eval(", "outerHTML") if word in scripts]


@pytest.mark.parametrize(
    ("name", "kind"), [("/", "text/html"), ("/main.js", "text/javascript"), ("/icon.svg", "image/svg+xml")]
)
def test_files_of_the_page_say_what_they_are(steady: Served, name: str, kind: str) -> None:
    assert steady.ask(name).headers["Content-Type"] == f"{kind}; charset=utf-8"


def test_the_state_holds_all_that_a_page_begins_with(run: Served) -> None:
    run.site.scene.tell(Event(STARTED, 1_800_000_000.0, "started", {"model": "flowers.tflite"}))
    run.show(decision((0.125, 0.75, 0.125)))
    state = run.ask("/api/state").json
    assert state["labels"] == list(LABELS)
    assert state["decision"]["top"] == [["roses", 0.75], ["daisy", 0.125], ["tulips", 0.125]]
    assert (state["decision"]["shown"], state["decision"]["unknown"], state["decision"]["evidence"]) == (
        "roses", False, False,
    )  # fmt: skip
    assert state["history"] == [[1_800_000_000, "roses", 0.75]]
    assert [(event["event"], event["text"]) for event in state["events"]] == [("started", "started")]
    assert (state["health"]["state"], state["stalled"], state["uncertain"]) == ("live", None, True)


def test_the_state_is_honest_about_unknown(run: Served) -> None:
    run.show(decision((0.25, 0.5, 0.25), threshold=0.9))
    found = run.ask("/api/state").json["decision"]
    assert (found["shown"], found["label"], found["unknown"]) == ("unknown", "roses", True)
    assert found["nearest"] == ["roses", 0.5]


def test_a_known_answer_has_none_nearest(run: Served) -> None:
    run.show(decision((0.25, 0.5, 0.25)))
    assert run.ask("/api/state").json["decision"]["nearest"] is None


def test_the_page_has_the_words_of_the_other_views(steady: Served) -> None:
    script = steady.ask("/parts.js").body.decode()
    assert dict(re.findall(r'const (\w+) = "([^"]+)";', script)) == {"UNKNOWN": UNKNOWN, "NOTHING_KNOWN": NOTHING_KNOWN}


def test_the_state_before_the_first_picture_has_no_decision(run: Served) -> None:
    assert run.ask("/api/state").json["decision"] is None


def test_a_probability_that_is_no_number_is_null(run: Served) -> None:
    run.show(decision((float("nan"), 0.5, float("inf"))))
    assert b"NaN" not in run.ask("/api/state").body


@pytest.mark.parametrize(
    ("query", "is_plain"), [("", False), ("?plain=1", True), ("?heat=1", False)], ids=["crop", "plain", "heat"]
)
def test_a_snapshot_is_the_newest_picture_whole(run: Served, query: str, is_plain: bool) -> None:
    run.show(with_evidence(decision(number=7)), frame(7, size_wh=(1600, 900)))
    reply = run.ask(f"/snapshot.jpg{query}")
    picture = cv2.imdecode(np.frombuffer(reply.body, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (900, 1600, 3)
    assert (abs(picture.astype(int) - 90).max() <= 2) == is_plain
    assert (reply.headers["X-Frame"], reply.headers["Content-Type"]) == ("7", "image/jpeg")


def test_there_is_no_snapshot_before_the_first_picture(run: Served) -> None:
    reply = run.ask("/snapshot.jpg")
    assert (reply.status, reply.error) == (503, "no picture yet")


def test_an_old_picture_is_no_snapshot(run: Served) -> None:
    run.show()
    run.site.scene.tell(STALL)
    reply = run.ask("/snapshot.jpg")
    assert (reply.status, reply.error) == (503, "no picture for 4 s")


@pytest.mark.parametrize("path", ["/snapshot.jpg?heat=1", "/stream.mjpg?heat=1"])
def test_a_heat_map_without_evidence_is_one_line(steady: Served, path: str) -> None:
    reply = steady.ask(path)
    assert reply.status == 404
    assert "flora export RUN --evidence" in reply.error


def test_healthz_is_well_while_pictures_come(run: Served) -> None:
    reply = run.ask("/healthz")
    assert (reply.status, reply.json) == (200, {"ok": True, "reason": None})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": STARTING}, "starting"),
        ({"state": STOPPED}, "stopped"),
        ({"state": NO_PICTURE_STATE, "reason": "rtsp://secret.example"}, "no picture"),
        ({"picture_age_s": 31.0}, "no answer for 31 s"),
    ],
    ids=["starting", "stopped", "no picture", "the loop hangs"],
)
def test_healthz_says_what_is_wrong_and_nothing_of_the_place(
    run: Served, change: dict[str, object], reason: str
) -> None:
    run.now[0] = health(**change)
    reply = run.ask("/healthz")
    assert (reply.status, reply.json) == (503, {"ok": False, "reason": reason})


def test_healthz_knows_at_once_that_the_picture_has_gone(run: Served) -> None:
    run.site.scene.tell(STALL)
    assert run.ask("/healthz").json["reason"] == "no picture for 4 s"


def test_a_run_that_is_slow_on_purpose_is_well(run: Served) -> None:
    run.now[0] = health(fps=0.02, picture_age_s=60.0)
    assert run.ask("/healthz").status == 200


def test_metrics_are_served_as_prometheus_expects(steady: Served) -> None:
    reply = steady.ask("/metrics")
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"flora_live 1.0\n" in reply.body


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/index.html",
        "/locked.html",
        "/page/",
        "/api",
        "/api/",
        "/..",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/main.js/..",
        "/main.js%00.html",
        "/%00",
        "/\\..\\..",
        "//etc/passwd",
        "/api/uncertain/../../../../etc/passwd.png",
        "/api/uncertain/..%2f..%2fetc%2fpasswd.png",
        "/api/uncertain/%2e%2e.png",
        "/api/uncertain/a%00b.png",
        "/api/uncertain/%0d%0aX-Evil:1.png",
        "/api/uncertain/" + "a" * 200 + ".png",
    ],
)
def test_a_path_that_is_none_is_not_found(steady: Served, path: str) -> None:
    reply = steady.ask(path)
    assert reply.status == 404
    assert "passwd" not in reply.error
    assert "X-Evil" not in reply.headers


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/", "GET,HEAD"), ("/api/state", "GET,HEAD"), ("/stream.mjpg", "GET"), ("/events", "GET"),
     ("/api/uncertain/x", "POST")],
)  # fmt: skip
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_a_method_that_a_path_does_not_have_is_refused(steady: Served, path: str, allowed: str, method: str) -> None:
    reply = steady.ask(path, method)
    assert (reply.status, reply.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/stream.mjpg", "/events"])
def test_asking_for_the_head_of_a_stream_does_not_hang(steady: Served, path: str) -> None:
    assert steady.ask(path, "HEAD").status == 405


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["long header", "long path", "TLS", "nonsense", "negative length", "two lengths"],
)
def test_what_is_no_request_is_refused_quietly(
    steady: Served, request_line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with steady.raw(request_line) as connection:
        assert b" 400 " in connection.recv(200)
    assert not caplog.records
    assert steady.ask("/healthz").status == 200


def test_a_request_without_a_host_is_refused(steady: Served) -> None:
    with steady.raw(b"GET /api/state HTTP/1.0\r\n\r\n") as connection:
        assert b" 403 " in connection.recv(200)


def test_a_body_that_is_too_long_is_refused(run: Served) -> None:
    name = next(iter(run.store.frames))
    reply = run.post(f"/api/uncertain/{name}", {"label": "a" * LARGEST_BODY})
    assert reply.status == 413
    assert not run.store.labelled


def test_a_body_that_says_it_is_endless_is_refused_before_it_comes(steady: Served) -> None:
    head = (
        b"POST /api/uncertain/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 99999999999\r\n\r\n" + b"x" * (LARGEST_BODY + 10)
    )
    with steady.raw(head) as connection:
        assert b" 413 " in connection.recv(200)


def test_closing_frees_the_port() -> None:
    with served() as found:
        port = found.port
    with socket.create_server(("127.0.0.1", port)):
        pass
