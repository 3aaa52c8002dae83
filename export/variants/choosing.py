"""Which variant is written, under the limits on accuracy, size and speed. Only validation figures come in here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.errors import FloraError

ROUNDING = 1e-9  # points; 0.96 - 0.95 is a little more than one of them
AS_FAST = 0.95  # of a speed: differences below are noise of the measurement


@dataclass(frozen=True)
class Candidate:
    """What the choice may know of a variant."""

    name: str
    is_integer: bool  # only a full-integer file is for the device; the others are there to compare
    validation_top1: float  # measured by the TFLite runtime
    bytes: int  # of the file, its card included
    gzip_bytes: int
    speed: float  # how many times as fast as the plain int8 file


@dataclass(frozen=True)
class Budget:
    """What a file may cost, and what it is hoped to cost: an aim that is missed is no reason to write nothing."""

    reference_top1: float  # the trained network's, on validation photos
    max_drop: float  # points (hundredths) below it
    max_kb: float = 0.0  # of 1000 bytes; 0: any size
    speed: float = 0.0  # times as fast as the plain int8 file; 0: any
    aimed_kb: float = 0.0
    aimed_speed: float = 0.0


class BudgetError(FloraError):
    """No variant is within the limits; nothing is written."""

    def __init__(
        self, message: str, nearest: Candidate | None = None, remedy: Mapping[str, float] | None = None
    ) -> None:
        """`nearest` missed them least, and is written with the options of `remedy`."""
        super().__init__(message)
        self.nearest, self.remedy = nearest, dict(remedy or {})


def choose(candidates: Sequence[Candidate], budget: Budget) -> Candidate:
    """The fastest integer variant within the limits; of those about as fast the most accurate, then the smallest.

    One that misses what is aimed for is taken where none reaches it. At least one candidate is an integer one. Raises
    BudgetError, naming the nearest miss, when none is within the limits.
    """
    integer = [candidate for candidate in candidates if candidate.is_integer]
    small = [candidate for candidate in integer if _is_small(candidate, budget.max_kb)]
    if not small:
        raise _too_large(integer, budget)
    fast = [candidate for candidate in small if _is_fast(candidate, budget.speed)]
    if not fast:
        raise _too_slow(small, budget)
    accurate = [candidate for candidate in fast if drop(candidate, budget) <= budget.max_drop + ROUNDING]
    if not accurate:
        raise _too_wrong(_aimed_for(fast, budget) or fast, budget)
    near = _aimed_for(accurate, budget) or accurate
    top = max(candidate.speed for candidate in near)
    level = [candidate for candidate in near if candidate.speed >= AS_FAST * top]
    return min(level, key=lambda candidate: (-candidate.validation_top1, candidate.gzip_bytes, candidate.name))


def misses(chosen: Candidate, budget: Budget) -> tuple[str, ...]:
    """What was aimed for and is not reached, a line each."""
    slow = f"{chosen.name} is {chosen.speed:.2f} times as fast as int8, aimed for were {budget.aimed_speed:g} times"
    large = f"{chosen.name} takes {_kb(chosen):g} kB, aimed for were {budget.aimed_kb:g}"
    return (slow,) * (not _is_fast(chosen, budget.aimed_speed)) + (large,) * (not _is_small(chosen, budget.aimed_kb))


def passed_over(candidates: Sequence[Candidate], chosen: Candidate, budget: Budget) -> Candidate | None:
    """The most accurate variant that reaches what `chosen` misses, and loses too much; None where there is none."""
    aimed_for = _aimed_for([candidate for candidate in candidates if candidate.is_integer], budget)
    return max(aimed_for, key=lambda c: c.validation_top1) if aimed_for and chosen not in aimed_for else None


def remedy(candidate: Candidate, budget: Budget) -> dict[str, float]:
    """Options with which a variant is within the limits, and reaches what is aimed for: rounded so that it just is."""
    found = {}
    if drop(candidate, budget) > budget.max_drop + ROUNDING:
        found["max_drop"] = math.ceil(100 * drop(candidate, budget) - ROUNDING) / 100
    most_kb = min(filter(None, (budget.max_kb, budget.aimed_kb)), default=0.0)
    if not _is_small(candidate, most_kb):
        found["max_kb"] = _kb(candidate)
    if candidate.speed < max(budget.speed, budget.aimed_speed):
        found["speed"] = math.floor(100 * candidate.speed) / 100
    return found


def drop(candidate: Candidate, budget: Budget) -> float:
    """Points of validation top-1 that a variant loses."""
    return 100.0 * (budget.reference_top1 - candidate.validation_top1)


def _aimed_for(candidates: Sequence[Candidate], budget: Budget) -> list[Candidate]:
    return [c for c in candidates if _is_small(c, budget.aimed_kb) and _is_fast(c, budget.aimed_speed)]


def _is_small(candidate: Candidate, max_kb: float) -> bool:
    return not max_kb or candidate.bytes <= max_kb * 1000


def _is_fast(candidate: Candidate, speed: float) -> bool:
    """A slim network was timed before it was taught: what the timing of the taught one is off by is noise."""
    return candidate.speed >= AS_FAST * speed


def _kb(candidate: Candidate) -> float:
    """Rounded up."""
    return math.ceil(candidate.bytes / 100) / 10


def _too_large(candidates: list[Candidate], budget: Budget) -> BudgetError:
    smallest = min(candidates, key=lambda candidate: candidate.bytes)
    message = (
        f"nothing was written: the smallest variant, {smallest.name}, takes {_kb(smallest):g} kB"
        f", allowed are {budget.max_kb:g}; raise --max-kb"
    )
    return BudgetError(message, smallest, remedy(smallest, budget))


def _too_slow(candidates: list[Candidate], budget: Budget) -> BudgetError:
    fastest = max(candidates, key=lambda candidate: candidate.speed)
    message = (
        f"nothing was written: the fastest variant{_within(budget.max_kb, 0)}, {fastest.name}, is {fastest.speed:.2f} "
        f"times as fast as int8, asked for is {budget.speed:g}; lower --speed or --size"
    )
    return BudgetError(message, fastest, remedy(fastest, budget))


def _too_wrong(candidates: list[Candidate], budget: Budget) -> BudgetError:
    best = max(candidates, key=lambda candidate: candidate.validation_top1)
    message = (
        f"nothing was written: the most accurate variant{_within(budget.max_kb, budget.speed)}, {best.name}, loses "
        f"{drop(best, budget):.2f} points of validation top-1 ({best.validation_top1:.1%} against "
        f"{budget.reference_top1:.1%}), allowed are {budget.max_drop:g}; raise --max-drop"
        f"{', or lower --speed' if budget.speed else ''}"
    )
    return BudgetError(message, best, remedy(best, budget))


def _within(max_kb: float, speed: float) -> str:
    limits = [f"--max-kb {max_kb:g}"] * bool(max_kb) + [f"--speed {speed:g}"] * bool(speed)
    return f" within {' and '.join(limits)}" if limits else ""
