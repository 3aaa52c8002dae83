from __future__ import annotations

import argparse

import pytest

from edge.cli import main
from edge.options import add_options, read_options
from export.config import ExportConfig


def test_defaults_are_what_the_command_line_gives() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, ExportConfig)
    assert read_options(ExportConfig, parser.parse_args([])) == ExportConfig()


def test_licence_is_not_guessed() -> None:
    assert ExportConfig().licence is None


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--max-drop", "-1", "from 0 to 100"),
        ("--max-drop", "nan", "from 0 to 100"),
        ("--max-kb", "-5", "from 0 to 1e+09"),
        ("--sparsity", "1", "from 0 to 0.95"),
        ("--prune-epochs", "0", "from 1 to 10000"),
        ("--prune-rate", "0", "from 1e-08 to 1"),
        ("--calibration", "0", "from 1 to 100000"),
    ],
)
def test_impossible_option_is_one_line_and_exit_code_2(
    option: str, value: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "run", option, value]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith(f"flora: {option} ")
    assert expected in line
