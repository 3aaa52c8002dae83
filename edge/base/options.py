"""One definition per option: a frozen dataclass field gives the default, the help text and the reader.

    @dataclass(frozen=True)
    class TrainConfig:
        epochs: int = option(12, "epochs of fine-tuning")

`add_options` turns the fields into command-line options, `read_options` turns what was typed back into the dataclass,
and `typed_options` the dataclass into what is to be typed. The option is called as its field, but where `flag` says
otherwise: a field carries its unit, an option need not.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar, get_args, get_type_hints

Config = TypeVar("Config")


def option(
    default: Any,
    help: str,
    *,
    choices: Collection[str] | None = None,
    metavar: str | None = None,
    flag: str | None = None,
    read: Callable[[str], Any] | None = None,
    aliases: tuple[str, ...] = (),
    stated: Mapping[str, Any] | None = None,
) -> Any:
    """A dataclass field that is also a command-line option; a bool becomes a pair --x / --no-x. One whose
    default is () may be repeated.

    `flag` is its name ("--camera-size"; default: the field's), `aliases` are names that it had; `read` makes the value
    of what was typed (default: the field's type) and may raise UsageError; `stated` is further metadata.
    """
    words = {"help": help, "choices": choices, "metavar": metavar, "flag": flag, "read": read, "aliases": aliases}
    return dataclasses.field(default=default, metadata=words | dict(stated or {}))


def add_options(parser: argparse.ArgumentParser, config: type[Any]) -> None:
    """Give `parser` one option for each field of `config` made by `option`."""
    hints = get_type_hints(config)
    for field in dataclasses.fields(config):
        if "help" in field.metadata:
            _add(parser, field, hints[field.name])


def read_options(config: type[Config], given: argparse.Namespace, **extra: Any) -> Config:
    """Build `config` from the parsed options; `extra` are the fields that are not options. Raises what it raises."""
    options = [field for field in dataclasses.fields(config) if "help" in field.metadata]  # type: ignore[arg-type]
    return config(**{field.name: given_for(field, given) for field in options}, **extra)


def given_for(field: dataclasses.Field[Any], given: argparse.Namespace) -> Any:
    """What was typed for an option; its default where nothing was."""
    value = getattr(given, field.name)
    return tuple(value) if isinstance(value, list) else field.default if value is None else value


def typed_options(config: Any) -> list[str]:
    """What has to be typed for `config`: the words of every option that is not as its default."""
    fields = [field for field in dataclasses.fields(config) if "help" in field.metadata]
    given = [(field, getattr(config, field.name)) for field in fields if getattr(config, field.name) != field.default]
    words: list[str] = []
    for field, value in given:
        flag = flag_of(field)
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
            continue
        for one in value if field.default == () else (value,):
            text = f"{one:.10g}" if isinstance(one, float) else str(one)
            words += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
    return words


def flag_of(field: dataclasses.Field[Any]) -> str:
    """What is typed for an option, without its value."""
    return field.metadata["flag"] or "--" + field.name.replace("_", "-")


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], hint: Any) -> None:
    flag = flag_of(field)
    help_text = str(field.metadata["help"]).replace("%", "%%")
    if field.default not in (None, ()):
        help_text += f" (default: {field.default})"
    if hint is bool:
        action = parser.add_argument(
            flag, action=argparse.BooleanOptionalAction, default=field.default, dest=field.name
        )
        action.help = help_text  # set afterwards, because some Python versions add the default once more
        return
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    is_repeated = field.default == ()
    parser.add_argument(
        flag,
        *field.metadata["aliases"],
        action="append" if is_repeated else "store",
        type=field.metadata["read"] or kinds[0],
        default=None if is_repeated else field.default,
        dest=field.name,
        help=help_text,
        choices=field.metadata["choices"],
        metavar=field.metadata["metavar"] or (None if field.metadata["choices"] else kinds[0].__name__.upper()),
    )
