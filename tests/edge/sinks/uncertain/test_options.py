"""How long a scene is learned, as it is typed, and what it needs."""

from __future__ import annotations

import argparse

import pytest

from edge.base.options import add_options, read_options, typed_options
from edge.errors import UsageError
from edge.sinks.uncertain.options import UncertainOptions
from tests.edge.fakes import one_line


def read(*typed: str) -> UncertainOptions:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_options(parser, UncertainOptions)
    return read_options(UncertainOptions, parser.parse_args(typed))


@pytest.mark.parametrize(
    ("text", "seconds"), [("45", 45), ("60s", 60), ("5m", 300), ("1h", 3600), ("1.5m", 90), ("24h", 86_400)]
)
def test_a_time_is_in_seconds_unless_it_says_otherwise(text: str, seconds: float) -> None:
    options = read("--keep-uncertain", "kept", "--learn-scene", text)
    assert options.learn_scene_s == seconds
    assert read(*typed_options(options)) == options


@pytest.mark.parametrize("text", ["", "0", "0s", "soon", "-5m", "5 m", "1d", "25h", "60ss", "nan", "inf", "1e3"])
def test_a_time_that_is_none_is_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected a time such as 45, 60s, 5m or 1h, at most 24h$") as caught:
        read("--keep-uncertain", "kept", f"--learn-scene={text}")
    assert one_line(caught).startswith(f"--learn-scene {text}: ")


def test_a_scene_needs_a_folder() -> None:
    with pytest.raises(UsageError, match=r"--learn-scene: .* add --keep-uncertain DIR") as caught:
        read("--learn-scene", "60s")
    one_line(caught)


def test_nothing_is_learned_unless_it_is_asked_for() -> None:
    assert read("--keep-uncertain", "kept").learn_scene_s is None
