"""Which variant is written, under the limits on accuracy and size. Only validation figures come in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.errors import FloraError


class BudgetError(FloraError):
    """No variant keeps the accuracy within the limits; nothing is written."""


@dataclass(frozen=True)
class Candidate:
    """What the choice may know of a variant."""

    name: str
    is_integer: bool  # only a full-integer file is for the device; the others are there to compare
    validation_top1: float  # measured by the TFLite runtime
    bytes: int
    gzip_bytes: int


def choose(candidates: Sequence[Candidate], reference_top1: float, *, max_drop: float, max_kb: float) -> Candidate:
    """The smallest download among the integer variants within the limits.

    `reference_top1` is the trained network's validation top-1; `max_drop` is in points (hundredths), `max_kb` in
    1000 bytes, 0 for no limit. Raises BudgetError, naming the nearest miss, when there is none.
    """
    integer = [candidate for candidate in candidates if candidate.is_integer]
    fitting = [candidate for candidate in integer if not max_kb or candidate.bytes <= max_kb * 1000]
    accurate = [candidate for candidate in fitting if _drop(candidate, reference_top1) <= max_drop + 1e-9]
    if accurate:
        return min(accurate, key=lambda candidate: (candidate.gzip_bytes, candidate.name))
    if not fitting:
        smallest = min(integer, key=lambda candidate: candidate.bytes)
        raise BudgetError(
            f"no variant is within --max-kb {max_kb:g}; the smallest, {smallest.name}, has {smallest.bytes / 1000:.0f} kB; nothing was written"
        )
    best = max(fitting, key=lambda candidate: candidate.validation_top1)
    raise BudgetError(
        f"no variant keeps the accuracy: the best, {best.name}, loses {_drop(best, reference_top1):.1f} points of validation top-1 "
        f"({100 * best.validation_top1:.1f} % against {100 * reference_top1:.1f} %), allowed are {max_drop:g}; nothing was written"
    )


def _drop(candidate: Candidate, reference_top1: float) -> float:
    return 100.0 * (reference_top1 - candidate.validation_top1)
