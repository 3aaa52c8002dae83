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
from collections.abc import Callable, Collection
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
) -> Any:
    """A dataclass field that is also a command-line option; a bool becomes a pair --x / --no-x.

    `flag` is its name ("--camera-size"; default: the field's); `read` makes the value of what was typed (default: the
    field's type) and may raise UsageError.
    """
    words = {"help": help, "choices": choices, "metavar": metavar, "flag": flag, "read": read}
    return dataclasses.field(default=default, metadata=words)


def add_options(parser: argparse.ArgumentParser, config: type[Any]) -> None:
    """Give `parser` one option for each field of `config` made by `option`."""
    hints = get_type_hints(config)
    for field in dataclasses.fields(config):
        if "help" in field.metadata:
            _add(parser, field, hints[field.name])


def read_options(config: type[Config], given: argparse.Namespace, **extra: Any) -> Config:
    """Build `config` from the parsed options; `extra` are the fields that are not options. Raises what it raises."""
    names = [field.name for field in dataclasses.fields(config) if "help" in field.metadata]  # type: ignore[arg-type]
    return config(**{name: getattr(given, name) for name in names}, **extra)


def typed_options(config: Any) -> list[str]:
    """What has to be typed for `config`: the words of every option that is not as its default."""
    fields = [field for field in dataclasses.fields(config) if "help" in field.metadata]
    given = {_flag(f): getattr(config, f.name) for f in fields if getattr(config, f.name) != f.default}
    words: list[str] = []
    for flag, value in given.items():
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            text = f"{value:.10g}" if isinstance(value, float) else str(value)
            words += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
    return words


def _flag(field: dataclasses.Field[Any]) -> str:
    return field.metadata["flag"] or "--" + field.name.replace("_", "-")


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], hint: Any) -> None:
    flag = _flag(field)
    help_text = str(field.metadata["help"]).replace("%", "%%")
    if field.default is not None:
        help_text += f" (default: {field.default})"
    if hint is bool:
        action = parser.add_argument(
            flag, action=argparse.BooleanOptionalAction, default=field.default, dest=field.name
        )
        action.help = help_text  # set afterwards, because some Python versions add the default once more
        return
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    parser.add_argument(
        flag,
        type=field.metadata["read"] or kinds[0],
        default=field.default,
        dest=field.name,
        help=help_text,
        choices=field.metadata["choices"],
        metavar=field.metadata["metavar"] or (None if field.metadata["choices"] else kinds[0].__name__.upper()),
    )
