"""Who may see the page: tokens, names, origins; each abuse refused."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator, Mapping

import pytest

from edge.errors import UsageError
from edge.sinks.web.access import HEADERS, chosen_token, cookie_value, header_token, is_same, token_query
from tests.edge.fakes import one_line
from tests.edge.sinks.web.serving import TOKEN, Reply, Served, served

GUARDED = (
    "/",
    "/main.js",
    "/api/state",
    "/api/uncertain",
    "/snapshot.jpg",
    "/stream.mjpg",
    "/events",
    "/metrics",
    "/x",
)
PUBLIC = ("/healthz", "/page.css", "/icon.svg")


@pytest.fixture(scope="module")
def locked() -> Iterator[Served]:
    with served(token=TOKEN) as found:
        found.show()
        yield found


@pytest.fixture(scope="module")
def unlocked() -> Iterator[Served]:
    with served() as found:
        found.show()
        yield found


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _cookie(reply: Reply) -> str:
    return reply.headers["Set-Cookie"].partition(";")[0]


@pytest.mark.parametrize("path", GUARDED)
def test_without_the_token_nothing_is_shown_not_even_what_exists(locked: Served, path: str) -> None:
    reply = locked.ask(path)
    assert reply.status == 401
    assert "a token is needed" in reply.error


@pytest.mark.parametrize("path", PUBLIC)
def test_what_says_nothing_of_the_place_needs_no_token(locked: Served, path: str) -> None:
    assert locked.ask(path).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Digest {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Basic not-base-64!"},
        {"Authorization": _basic(TOKEN, "")},
        {"Authorization": _basic("flora", "wrong")},
        {"Authorization": "Bearer \xff\xfe"},
        {"Cookie": f"flora={TOKEN}"},
        {"Cookie": "flora-PORT=wrong"},
        {"Cookie": f"flora-PORT={TOKEN}"},
        {"X-Token": TOKEN},
    ],
    ids=str,
)
def test_a_wrong_token_is_refused_wherever_it_stands(locked: Served, headers: Mapping[str, str]) -> None:
    named = {name: text.replace("PORT", str(locked.port)) for name, text in headers.items()}
    assert locked.ask("/api/state", headers=named).status == 401


@pytest.mark.parametrize("query", ["?token=", "?token=wrong", f"?token={TOKEN}x", "?token=%00", "?token=%ff%fe"])
def test_a_wrong_token_in_the_link_is_refused_and_sets_no_cookie(locked: Served, query: str) -> None:
    reply = locked.ask(f"/{query}")
    assert reply.status == 401
    assert "Set-Cookie" not in reply.headers


def test_the_token_in_the_address_counts_on_the_page_alone(locked: Served) -> None:
    assert locked.ask(f"/api/state{token_query(TOKEN)}").status == 401


@pytest.mark.parametrize(
    "header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", _basic("flora", TOKEN), _basic("", TOKEN)], ids=str
)
def test_the_token_opens_every_path_as_a_header(locked: Served, header: str) -> None:
    assert locked.ask("/api/state", headers={"Authorization": header}).status == 200


def test_the_link_sets_a_cookie_and_goes_on_without_the_token(locked: Served) -> None:
    reply = locked.ask(f"/{token_query(TOKEN)}")
    assert (reply.status, reply.headers["Location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(reply.headers["Set-Cookie"].split("; "))
    assert TOKEN not in str(reply.headers)
    assert locked.ask("/", headers={"Cookie": _cookie(reply)}).status == 200


def test_the_cookie_of_another_token_opens_nothing(locked: Served) -> None:
    other = f"flora-{locked.port}={cookie_value('another-token-of-the-tests')}"
    assert locked.ask("/", headers={"Cookie": other}).status == 401


def test_a_browser_without_the_token_is_asked_for_it(locked: Served) -> None:
    reply = locked.ask("/", headers={"Accept": "text/html,*/*"})
    assert reply.status == 401
    assert b'name="token"' in reply.body
    assert "form-action 'self'" in reply.headers["Content-Security-Policy"]


def test_tokens_are_compared_in_constant_time(locked: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        lengths.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    locked.ask("/?token=x")
    locked.ask("/", headers={"Authorization": "Bearer " + "x" * 500})
    locked.ask("/", headers={"Cookie": f"flora-{locked.port}=x"})
    assert lengths == [(32, 32)] * 3  # digests: not even the length of the token shows


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9000", "[::1]:8000"])
def test_this_machine_may_use_its_own_names_through_any_tunnel(unlocked: Served, host: str) -> None:
    assert unlocked.ask("/api/state", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.2", "",
     "localhost@evil.example", "[::1", "0.0.0.0", "localhost."],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/healthz", "/stream.mjpg"])
def test_a_foreign_name_that_points_here_is_refused(unlocked: Served, host: str, path: str) -> None:
    reply = unlocked.ask(path, headers={"Host": host})
    assert reply.status == 403
    assert "not one of this machine's" in reply.error


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://[broken"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
def test_a_write_from_another_site_is_refused(unlocked: Served, headers: dict[str, str]) -> None:
    reply = unlocked.post("/api/uncertain/20261123T065000123Z", {"discard": True}, **headers)
    assert reply.status == 403
    assert "another site" in reply.error
    assert not unlocked.store.discarded


def test_every_answer_forbids_what_the_page_does_not_need(unlocked: Served) -> None:
    for path in ("/", "/main.js", "/api/state", "/nowhere", "/snapshot.jpg"):
        assert HEADERS.items() <= unlocked.ask(path).headers.items()
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy


def test_a_token_is_made_only_where_others_could_look_in() -> None:
    assert chosen_token(None, {}, is_open=False) == (None, False)
    (one, is_made), (other, _) = (chosen_token(None, {}, is_open=True) for _ in range(2))
    assert is_made
    assert one != other
    assert len(str(one)) >= 32


def test_a_token_that_was_given_is_kept_also_for_this_machine_alone() -> None:
    assert chosen_token(TOKEN, {"FLORA_WEB_TOKEN": "another-token-of-tests"}, is_open=False) == (TOKEN, False)
    assert chosen_token(None, {"FLORA_WEB_TOKEN": TOKEN}, is_open=True) == (TOKEN, False)


@pytest.mark.parametrize("token", ["", "short", "fifteen-letters", "with spaces in between", "schlüssel-für-blumen"])
def test_a_token_that_could_be_guessed_or_sent_wrongly_is_one_line_without_it(token: str) -> None:
    with pytest.raises(UsageError, match="expected 16 or more printable ones") as caught:
        chosen_token(token, {}, is_open=True)
    assert token == "" or token not in one_line(caught)


def test_equality_takes_any_text() -> None:
    assert is_same("ü\udcff", "ü\udcff")
    assert not is_same("", TOKEN)


def test_a_password_may_hold_colons() -> None:
    assert header_token(_basic("flora", "a:b")) == "a:b"
