"""Presets: what each aims at, and that a first look aims no higher and works less."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from export.presets import DEFAULT, PRESETS, QUICK_DROP, Plan, quick

WORK = ("self_epochs", "distil_epochs", "lessons", "reference_epochs", "aware_epochs")
PLAN = Plan(
    max_drop=3.0, max_kb=1000.0, speed=4.0, size=128, self_epochs=10, distil_epochs=60, lessons=16, reference_epochs=8,
    aware_epochs=6, sparsity=0.5,
)  # fmt: skip


def test_there_are_three_and_the_middle_one_is_the_default() -> None:
    assert list(PRESETS) == ["accurate", "balanced", "micro"]
    assert DEFAULT == "balanced"


def test_each_is_faster_and_smaller_than_the_one_before_and_may_lose_more() -> None:
    accurate, balanced, micro = PRESETS.values()
    assert accurate.speed < balanced.speed < micro.speed
    assert accurate.max_drop < balanced.max_drop < micro.max_drop
    assert accurate.max_kb == 0 < micro.max_kb < balanced.max_kb


def test_the_accurate_one_keeps_the_whole_network() -> None:
    assert PRESETS["accurate"].distil_epochs == PRESETS["accurate"].aware_epochs == 0


@pytest.mark.parametrize("name", PRESETS)
def test_a_first_look_works_less_and_asks_for_less_accuracy_alone(name: str) -> None:
    before, after = asdict(PRESETS[name]), asdict(quick(PRESETS[name]))
    assert all(after[field] <= before[field] for field in WORK)
    assert sum(after[field] for field in WORK) < sum(before[field] for field in WORK)
    changed = {field for field in before if before[field] != after[field]}
    assert changed <= {*WORK, "max_drop"}
    assert after["max_drop"] == QUICK_DROP


def test_a_first_look_does_not_tighten_a_loose_limit() -> None:
    loose = Plan(**{**asdict(PLAN), "max_drop": 40.0})
    assert quick(loose).max_drop == 40.0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param(
            {}, "at most 3 points lost, 1000 kB, 4 times as fast as int8; epochs of self-distillation: 10, "
            "epochs of distillation at 128 px: 60, epochs of quantisation-aware training: 6, weights pruned: 50%",
            id="everything",
        ),
        pytest.param(
            {"max_kb": 0.0, "speed": 0.0, "self_epochs": 0, "distil_epochs": 0, "aware_epochs": 0, "sparsity": 0.0},
            "at most 3 points lost; no training", id="nothing",
        ),
    ],
)  # fmt: skip
def test_a_plan_says_in_one_line_what_it_is(changes: dict[str, float], text: str) -> None:
    assert str(Plan(**{**asdict(PLAN), **changes})) == text
