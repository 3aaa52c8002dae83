"""Which variant is written, under the limits on accuracy and size. Only validation figures come in here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge.errors import FloraError

ROUNDING = 1e-9  # points; 0.96 - 0.95 is a little more than one of them


class BudgetError(FloraError):
    """No variant keeps the accuracy within the limits; nothing is written."""


@dataclass(frozen=True)
class Candidate:
    """What the choice may know of a variant."""

    name: str
    is_integer: bool  # only a full-integer file is for the device; the others are there to compare
    validation_top1: float  # measured by the TFLite runtime
    bytes: int  # of the file, its card included
    gzip_bytes: int


def choose(candidates: Sequence[Candidate], reference_top1: float, *, max_drop: float, max_kb: float) -> Candidate:
    """The smallest download among the integer variants within the limits; at least one candidate is an integer one.

    `reference_top1` is the trained network's validation top-1; `max_drop` is in points (hundredths), `max_kb` in
    1000 bytes, 0 for no limit. Raises BudgetError, naming the nearest miss, when there is none.
    """
    integer = [candidate for candidate in candidates if candidate.is_integer]
    fitting = [candidate for candidate in integer if not max_kb or candidate.bytes <= max_kb * 1000]
    accurate = [candidate for candidate in fitting if _drop(candidate, reference_top1) <= max_drop + ROUNDING]
    if accurate:
        return min(accurate, key=lambda candidate: (candidate.gzip_bytes, candidate.name))
    if not fitting:
        raise BudgetError(_too_large(integer, max_kb))
    raise BudgetError(_too_wrong(fitting, reference_top1, max_drop, f" within --max-kb {max_kb:g}" if max_kb else ""))


def _too_large(candidates: list[Candidate], max_kb: float) -> str:
    smallest = min(candidates, key=lambda candidate: candidate.bytes)
    return (
        f"nothing was written: the smallest variant, {smallest.name}, takes {math.ceil(smallest.bytes / 100) / 10:g} kB"
        f", allowed are {max_kb:g}; raise --max-kb, or train with a smaller --alpha"
    )


def _too_wrong(candidates: list[Candidate], reference_top1: float, max_drop: float, among: str) -> str:
    best = max(candidates, key=lambda candidate: candidate.validation_top1)
    return (
        f"nothing was written: the most accurate variant{among}, {best.name}, loses {_drop(best, reference_top1):.2f} "
        f"points of validation top-1 ({best.validation_top1:.1%} against {reference_top1:.1%}), allowed are "
        f"{max_drop:g}; raise --max-drop, or --calibration"
    )


def _drop(candidate: Candidate, reference_top1: float) -> float:
    return 100.0 * (reference_top1 - candidate.validation_top1)
