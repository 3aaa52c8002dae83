"""Options: one dataclass field gives the default, the help text and the reader."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import pytest

from edge.base.options import add_options, option, read_options


@dataclass(frozen=True)
class Config:
    photos: str
    epochs: int = option(12, "epochs of fine-tuning")
    learning_rate: float = option(3e-4, "of AdamW, at its 100 % peak")
    limit: int | None = option(None, "at most this many", metavar="N")
    ema: bool = option(True, "average the weights")
    schedule: str = option("cosine", "of the learning rate", choices=("cosine", "flat"))
    internal: int = 7


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("flora train", allow_abbrev=False)
    add_options(parser, Config)
    return parser


def read(parser: argparse.ArgumentParser, *typed: str) -> Config:
    return read_options(Config, parser.parse_args(typed), photos="photos")


def test_nothing_typed_gives_the_defaults(parser: argparse.ArgumentParser) -> None:
    assert read(parser) == Config("photos")


@pytest.mark.parametrize(
    ("typed", "name", "value"),
    [
        (("--epochs", "3"), "epochs", 3),
        (("--learning-rate", "1e-2"), "learning_rate", 0.01),
        (("--limit", "5"), "limit", 5),
        (("--no-ema",), "ema", False),
        (("--ema",), "ema", True),
        (("--schedule", "flat"), "schedule", "flat"),
    ],
)
def test_what_is_typed_reaches_its_field(
    parser: argparse.ArgumentParser, typed: tuple[str, ...], name: str, value: object
) -> None:
    found = getattr(read(parser, *typed), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "typed", [("--epochs", "x"), ("--epochs", "1.5"), ("--schedule", "steep"), ("--internal", "1"), ("--photos", "x")]
)
def test_what_is_no_option_or_no_value_is_refused(
    parser: argparse.ArgumentParser, typed: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser.parse_args(typed)
    assert typed[0] in capsys.readouterr().err


def test_the_help_has_each_option_with_its_unit_and_default(parser: argparse.ArgumentParser) -> None:
    text = " ".join(parser.format_help().split())
    for part in (
        "--epochs INT epochs of fine-tuning (default: 12)",
        "--learning-rate FLOAT of AdamW, at its 100 % peak (default: 0.0003)",
        "--limit N at most this many -",  # None is no default to show
        "--ema, --no-ema average the weights (default: True)",
        "--schedule {cosine,flat} of the learning rate (default: cosine)",
    ):
        assert part in text
