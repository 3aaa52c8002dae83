"""Which variant is written, under the limits on accuracy, size and speed. Only validation figures come in here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge.errors import FloraError

ROUNDING = 1e-9  # points; 0.96 - 0.95 is a little more than one of them
AS_FAST = 0.95  # of the speed of the fastest: differences below are noise of the measurement


class BudgetError(FloraError):
    """No variant is within the limits; nothing is written."""


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
    """What a file may cost."""

    reference_top1: float  # the trained network's, on validation photos
    max_drop: float  # points (hundredths) below it
    max_kb: float = 0.0  # of 1000 bytes; 0: any size
    speed: float = 0.0  # times as fast as the plain int8 file; 0: any


def choose(candidates: Sequence[Candidate], budget: Budget) -> Candidate:
    """The fastest integer variant within the limits; of those about as fast the most accurate, then the smallest.

    At least one candidate is an integer one. Raises BudgetError, naming the nearest miss, when none is within them.
    """
    integer = [candidate for candidate in candidates if candidate.is_integer]
    small = [candidate for candidate in integer if not budget.max_kb or candidate.bytes <= budget.max_kb * 1000]
    if not small:
        raise BudgetError(_too_large(integer, budget))
    fast = [candidate for candidate in small if candidate.speed >= budget.speed]
    if not fast:
        raise BudgetError(_too_slow(small, budget))
    accurate = [candidate for candidate in fast if _drop(candidate, budget) <= budget.max_drop + ROUNDING]
    if not accurate:
        raise BudgetError(_too_wrong(fast, budget))
    top = max(candidate.speed for candidate in accurate)
    level = [candidate for candidate in accurate if candidate.speed >= AS_FAST * top]
    return min(level, key=lambda candidate: (-candidate.validation_top1, candidate.gzip_bytes, candidate.name))


def _too_large(candidates: list[Candidate], budget: Budget) -> str:
    smallest = min(candidates, key=lambda candidate: candidate.bytes)
    return (
        f"nothing was written: the smallest variant, {smallest.name}, takes {math.ceil(smallest.bytes / 100) / 10:g} kB"
        f", allowed are {budget.max_kb:g}; raise --max-kb"
    )


def _too_slow(candidates: list[Candidate], budget: Budget) -> str:
    fastest = max(candidates, key=lambda candidate: candidate.speed)
    return (
        f"nothing was written: the fastest variant{_within(budget.max_kb, 0)}, {fastest.name}, is {fastest.speed:.2f} "
        f"times as fast as int8, asked for is {budget.speed:g}; lower --speed or --size, or give a --device-table of "
        "this machine"
    )


def _too_wrong(candidates: list[Candidate], budget: Budget) -> str:
    best = max(candidates, key=lambda candidate: candidate.validation_top1)
    return (
        f"nothing was written: the most accurate variant{_within(budget.max_kb, budget.speed)}, {best.name}, loses "
        f"{_drop(best, budget):.2f} points of validation top-1 ({best.validation_top1:.1%} against "
        f"{budget.reference_top1:.1%}), allowed are {budget.max_drop:g}; raise --max-drop"
        f"{', or lower --speed' if budget.speed else ''}"
    )


def _within(max_kb: float, speed: float) -> str:
    limits = [f"--max-kb {max_kb:g}"] * bool(max_kb) + [f"--speed {speed:g}"] * bool(speed)
    return f" within {' and '.join(limits)}" if limits else ""


def _drop(candidate: Candidate, budget: Budget) -> float:
    return 100.0 * (budget.reference_top1 - candidate.validation_top1)
