"""Words of a person and for one: text from outside made fit for one line, addresses without their secrets, times.

In:  names of files, labels and messages from elsewhere, which may hold line breaks and what steers a terminal.
Out: text that stays in its line. What cannot be printed is a "?" (`printable`) where the text is for the eye, and
     written out as \\x1b (`escaped`) where a person may look for the thing by its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

HIDDEN = "***"
_UNITS_S = {"s": 1, "m": 60, "h": 3600}
_SECRETS = re.compile(
    r"((?:user(?:name)?|usr|login|account|pass(?:word|wd)?|pwd|[a-z_]*token|api_?key|key|auth|secret|sig(?:nature)?)=)"
    r"[^&#/]*",
    re.IGNORECASE,
)
_PLAIN_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:\d{1,5})?")


def printable(text: str) -> str:
    """`text` with a "?" for each character that cannot be printed, so that it cannot steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def escaped(text: str) -> str:
    """`text` with what cannot be printed written out: a line break is \\n, a byte that is no UTF-8 is \\udce9."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def one_line(text: str, limit: int) -> str:
    """All of `text` in one printable line, at most `limit` characters of it."""
    return printable(" ".join(text.split()))[:limit]


def shown_name(spec: str) -> str:
    """The name of a source as it may be shown and logged: one line, without user, password or key."""
    text = printable(spec)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    return scheme + separator + _SECRETS.sub(rf"\g<1>{HIDDEN}", _without_user(rest))


def _without_user(rest: str) -> str:
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if "@" in authority:
        return rest[authority.rindex("@") + 1 :]
    if _PLAIN_AUTHORITY.fullmatch(authority):
        return rest
    return rest.rpartition("@")[2]  # a password with a slash in it ends what looks like the host


def first_line(error: BaseException | str, limit: int = 160) -> str:
    """The start of an error's message, as fits in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:limit]


def seconds_of(text: str) -> float | None:
    """Seconds of "90s", "10m" or "2h"; None for what is no such time."""
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smh])", text)
    return float(found[1]) * _UNITS_S[found[2]] if found else None


def is_plain_name(name: str) -> bool:
    """True if the name can stand in one line of UTF-8 text, as labels and manifests need it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 or letter in "\u2028\u2029" for letter in name)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line each, indented by two, the cells of a column one below the other; all rows have as many."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
