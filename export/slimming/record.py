"""How a network was made slim, in figures: what the export's page shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.base.intervals import Interval
from training.report import plots


@dataclass(frozen=True)
class Width:
    """Channels of one group, before and after."""

    group: str
    before: int
    after: int


@dataclass(frozen=True)
class Slimmed:
    """One slim network. Speeds count from the run's plain int8 file, as in the table."""

    name: str  # of the variant
    widths: Sequence[Width]  # in the order of the network
    size_before: int  # of the input, pixels
    size_after: int
    predicted_speed: float  # by the latency table
    measured_speed: Interval | None
    history: Sequence[plots.HistoryRow]  # of the distillation, a row for each epoch; empty: not shown
    timed_speed: float | None = None  # of its shape, before it was taught; None: the table alone decided
