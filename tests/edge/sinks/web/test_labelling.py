"""Labelling over HTTP: what moves a frame, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from edge.errors import OutputError
from tests.edge.fakes import LABELS
from tests.edge.sinks.web.serving import PNG, Served, served

NAME = "20261123T065000123Z"
PATH = f"/api/uncertain/{NAME}"


@pytest.fixture
def run() -> Iterator[Served]:
    with served() as found:
        yield found


def test_waiting_frames_are_listed_with_their_answers_and_the_labels_to_choose_from(run: Served) -> None:
    found = run.ask("/api/uncertain").json
    assert [one["name"] for one in found["waiting"]] == list(run.store.frames)
    assert found["waiting"][0]["answers"] == [["roses", 0.5], ["tulips", 0.25]]
    assert found["labels"] == list(LABELS)


def test_a_frame_is_sent_as_it_is(run: Served) -> None:
    reply = run.ask(f"{PATH}.png")
    assert (reply.body, reply.headers["Content-Type"]) == (PNG, "image/png")


def test_a_label_and_a_discard_reach_the_store(run: Served) -> None:
    assert run.post(PATH, {"label": "roses"}).json == {"labelled": NAME, "label": "roses"}
    assert run.store.labelled == [(NAME, "roses")]
    other = next(iter(run.store.frames))
    assert run.post(f"/api/uncertain/{other}", {"discard": True}).json == {"discarded": other}
    assert run.store.discarded == [other]


def test_none_of_these_reaches_the_store_though_the_model_has_no_such_class(run: Served) -> None:
    assert run.post(PATH, {"label": "unknown"}).json == {"labelled": NAME, "label": "unknown"}
    assert run.store.labelled == [(NAME, "unknown")]
    assert run.ask("/api/uncertain").json["labels"] == list(LABELS)


def test_a_frame_that_somebody_else_has_labelled_is_one_line(run: Served) -> None:
    run.post(PATH, {"label": "roses"})
    assert "no such one is waiting" in run.post(PATH, {"label": "tulips"}).error
    assert run.ask(f"{PATH}.png").status == 404


@pytest.mark.parametrize(
    "record",
    [{}, [], "roses", None, 3, {"label": "unicorn"}, {"label": "../roses"}, {"label": ""}, {"label": None},
     {"label": ["roses"]}, {"discard": False}, {"discard": 1}, {"label": "roses", "discard": True},
     {"label": "roses", "name": "x"}, {"label": "Roses"}],
    ids=json.dumps,
)  # fmt: skip
def test_what_is_neither_a_label_nor_a_discard_is_refused(run: Served, record: object) -> None:
    reply = run.post(PATH, record)
    assert (reply.status, "expected" in reply.error) == (400, True)
    assert not run.store.labelled
    assert not run.store.discarded


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 3000, b'{"label": "roses"', b"label=roses"], ids=lambda body: repr(body[:9])
)
def test_what_is_no_json_is_refused(run: Served, body: bytes) -> None:
    reply = run.ask(PATH, "POST", headers={"Content-Type": "application/json"}, body=body)
    assert (reply.status, "not JSON" in reply.error) == (400, True)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_form_of_another_site_could_send_is_refused(run: Served, kind: str) -> None:
    reply = run.ask(PATH, "POST", headers={"Content-Type": kind}, body=b'{"label": "roses"}')
    assert reply.status == 415
    assert not run.store.labelled


@pytest.mark.parametrize("headers", [{}, {"Sec_Fetch_Site": "same-origin"}], ids=["a program", "the page"])
def test_the_page_itself_and_programs_may_write(run: Served, headers: dict[str, str]) -> None:
    own = {"Origin": f"http://127.0.0.1:{run.port}"} if headers else {}
    assert run.post(PATH, {"label": "roses"}, **headers, **own).status == 200


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "a%2fb", "%2e%2e%2f%2e%2e", "a b", "x" * 200, "nowhere"])
def test_a_name_that_is_none_moves_nothing(run: Served, name: str) -> None:
    assert run.post(f"/api/uncertain/{name.replace(' ', '%20')}", {"discard": True}).status in (400, 404, 405)
    assert len(run.store.frames) == 2


def test_a_full_disk_is_told_and_the_frame_stays(run: Served) -> None:
    run.store.problem = OutputError("labelled/roses: cannot be written (No space left on device); free some space")
    reply = run.post(PATH, {"label": "roses"})
    assert (reply.status, "free some space" in reply.error) == (507, True)
    assert NAME in run.store.frames


def test_without_a_store_there_is_nothing_to_label() -> None:
    with served(has_store=False) as found:
        assert "--keep-uncertain DIR" in found.ask("/api/uncertain").error
        assert found.post(PATH, {"discard": True}).status == 404
        assert found.ask("/api/state").json["uncertain"] is False
