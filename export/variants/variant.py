"""A variant: made, then measured; the names of its figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.base.intervals import Interval
from edge.evaluation.accuracy import McNemar, PairedDifference, Scores

if TYPE_CHECKING:  # it comes with TensorFlow, which `flora export --help` does without
    from export.quantising.sparsify import Sparsity


@dataclass(frozen=True, eq=False)
class Made:
    """A variant that has not been measured yet."""

    name: str
    flatbuffer: bytes
    sparsity: Sparsity
    size: int  # of its input, pixels
    is_integer: bool
    foretold: float | None = None  # speed on the device whose table decides; None: what is measured here does


@dataclass(frozen=True)
class Change:
    """Top-1 of a variant less that of the trained network on the same photos."""

    difference: PairedDifference  # shares
    mcnemar: McNemar  # only_a: the variant alone is right


@dataclass(frozen=True)
class Variant:
    """One row of the table. Accuracies are those of the TFLite runtime, agreement is with the Keras network."""

    name: str
    is_integer: bool
    bytes: int  # of the flatbuffer; a written file adds its labels and card, about 2 kB
    gzip_bytes: int
    p50_ms: float  # one thread, median
    sparsity: float  # share of zeros in the convolutions' kernels
    sparsity_by_layer: dict[str, float]
    validation: Scores
    agreement: float  # on validation photos
    test: Scores | None = None  # filled in after the choice
    is_chosen: bool = False
    change: Change | None = None  # on validation photos
    test_change: Change | None = None  # filled in after the choice
    size: int = 0  # of the input, pixels
    multiply_adds: int = 0
    p95_ms: float = 0.0  # one thread
    all_threads: int = 1  # how many those are
    all_p50_ms: float = 0.0
    all_p95_ms: float = 0.0
    speed: Interval | None = None  # with one thread, times that of the plain int8 file; None: there is none
    peak_mb: float | None = None  # of a fresh process with one thread; None: the system does not tell
    foretold: float | None = None  # speed on the device whose table decides; None: that measured here does
