"""Pictures of other things, folder by folder: how many are named as a class all the same, how surely, and as which.

In:  what was shown for each picture, its probability, and sureties of known photos and of these pictures.
Out: `Others`, shares in 0..1 with 95 % Wilson intervals; `table` for a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge.base.intervals import Interval, share
from edge.base.text import aligned
from edge.contract.rejection import UNKNOWN
from edge.evaluation.unknowns import auroc, fpr_at_coverage

SURE = 0.9  # a probability that a person takes for certain
LISTED = 2  # classes, in the table
HEADS = ("pictures of other things", "pictures", "named at all", "named with 0.9 and more", "AUROC", "accepted", "as")


@dataclass(frozen=True)
class Others:
    """Pictures of other things through one model."""

    name: str  # of their folder
    pictures: int
    named: Interval  # share that was not called unknown
    named_surely: Interval  # the same, with a probability of 0.9 and more
    auroc: float  # against the known photos of the same measurement
    fpr_at_95: float  # share accepted by the threshold that keeps 95 % of the known photos
    named_as: tuple[tuple[str, int], ...]  # classes that they were named as, the commonest first

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "named_as": dict(self.named_as)}


def measured(name: str, shown: Sequence[str], probability: ArrayLike, known: ArrayLike, sureties: ArrayLike) -> Others:
    """m pictures of other things: the word shown for each, its probability, sureties (m,) and those of known photos."""
    is_named = np.array([word != UNKNOWN for word in shown], np.bool_)
    surely = int((is_named & (np.asarray(probability, np.float64) >= SURE)).sum())
    counted = Counter(word for word in shown if word != UNKNOWN)
    return Others(
        name,
        len(shown),
        share(int(is_named.sum()), len(shown)),
        share(surely, len(shown)),
        auroc(known, sureties),
        fpr_at_coverage(known, sureties),
        tuple(counted.most_common()),
    )


def table(rows: Sequence[Others]) -> list[str]:
    """One line a folder, below a line of heads."""
    return aligned([HEADS, *map(_cells, rows)])


def _cells(row: Others) -> tuple[str, ...]:
    names = ", ".join(f"{label} {count}" for label, count in row.named_as[:LISTED])
    shares = (f"{one.value:.1%} ({one.low:.1%} to {one.high:.1%})" for one in (row.named, row.named_surely))
    return (row.name, str(row.pictures), *shares, f"{row.auroc:.3f}", f"{row.fpr_at_95:.1%}", names or "-")
