"""Options: one dataclass field gives the default, the help text and the reader."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import pytest

from edge.base.options import add_options, option, read_options, typed_options


@dataclass(frozen=True)
class Config:
    photos: str
    epochs: int = option(12, "epochs of fine-tuning")
    learning_rate: float = option(3e-4, "of AdamW, at its 100 % peak")
    limit: int | None = option(None, "at most this many", metavar="N")
    ema: bool = option(True, "average the weights")
    schedule: str = option("cosine", "of the learning rate", choices=("cosine", "flat"))
    give_up_after_s: float | None = option(None, "then it ends", flag="--give-up-after")
    size_wh: tuple[int, ...] = option((4, 3), "in pixels", read=lambda typed: tuple(map(int, typed.split("x"))))
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
        (("--give-up-after", "5"), "give_up_after_s", 5.0),
        (("--size-wh", "8x6"), "size_wh", (8, 6)),
    ],
)
def test_what_is_typed_reaches_its_field(
    parser: argparse.ArgumentParser, typed: tuple[str, ...], name: str, value: object
) -> None:
    found = getattr(read(parser, *typed), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "typed",
    [("--epochs", "x"), ("--epochs", "1.5"), ("--schedule", "steep"), ("--internal", "1"), ("--photos", "x"),
     ("--give-up-after-s", "5"), ("--size-wh", "wide")],
)  # fmt: skip
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
        "--give-up-after FLOAT then it ends",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("config", "typed"),
    [
        pytest.param(Config("photos"), [], id="nothing"),
        pytest.param(Config("photos", epochs=3, internal=8), ["--epochs", "3"], id="what is no option is not typed"),
        pytest.param(Config("photos", learning_rate=0.0123, limit=-5, ema=False, schedule="flat"), [
            "--learning-rate", "0.0123", "--limit=-5", "--no-ema", "--schedule", "flat",
        ], id="everything"),
    ],
)  # fmt: skip
def test_what_has_to_be_typed_is_read_as_the_same(
    config: Config, typed: list[str], parser: argparse.ArgumentParser
) -> None:
    assert typed_options(config) == typed
    assert replace(read(parser, *typed), internal=config.internal) == config
