"""Text from outside stays in its line and steers no terminal; an address keeps its secrets to itself."""

from __future__ import annotations

import pytest

from edge.base.text import aligned, escaped, first_line, is_plain_name, one_line, printable, seconds_of, shown_name


@pytest.mark.parametrize(
    ("text", "seen", "written"),
    [
        ("Röschen 2.jpg", "Röschen 2.jpg", "Röschen 2.jpg"),
        ("\x1b[2Jroses\n", "?[2Jroses?", r"\x1b[2Jroses\n"),
        ("a\\b\u202egpj", "a\\b?gpj", r"a\b\u202egpj"),
        ("ros\udce9.jpg", "ros?.jpg", r"ros\udce9.jpg"),
    ],
    ids=["plain", "escape", "right to left", "no UTF-8"],
)
def test_what_cannot_be_printed_is_marked_or_written_out(text: str, seen: str, written: str) -> None:
    assert (printable(text), escaped(text)) == (seen, written)


def test_all_of_a_text_in_one_line() -> None:
    assert one_line("  two\n lines \x1b[2J ", 100) == "two lines ?[2J"
    assert one_line("long" * 100, 6) == "longlo"


def test_of_an_error_its_first_line() -> None:
    assert first_line(ValueError("\n one\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
    assert first_line("said elsewhere\n" * 2, limit=4) == "said"


@pytest.mark.parametrize(
    ("name", "is_plain"),
    [("Röschen", True), ("a b", True), ("a\nb", False), ("\x85", False), ("a\u2028b", False), ("\udce9", False)],
    ids=ascii,
)
def test_a_name_is_plain_that_can_stand_in_a_line_of_a_file(name: str, is_plain: bool) -> None:
    assert is_plain_name(name) is is_plain


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1.5h", 5400), ("0s", 0), ("", None), ("10", None), ("m", None), ("-5m", None),
     ("10 m", None), ("1d", None), ("1e3s", None), ("nan", None), ("\u0663s", None), ("5m\n", None)],
)  # fmt: skip
def test_a_time_is_read_as_it_is_typed(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("http://cam/x", "http://cam/x"),
        ("clips/me@home.mp4", "clips/me@home.mp4"),
        ("rtsp://me:secret@cam:554/live", "rtsp://cam:554/live"),
        ("rtsp://me:se@cret@cam:554/live?a=b@c", "rtsp://cam:554/live?a=b@c"),
        ("rtsp://me:se/cret@cam:554/live", "rtsp://cam:554/live"),
        ("rtsp://me:se#cret@cam/live", "rtsp://cam/live"),
        ("rtsp://me:se?cret@cam/live", "rtsp://cam/live"),
        ("rtsp://me@cam/live", "rtsp://cam/live"),
        ("http://cam/x?user=me&pwd=secret&size=2", "http://cam/x?user=***&pwd=***&size=2"),
        ("http://cam/x?access_token=secret", "http://cam/x?access_token=***"),
        ("rtsp://cam/user=me&password=secret&channel=1.sdp", "rtsp://cam/user=***&password=***&channel=1.sdp"),
        ("rtsp://cam/user=me_password=secret_channel=1", "rtsp://cam/user=***"),
        ("two\nlines\x1b[2J.mp4", "two?lines?[2J.mp4"),
    ],
)
def test_a_name_is_shown_in_one_line_without_its_secrets(spec: str, shown: str) -> None:
    assert shown_name(spec) == shown


def test_columns_line_up() -> None:
    assert aligned([("name", "n"), ("a rose", "12"), ("b", "")]) == ["  name    n", "  a rose  12", "  b"]
