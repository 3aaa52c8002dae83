"""Words for a person: text from outside made fit for one line, and addresses without their secrets."""

from __future__ import annotations

import re

HIDDEN = "***"
_SECRETS = re.compile(
    r"((?:user(?:name)?|usr|login|account|pass(?:word|wd)?|pwd|[a-z_]*token|api_?key|key|auth|secret|sig(?:nature)?)=)"
    r"[^&#/]*",
    re.IGNORECASE,
)
_PLAIN_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:\d{1,5})?")


def shown_name(spec: str) -> str:
    """The name of a source as it may be shown and logged: one line, without user, password or key."""
    text = "".join(character if character.isprintable() else "?" for character in spec)
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


def first_line(error: BaseException, limit: int = 160) -> str:
    """The start of an error's message, as fits in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:limit]


def is_plain_name(name: str) -> bool:
    """True if the name can stand in one line of UTF-8 text, as labels and manifests need it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 or letter in "\u2028\u2029" for letter in name)
