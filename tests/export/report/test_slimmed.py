"""The section on a slim network: every figure as given, and no plot of lessons that were not held."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from edge.base.intervals import Interval
from export.report.slimmed import section, speed
from export.slimming.record import Slimmed, Width

ROWS: list[dict[str, float | str]] = [
    {"phase": "distilling", "val_loss": 1.0 - 0.1 * n, "val_accuracy": 0.5 + 0.1 * n} for n in range(3)
]
SLIM = Slimmed(
    "int8_slim35_128", [Width("stem", 32, 16), Width("block_1", 96, 48)], 224, 128, 4.96, Interval(4.7, 4.65, 4.8), ROWS
)


def cells(parts: Sequence[str]) -> list[list[str]]:
    found = re.findall(r"<tr>(.*?)</tr>", "".join(parts))
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in found]


def test_facts_are_input_channels_and_both_speeds(tmp_path: Path) -> None:
    facts = dict(row for row in cells(section(SLIM, tmp_path)) if len(row) == 2)
    assert facts == {
        "input": "224 to 128 pixels a side",
        "channels": "128 to 64 (50% kept)",
        "speed foretold": "4.96 times that of int8",
        "speed measured": "4.70 (4.65 to 4.80) times that of int8",
    }


def test_each_group_has_its_channels_before_and_after(tmp_path: Path) -> None:
    rows = cells(section(SLIM, tmp_path))
    assert rows[-2:] == [["stem", "32", "16", "50%"], ["block_1", "96", "48", "50%"]]


def test_a_speed_that_was_not_measured_is_a_dash(tmp_path: Path) -> None:
    assert ["speed measured", "-"] in cells(section(replace(SLIM, measured_speed=None), tmp_path))


def test_lessons_are_a_plot_in_the_page(tmp_path: Path) -> None:
    parts = section(SLIM, tmp_path)
    assert (tmp_path / "lessons-int8_slim35_128.png").read_bytes().startswith(b"\x89PNG")
    assert "data:image/png;base64," in parts[-1]


def test_without_lessons_there_is_no_plot(tmp_path: Path) -> None:
    parts = section(replace(SLIM, history=()), tmp_path)
    assert not any("img" in part for part in parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("found", "text"),
    [
        pytest.param(Interval(1.0, 1.0, 1.0), "1.00 (1.00 to 1.00)", id="the-unit"),
        pytest.param(Interval(12.34, 9.87, 14.0), "12.3 (9.87 to 14.0)", id="three-digits"),
    ],
)
def test_speed_comes_with_its_interval(found: Interval, text: str) -> None:
    assert speed(found) == text
