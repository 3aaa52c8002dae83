"""Streams of pictures and events, and viewers that do not behave."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from itertools import count, islice

import cv2
import numpy as np
import pytest

from edge.contract.event import NO_PICTURE, PICTURE_BACK, STARTED, STOPPED, Event
from edge.contract.frame import Frame
from edge.sinks.web.connections import Connections, Viewers
from edge.sinks.web.streams import message
from tests.edge.fakes import decision, frame
from tests.edge.sinks.web.serving import Served, end_of, messages, parts, served, until, with_evidence

STALL = Event(NO_PICTURE, 1.0, "no picture for 4 s", {"seconds": 4.0, "reason": "unplugged"})


@pytest.fixture
def run() -> Iterator[Served]:
    with served() as found:
        yield found


def _noisy(number: int) -> Frame:
    picture = np.random.default_rng(number).integers(0, 256, (480, 640, 3), np.uint8)
    return Frame(picture, number, 100.0, "camera 0")


class Camera:
    """Shows pictures from a thread of its own while a test looks."""

    def __init__(self, run: Served, *, is_noisy: bool = False) -> None:
        self._run, self._is_noisy = run, is_noisy
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _show(self) -> None:
        pictures = [_noisy(number) if self._is_noisy else frame(number, size_wh=(64, 48)) for number in range(3)]
        for number in count():
            if self._stop.wait(0.02):
                return
            self._run.show(with_evidence(decision(number=number)), pictures[number % 3])


def test_a_stream_sends_newer_and_newer_pictures(run: Served) -> None:
    with Camera(run), run.stream("/stream.mjpg") as answer:
        assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
        found = list(islice(parts(answer), 4))
    numbers = [int(head["X-Frame"]) for head, _ in found]
    assert numbers == sorted(set(numbers))
    assert all(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) is not None for _, jpeg in found)


def test_a_stream_of_heat_maps_looks_different(run: Served) -> None:
    run.show(with_evidence(decision()), frame(size_wh=(640, 480)))
    jpegs = []
    for path in ("/stream.mjpg", "/stream.mjpg?heat=1"):
        with run.stream(path) as answer:
            jpegs.append(next(parts(answer))[1])
    assert jpegs[0] != jpegs[1]


def test_a_stream_begins_with_the_newest_picture_and_waits_for_the_first(run: Served) -> None:
    with run.stream("/stream.mjpg") as answer:
        run.show(decision(number=5))
        assert next(parts(answer))[0]["X-Frame"] == "5"


def test_a_stream_without_a_picture_says_so_instead_of_standing_still(run: Served) -> None:
    run.show(decision(number=5))
    with run.stream("/stream.mjpg") as answer:
        found = parts(answer)
        next(found)
        run.site.scene.tell(STALL)
        assert "X-Frame" not in next(found)[0]
        run.show(decision(number=6))
        assert next(head for head, _ in found if "X-Frame" in head)["X-Frame"] == "6"


def test_the_end_of_the_run_ends_streams() -> None:
    with served() as run, run.stream("/stream.mjpg") as pictures, run.stream("/events") as news:
        run.show()
        next(parts(pictures))
        run.site.scene.tell(Event(STOPPED, 1.0, "stopped"))
        run.site.close()
        assert [record["text"] for kind, _, record in messages(news) if kind == "event"] == ["stopped"]
        pictures.read()


def test_events_tell_decisions_events_and_status(run: Served) -> None:
    run.site.scene.tell(Event(STARTED, 1.0, "started"))
    run.show(decision((0.125, 0.75, 0.125)))
    with run.stream("/events") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        found = {kind: (number, record) for kind, number, record in islice(messages(answer), 3)}
    assert found["event"][0] == f"{run.site.scene.boot}-1" == found["event"][1]["id"]
    assert found["decision"][1]["shown"] == "roses"
    assert found["status"][1]["health"]["state"] == "live"


def test_a_missing_picture_is_told_at_once_and_so_is_its_return(run: Served) -> None:
    run.show()
    with run.stream("/events") as answer:
        found = messages(answer)
        assert next(record for kind, _, record in found if kind == "status")["stalled"] is None
        run.site.scene.tell(STALL)
        stalled = next(record for kind, _, record in found if kind == "status")["stalled"]
        assert (stalled["seconds"] >= 4.0, stalled["reason"]) == (True, "unplugged")
        run.site.scene.tell(Event(PICTURE_BACK, 2.0, "picture back"))
        assert next(record for kind, _, record in found if kind == "status")["stalled"] is None


@pytest.mark.parametrize("way", ["header", "query"])
def test_a_client_that_comes_back_gets_the_events_that_it_missed(run: Served, way: str) -> None:
    for text in ("one", "two", "three"):
        run.site.scene.tell(Event(STARTED, 1.0, text))
    seen = f"{run.site.scene.boot}-1"
    query, headers = (f"?after={seen}", {}) if way == "query" else ("", {"Last_Event_ID": seen})
    with run.stream(f"/events{query}", **headers) as answer:
        found = [record["text"] for kind, _, record in islice(messages(answer), 3) if kind == "event"]
    assert found == ["two", "three"]


def test_a_client_of_the_run_before_gets_all_events(run: Served) -> None:
    run.site.scene.tell(Event(STARTED, 1.0, "one"))
    with run.stream("/events", Last_Event_ID="0123abcd-77") as answer:
        assert next(messages(answer))[2]["text"] == "one"


def test_a_message_is_one_line_whatever_the_text() -> None:
    text = message("event", {"text": "a\nb\r\nevent: evil\n\ndata: x\u2028"}, "x-1")
    assert text.count("\n") == 4
    assert text.isascii()


def test_a_viewer_that_never_reads_is_dropped_and_holds_nobody() -> None:
    viewers = Viewers(write_s=0.3)
    with served(viewers=lambda: viewers) as run, Camera(run, is_noisy=True):
        request = b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with run.raw(request, 4096) as stalled, run.stream("/stream.mjpg") as answer:
            good = parts(answer)
            while not viewers.dropped:
                next(good)
            until(lambda: viewers.open == 1, "only the good viewer is left")
            assert len(list(islice(good, 3))) == 3
            end_of(stalled)
        assert run.site.is_alive


def test_a_viewer_that_leaves_is_no_longer_counted() -> None:
    viewers = Viewers()
    with served(viewers=lambda: viewers) as run, Camera(run):
        with run.stream("/stream.mjpg") as answer, run.stream("/events") as news:
            next(parts(answer))
            next(messages(news))
            assert viewers.open == 2
        until(lambda: viewers.open == 0, "both have left")
        assert viewers.dropped == 0


def test_there_are_only_so_many_viewers_and_the_next_is_told() -> None:
    with served(viewers=lambda: Viewers(most=1)) as run:
        run.show()
        with run.stream("/stream.mjpg") as answer:
            next(parts(answer))
            reply = run.ask("/events")
            assert (reply.status, reply.error) == (503, "1 viewers are connected; close one and try again")
            assert run.ask("/healthz").status == 200


@pytest.mark.parametrize(
    "content",
    [b"", b"GET /api/state HTTP/1.1\r\nHost: loc", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he"],
    ids=["says nothing", "half a request", "half a second request"],
)
def test_a_connection_that_brings_no_whole_request_is_cut(content: bytes) -> None:
    with served(connections=lambda: Connections(idle_s=0.2, sweep_s=0.05)) as run, run.raw(content) as connection:
        assert end_of(connection).count(b"HTTP/1.1") == content.count(b"\r\n\r\n")


def test_a_request_whose_body_never_comes_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sinks.web.labelling.BODY_S", 0.1)
    head = b"POST /api/uncertain/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with served() as run, run.raw(head + b"Content-Length: 9\r\n\r\n") as connection:
        assert b" 408 " in connection.recv(200)


def test_a_stream_outlives_the_limit_on_idleness() -> None:
    brief = Connections(idle_s=0.1, sweep_s=0.02)
    with served(connections=lambda: brief) as run, Camera(run), run.stream("/stream.mjpg") as answer:
        assert len(list(islice(parts(answer), 8))) == 8


def test_there_are_only_so_many_connections() -> None:
    with served(connections=lambda: Connections(most=3)) as run:
        with contextlib.ExitStack() as opened:
            for _ in range(3):
                opened.enter_context(run.raw(b""))
            one_more = opened.enter_context(run.raw(b""))
            assert end_of(one_more) == b""
        until(lambda: _is_served(run), "there is room again")


def _is_served(run: Served) -> bool:
    try:
        return run.ask("/healthz").status == 200
    except OSError:
        return False
