"""What was asked for: the preset's unless given, checked before any work."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import pytest

from edge.base.options import add_options, read_options
from edge.cli import main
from edge.errors import UsageError
from export.config import ExportConfig
from export.presets import PRESETS, Plan, quick


def parsed(*options: str) -> ExportConfig:
    parser = argparse.ArgumentParser()
    add_options(parser, ExportConfig)
    return read_options(ExportConfig, parser.parse_args(options))


def test_defaults_are_what_the_command_line_gives() -> None:
    assert parsed() == ExportConfig()


def test_licence_is_not_guessed() -> None:
    assert ExportConfig().licence is None


BALANCED, MICRO = PRESETS["balanced"], PRESETS["micro"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param([], BALANCED, id="the default"),
        pytest.param(["--preset", "micro"], MICRO, id="another preset"),
        pytest.param(["--preset", "micro", "--quick"], quick(MICRO), id="a first look"),
        pytest.param(["--speed", "5"], replace(BALANCED, speed=5), id="one number"),
        pytest.param(
            ["--preset", "micro", "--max-drop", "1", "--max-kb", "300"], replace(MICRO, max_drop=1, max_kb=300),
            id="two numbers of another preset",
        ),
        pytest.param(
            ["--quick", "--max-drop", "1", "--aware-epochs", "2"], replace(quick(BALANCED), max_drop=1, aware_epochs=2),
            id="numbers come before the first look",
        ),
        pytest.param(
            ["--speed", "0", "--max-kb", "0", "--max-drop", "0", "--aware-epochs", "0", "--distil-epochs", "0"],
            replace(BALANCED, speed=0, max_kb=0, max_drop=0, aware_epochs=0, distil_epochs=0), id="0 is a number",
        ),
        pytest.param(["--size", "96", "--lessons", "3"], replace(BALANCED, size=96, lessons=3), id="work"),
        pytest.param(["--sparsity", "0.5"], replace(BALANCED, sparsity=0.5), id="pruning"),
        pytest.param(["--pattern", "2:4"], replace(BALANCED, sparsity=0.5), id="pruning in a pattern"),
        pytest.param(["--pattern", "1:4"], replace(BALANCED, sparsity=0.25), id="pruning in another pattern"),
        pytest.param(["--pattern", "2:4", "--sparsity", "0.5"], replace(BALANCED, sparsity=0.5), id="said twice"),
    ],
)  # fmt: skip
def test_the_plan_is_the_presets_with_what_was_given(options: list[str], expected: Plan) -> None:
    assert parsed(*options).plan == expected


def test_a_pattern_is_zeros_and_weights() -> None:
    assert ExportConfig(pattern="2:4").zeros_among == (2, 4)
    assert ExportConfig(sparsity=0.5).zeros_among is None


def test_help_says_what_each_preset_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for field in ("max_drop", "max_kb", "speed", "size", "distil_epochs", "aware_epochs"):
        values = [f"{name} {getattr(plan, field):g}" for name, plan in PRESETS.items()]
        assert f"(default: {', '.join(values)})" in text


IMPOSSIBLE = [
    ("--max-drop", "-1", "from 0 to 100"),
    ("--max-drop", "nan", "from 0 to 100"),
    ("--max-kb", "-5", "from 0 to 1e+09"),
    ("--speed", "-1", "from 0 to 1000"),
    ("--size", "16", "from 32 to 1024"),
    ("--size", "100", "a multiple of 16"),
    ("--distil-epochs", "-1", "from 0 to 10000"),
    ("--lessons", "0", "from 1 to 1000"),
    ("--reference-epochs", "-1", "from 0 to 1000"),
    ("--aware-epochs", "-1", "from 0 to 1000"),
    ("--sparsity", "1", "from 0 to 0.95"),
    ("--pattern", "2-4", "zeros and weights, at most 16, as 2:4"),
    ("--pattern", "4:2", "as 2:4"),
    ("--pattern", "0:4", "as 2:4"),
    ("--pattern", "8:32", "as 2:4"),
    ("--pattern", "two:4", "as 2:4"),
    ("--prune-epochs", "0", "from 1 to 10000"),
    ("--prune-rate", "0", "from 1e-08 to 1"),
    ("--calibration", "0", "from 1 to 100000"),
    ("--coverage", "0.4", "from 0.5 to 1"),
    ("--preset", "tiny", "(choose from"),
]


@pytest.mark.parametrize(("option", "value", "expected"), IMPOSSIBLE)
def test_impossible_option_is_one_line_and_exit_code_2(
    option: str, value: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "run", option, value]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("flora: ")
    assert option in line
    assert expected in line


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        pytest.param({"preset": "tiny"}, "--preset tiny: expected one of accurate, balanced, micro", id="no preset"),
        pytest.param(
            {"pattern": "2:4", "sparsity": 0.3}, "--pattern 2:4 with --sparsity 0.3: the pattern makes it 0.5; leave",
            id="a pattern that contradicts",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_of_a_library_call_too(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        ExportConfig(**asked)
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize(
    ("asked", "photos"), [({}, 300), ({"quick": True}, 100), ({"quick": True, "calibration": 500}, 500)]
)
def test_a_first_look_calibrates_on_fewer_photos_unless_told(asked: dict[str, Any], photos: int) -> None:
    assert ExportConfig(**asked).calibration_photos == photos
