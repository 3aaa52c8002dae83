"""Which variant is written: the fastest within the limits, of those about as fast the most accurate."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from edge.errors import FloraError
from export.variants.choosing import AS_FAST, Budget, BudgetError, Candidate, choose, misses, passed_over, remedy

FLOAT = Candidate("float32", False, 0.96, 8_900_000, 100, 30.0)
DENSE = Candidate("int8", True, 0.95, 2_600_000, 2_000_000, 1.0)
AWARE = Candidate("int8_qat", True, 0.958, 2_600_000, 2_100_000, 0.99)
SLIM = Candidate("int8_slim", True, 0.94, 900_000, 700_000, 4.2)
TINY = Candidate("int8_tiny", True, 0.80, 400_000, 300_000, 9.0)
ALL = (FLOAT, DENSE, AWARE, SLIM, TINY)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        pytest.param(Budget(0.96, 100), "int8_tiny", id="the fastest of all"),
        pytest.param(Budget(0.96, 3), "int8_slim", id="the fastest within the drop"),
        pytest.param(Budget(0.96, 2), "int8_slim", id="a drop just as large as allowed"),
        pytest.param(Budget(0.96, 1.9), "int8_qat", id="the slim one loses too much"),
        pytest.param(Budget(0.96, 100, max_kb=400), "int8_tiny", id="a file just as large as allowed"),
        pytest.param(Budget(0.96, 3, max_kb=1000, speed=4), "int8_slim", id="all limits"),
        pytest.param(Budget(0.96, 3, speed=4.2), "int8_slim", id="just as fast as asked"),
        pytest.param(Budget(0.96, 2, max_kb=2600), "int8_slim", id="larger ones are allowed and slower"),
    ],
)
def test_the_fastest_within_the_limits_wins(limits: Budget, expected: str) -> None:
    assert choose(ALL, limits).name == expected
    assert choose(ALL[::-1], limits).name == expected


def test_of_those_about_as_fast_the_most_accurate_wins() -> None:
    assert AWARE.speed < DENSE.speed
    assert choose((DENSE, AWARE), Budget(0.96, 3)) is AWARE
    slower = replace(AWARE, speed=AS_FAST * DENSE.speed - 0.01)
    assert choose((DENSE, slower), Budget(0.96, 3)) is DENSE


def test_of_those_as_accurate_the_smaller_download_wins() -> None:
    pruned = replace(DENSE, name="int8_pruned50", gzip_bytes=1_500_000)
    assert choose((DENSE, pruned), Budget(0.96, 3)) is pruned


def test_what_loses_too_much_does_not_say_what_is_fast() -> None:
    """The fastest one sets no mark for the others when it may not be written itself."""
    assert choose((DENSE, AWARE, TINY), Budget(0.96, 3)) is AWARE


def test_tie_goes_to_the_first_name_whatever_the_order() -> None:
    twin = replace(DENSE, name="a_twin")
    assert choose((DENSE, twin), Budget(0.95, 1)) is twin
    assert choose((twin, DENSE), Budget(0.95, 1)) is twin


def test_float_variant_is_never_written_however_fast_and_small() -> None:
    assert FLOAT.speed > DENSE.speed
    assert FLOAT.gzip_bytes < DENSE.gzip_bytes
    assert choose((FLOAT, DENSE), Budget(0.96, 100)) is DENSE


@pytest.mark.parametrize("reference", [0.95, 0.90], ids=["as good as the network", "better than the network"])
def test_no_drop_at_all_can_be_asked_for(reference: float) -> None:
    assert choose((DENSE, TINY), Budget(reference, 0)) is DENSE


def test_rounding_of_a_share_is_no_drop() -> None:
    """0.96 - 0.95 is 0.010000000000000009."""
    assert choose((DENSE,), Budget(0.96, 1.0)) is DENSE


REFUSALS = [
    pytest.param(
        (FLOAT, DENSE), Budget(0.96, 0.5),
        ["most accurate variant, int8,", "loses 1.00 points", "95.0% against 96.0%", "allowed are 0.5", "--max-drop"],
        id="none is accurate enough",
    ),
    pytest.param(
        ALL, Budget(0.96, 1.0, max_kb=1000, speed=2),
        ["most accurate variant within --max-kb 1000 and --speed 2, int8_slim,", "2.00 points", "or lower --speed"],
        id="what would be accurate is large and slow",
    ),
    pytest.param(
        ALL, Budget(0.96, 100, max_kb=1), ["smallest variant, int8_tiny", "takes 400 kB", "allowed are 1;", "--max-kb"],
        id="none is small enough",
    ),
    pytest.param((DENSE,), Budget(0.96, 100, max_kb=2599.99), ["takes 2600 kB", "are 2599.99"], id="by ten bytes"),
    pytest.param(
        ALL, Budget(0.96, 100, speed=10),
        ["fastest variant, int8_tiny, is 9.00 times as fast as int8", "asked for is 10; lower --speed"],
        id="none is fast enough",
    ),
    pytest.param(
        (DENSE, replace(TINY, bytes=10**7)), Budget(0.96, 100, max_kb=5000, speed=4),
        ["fastest variant within --max-kb 5000", "int8, is 1.00 times"], id="what would be fast is too large",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("candidates", "limits", "words"), REFUSALS)
def test_refusal_says_what_missed_by_how_much_and_what_to_do(
    candidates: tuple[Candidate, ...], limits: Budget, words: list[str]
) -> None:
    with pytest.raises(BudgetError) as refusal:
        choose(candidates, limits)
    message = str(refusal.value)
    assert message.startswith("nothing was written: ")
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


def test_refusal_does_not_advise_what_was_not_asked_for() -> None:
    with pytest.raises(BudgetError) as refusal:
        choose((DENSE,), Budget(0.96, 0.5))
    assert "--speed" not in str(refusal.value)


def test_refusal_is_a_failure_of_the_command() -> None:
    assert issubclass(BudgetError, FloraError)
    assert BudgetError.exit_code == 1


def test_choice_cannot_know_test_figures() -> None:
    names = {field.name for field in fields(Candidate)}
    assert names == {"name", "is_integer", "validation_top1", "bytes", "gzip_bytes", "speed"}


AIMS = Budget(0.96, 3, aimed_kb=1000, aimed_speed=4)


def test_what_reaches_the_aims_is_taken_and_nothing_is_missed() -> None:
    best = choose(ALL, AIMS)
    assert best.name == "int8_slim"
    assert misses(best, AIMS) == ()
    assert passed_over(ALL, best, AIMS) is None


def test_an_aim_is_no_limit() -> None:
    """Nothing reaches it, or what does loses too much: something is written all the same."""
    best = choose((DENSE, AWARE), AIMS)
    assert best is AWARE
    assert misses(best, AIMS) == (
        "int8_qat is 0.99 times as fast as int8, aimed for were 4 times",
        "int8_qat takes 2600 kB, aimed for were 1000",
    )
    assert passed_over((DENSE, AWARE), best, AIMS) is None


def test_what_reaches_the_aims_and_loses_too_much_is_passed_over_and_not_forgotten() -> None:
    strict = replace(AIMS, max_drop=1.0)
    best = choose(ALL, strict)
    other = passed_over(ALL, best, strict)
    assert (best.name, other and other.name) == ("int8_qat", "int8_slim")
    assert other
    assert remedy(other, strict) == {"max_drop": 2.0}
    assert choose(ALL, replace(strict, max_drop=2.0)).name == "int8_slim"


def test_what_is_but_noise_below_a_speed_holds_it() -> None:
    noisy = replace(DENSE, speed=3.9)
    assert choose((noisy,), Budget(0.96, 3, speed=4)) is noisy
    assert misses(noisy, Budget(0.96, 3, aimed_speed=4)) == ()


REMEDIES = [
    pytest.param(Budget(0.96, 0.5), {"max_drop": 1.0}, id="accuracy"),
    pytest.param(Budget(0.9634, 0.5), {"max_drop": 1.34}, id="accuracy, to a hundredth"),
    pytest.param(Budget(0.963401, 0.5), {"max_drop": 1.35}, id="accuracy, rounded up"),
    pytest.param(Budget(0.96, 3, max_kb=2599), {"max_kb": 2600.1}, id="size"),
    pytest.param(Budget(0.96, 3, speed=2), {"speed": 1.23}, id="speed"),
    pytest.param(
        Budget(0.96, 0.5, aimed_kb=1000, aimed_speed=4), {"max_drop": 1.0, "max_kb": 2600.1, "speed": 1.23},
        id="what is but aimed for as well: the same shape is found by it",
    ),
    pytest.param(Budget(0.96, 1.0), {}, id="nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("limits", "expected"), REMEDIES)
def test_a_remedy_is_just_enough(limits: Budget, expected: dict[str, float]) -> None:
    candidate = replace(DENSE, bytes=2_600_010, speed=1.2349)
    found = remedy(candidate, limits)
    assert found == expected
    allowed = Budget(
        limits.reference_top1, found.get("max_drop", limits.max_drop), found.get("max_kb", limits.max_kb),
        found.get("speed", limits.speed),
    )  # fmt: skip
    assert choose((candidate,), allowed) is candidate


@pytest.mark.parametrize("limits", [Budget(0.96, 0.5), Budget(0.96, 3, max_kb=1), Budget(0.96, 3, speed=9)])
def test_a_refusal_brings_its_remedy(limits: Budget) -> None:
    with pytest.raises(BudgetError) as refusal:
        choose((DENSE,), limits)
    assert refusal.value.nearest is DENSE
    assert refusal.value.remedy == remedy(DENSE, limits)
