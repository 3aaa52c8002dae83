from __future__ import annotations

from dataclasses import fields

import pytest

from edge.errors import FloraError
from export.budget import BudgetError, Candidate, choose

FLOAT = Candidate("float32", False, 0.96, 8_900_000, 100)
DENSE = Candidate("int8", True, 0.95, 2_600_000, 2_000_000)
PRUNED = Candidate("int8_pruned50", True, 0.94, 2_600_000, 1_500_000)
SMALL = Candidate("small", True, 0.80, 900_000, 700_000)
ALL = (FLOAT, DENSE, PRUNED, SMALL)


@pytest.mark.parametrize(
    ("max_drop", "max_kb", "expected"),
    [
        pytest.param(3.0, 0, "int8_pruned50", id="the smallest download within the drop"),
        pytest.param(2.0, 0, "int8_pruned50", id="a drop just as large as allowed"),
        pytest.param(1.9, 0, "int8", id="the pruned one loses too much"),
        pytest.param(100, 0, "small", id="any drop is allowed"),
        pytest.param(100, 900, "small", id="a file just as large as allowed"),
        pytest.param(3.0, 2600, "int8_pruned50", id="both limits"),
    ],
)
def test_smallest_download_within_the_limits_wins(max_drop: float, max_kb: float, expected: str) -> None:
    assert choose(ALL, 0.96, max_drop=max_drop, max_kb=max_kb).name == expected
    assert choose(ALL[::-1], 0.96, max_drop=max_drop, max_kb=max_kb).name == expected


def test_float_variant_is_never_written_however_small() -> None:
    assert FLOAT.gzip_bytes < min(candidate.gzip_bytes for candidate in ALL if candidate.is_integer)
    assert choose((FLOAT, DENSE), 0.96, max_drop=100, max_kb=0) is DENSE


@pytest.mark.parametrize("reference", [0.95, 0.90], ids=["as good as the network", "better than the network"])
def test_no_drop_at_all_can_be_asked_for(reference: float) -> None:
    assert choose((DENSE, SMALL), reference, max_drop=0, max_kb=0) is DENSE


def test_rounding_of_a_share_is_no_drop() -> None:
    """0.96 - 0.95 is 0.010000000000000009."""
    assert choose((DENSE,), 0.96, max_drop=1.0, max_kb=0) is DENSE


def test_tie_goes_to_the_first_name_whatever_the_order() -> None:
    twin = Candidate("a_twin", True, 0.95, 2_600_000, 2_000_000)
    assert choose((DENSE, twin), 0.95, max_drop=1, max_kb=0) is twin
    assert choose((twin, DENSE), 0.95, max_drop=1, max_kb=0) is twin


@pytest.mark.parametrize(
    ("candidates", "max_drop", "max_kb", "words"),
    [
        pytest.param(
            ALL, 0.5, 0, ["int8,", "loses 1.00 points", "95.0% against 96.0%", "allowed are 0.5", "--max-drop"],
            id="no variant is accurate enough",
        ),
        pytest.param(
            ALL, 1.0, 1000, ["most accurate variant within --max-kb 1000", "small", "16.00 points"],
            id="what would be accurate is too large",
        ),
        pytest.param(
            ALL, 100, 1, ["smallest variant, small", "takes 900 kB", "allowed are 1;", "--max-kb"],
            id="no variant is small enough",
        ),
        pytest.param((DENSE,), 100, 2599.99, ["takes 2600 kB", "allowed are 2599.99"], id="by ten bytes"),
    ],
)  # fmt: skip
def test_refusal_says_what_missed_by_how_much_and_what_to_do(
    candidates: tuple[Candidate, ...], max_drop: float, max_kb: float, words: list[str]
) -> None:
    with pytest.raises(BudgetError) as refusal:
        choose(candidates, 0.96, max_drop=max_drop, max_kb=max_kb)
    message = str(refusal.value)
    assert message.startswith("nothing was written: ")
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


def test_refusal_is_a_failure_of_the_command() -> None:
    assert issubclass(BudgetError, FloraError)
    assert BudgetError.exit_code == 1


def test_choice_cannot_know_test_figures() -> None:
    names = {field.name for field in fields(Candidate)}
    assert names == {"name", "is_integer", "validation_top1", "bytes", "gzip_bytes"}
