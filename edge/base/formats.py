"""Files that outlive the Flora that wrote them: their formats, and dataclasses whose fields are more or fewer by now.

In:  what a file says of its format; a JSON object, from anywhere.
Out: the dataclass, with all that the file holds; one line on what this Flora does not know; the JSON object again.

A format is MAJOR, or "MAJOR.MINOR". The major number goes up when an older reader would misunderstand the file, the
minor one when there is more in it. A file that names no format is of the first.

A field that a file lacks takes the default that the dataclass states: the field's own, or that of `if_missing`, where
whoever writes must give one. One without either is needed. What is not known goes into `others`, and `plain` puts it
back at its place.
"""

from __future__ import annotations

import contextlib
import copy
import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from edge.base.text import printable

FIRST = 1
OTHERS = "others"
LONGEST_LIST = 160  # characters of the names in one line
LARGEST_WHOLE = 1 << 53  # whole numbers below are the same in every reader of JSON
LARGEST_NUMBER = 1e300  # no figure comes near it, and a whole number above it is no float

Record = TypeVar("Record")

_FORMAT = re.compile(r"(\d{1,9})(\.\d{1,9})?")
_MISSING = "if_missing"


@dataclass(frozen=True)
class Lasting:
    """A record in files that keeps what this Flora does not know of it: fields by name, as they were read."""

    others: dict[str, Any] = field(default_factory=dict, hash=False, repr=False, kw_only=True)


def if_missing(value: Any) -> dict[str, Any]:
    """Metadata of a field that whoever writes must give, and that is `value` where a file lacks it."""
    return {_MISSING: value}


def require_readable(found: Any, newest: int) -> None:
    """Raises ValueError, in one line, unless `found` is a format whose major number is at most `newest`."""
    major = _major(found)
    if major is None:
        raise ValueError(f"names the format {found!r:.20}, expected a number")
    if major > newest:
        raise ValueError(f"is of format {found!s:.20}, this Flora reads format {newest}; update Flora")


def read_fields(kind: type[Record], content: Any, **read: Any) -> Record:
    """Build `kind` from a JSON object, nested dataclasses too; `read` are fields that were read already.

    Raises ValueError, in one line, for a field without default that is missing, a value of another type, or no object.
    """
    if not isinstance(content, dict):
        raise ValueError(f"is {content!r:.60}, expected a JSON object")
    values, known = dict(read), _known(kind)  # type: ignore[arg-type]
    for name, (hint, stated) in known.items():
        if name in values:
            continue
        if name in content:
            values[name] = _value(name, hint, content[name])
        elif _MISSING in stated.metadata:
            values[name] = copy.copy(stated.metadata[_MISSING])
        elif stated.default is MISSING and stated.default_factory is MISSING:
            raise ValueError(f"{name} is missing")
    others = {name: value for name, value in content.items() if name not in known}
    return kind(**values, **({OTHERS: others} if others else {}))


def plain(record: Any) -> Any:
    """As `dataclasses.asdict`, with the fields of `others` at their places, as they were read."""
    if is_dataclass(record) and not isinstance(record, type):
        names = [one.name for one in fields(record) if one.name != OTHERS]
        return {name: plain(getattr(record, name)) for name in names} | getattr(record, OTHERS, {})
    if isinstance(record, Mapping):
        return {name: plain(value) for name, value in record.items()}
    if isinstance(record, list | tuple):
        return type(record)(map(plain, record))
    return record


def strange(record: Any, within: str = "") -> list[str]:
    """Names of the fields in `others`, of nested dataclasses too, as in "accuracy.f1"; each once."""
    if isinstance(record, tuple):
        return list(dict.fromkeys(name for one in record for name in strange(one, within)))
    if not is_dataclass(record):
        return []
    found = [within + name for name in getattr(record, OTHERS, {})]
    for name, (hint, _) in _known(type(record)).items():  # type: ignore[arg-type]
        if hint not in _KINDS:
            found += strange(getattr(record, name), f"{within}{name}.")
    return found


def remarks_on(where: object, record: Any) -> tuple[str, ...]:
    """What a person should hear of a record that was read from `where`: a line on fields that are not known, or none.

    A tuple of records is told of in one line.
    """
    return remark(where, strange(record))


def remark(where: object, names: Iterable[str]) -> tuple[str, ...]:
    """The same, of names that are not known."""
    listed = ", ".join(names)
    if not listed:
        return ()
    shown = printable(listed[:LONGEST_LIST])
    return (f"{where}: holds what this Flora does not know and leaves as it is: {shown}",)


def _major(found: Any) -> int | None:
    if isinstance(found, bool):
        return None
    text = _FORMAT.fullmatch(str(found)) if isinstance(found, int | float | str) else None
    return int(text[1]) if text else None


@cache
def _known(kind: type[Any]) -> dict[str, tuple[Any, Field[Any]]]:
    """Type and definition of each field by name, but for `others`."""
    hints = get_type_hints(kind)
    return {one.name: (hints[one.name], one) for one in fields(kind) if one.name != OTHERS}


def _value(name: str, hint: Any, value: Any) -> Any:
    """`value` of JSON as what `hint` says. Raises ValueError."""
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if is_dataclass(hint):
        try:
            return read_fields(kind, value)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
    if kind in (Union, types.UnionType):
        return _of_union(name, arguments, value)
    if kind in (tuple, list) and isinstance(value, list):
        return kind(_value(name, arguments[0], one) for one in value)
    if kind in (dict, Mapping) and isinstance(value, dict):
        return {key: _value(f"{name} {key!r:.40}", arguments[1], one) for key, one in value.items()}
    expected, fits = _KINDS.get(kind, ("a list" if kind in (tuple, list) else "a JSON object", lambda value: False))
    if not fits(value):
        raise ValueError(f"{name} is {value!r:.60}, expected {expected}")
    return float(value) if kind is float else value


def _of_union(name: str, kinds: tuple[Any, ...], value: Any) -> Any:
    """`value` as the first of `kinds` that it fits; what is said of one that fits none is said of the first."""
    for kind in kinds:
        with contextlib.suppress(ValueError):
            return _value(name, kind, value)
    return _value(name, kinds[0], value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


_KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    Any: ("a value", lambda value: True),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: _is_number(value) and isinstance(value, int) and abs(value) < LARGEST_WHOLE),
    float: ("a number", lambda value: _is_number(value) and abs(value) < LARGEST_NUMBER),
    str: ("text", lambda value: isinstance(value, str)),
    type(None): ("null", lambda value: value is None),
}
