"""One definition per option: a frozen dataclass field gives the default, the help text and the reader.

    @dataclass(frozen=True)
    class TrainConfig:
        epochs: int = option(12, "epochs of fine-tuning")

`add_options` turns the fields into command-line options, `read_options` turns what was typed back into the dataclass.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar, get_args, get_type_hints

Config = TypeVar("Config")


def option(default: Any, help: str, *, choices: Sequence[str] | None = None, metavar: str | None = None) -> Any:
    """A dataclass field that is also a command-line option; a bool becomes a pair --x / --no-x."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "metavar": metavar})


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


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], hint: Any) -> None:
    flag = "--" + field.name.replace("_", "-")
    help_text = str(field.metadata["help"]).replace("%", "%%")
    if field.default is not None:
        help_text += f" (default: {field.default})"
    if hint is bool:
        action = parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default)
        action.help = help_text  # set afterwards, because some Python versions add the default once more
        return
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    parser.add_argument(
        flag,
        type=kinds[0],
        default=field.default,
        help=help_text,
        choices=field.metadata["choices"],
        metavar=field.metadata["metavar"] or (None if field.metadata["choices"] else kinds[0].__name__.upper()),
    )
