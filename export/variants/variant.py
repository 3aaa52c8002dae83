"""What an export measured and wrote, as a text table for a person and as JSON for a machine."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.base.intervals import Interval
from edge.evaluation.accuracy import McNemar, PairedDifference, Scores
from edge.model.card import ModelCard

OF_A_FILE = ("calibration", "rejection", "golden_cases", "minimum_runtime", "report")  # null when none was written
KERAS = "keras float32"  # the trained network's row
SMALLEST_P = 0.001  # that is written out
IS_PRUNED = 0.05  # share of zeros in all kernels together; any trained network has some dead channels
HAS_ZEROS = 0.005  # share of zeros in a kernel from which on it counts as pruned; rounding leaves a few anywhere


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


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    path: Path
    bytes: int
    chosen: str
    variants: tuple[Variant, ...]
    float_validation: Scores
    float_test: Scores
    card: ModelCard
    report: Path


def table(variants: Sequence[Variant], float_validation: Scores, float_test: Scores | None = None) -> str:
    """The variants as text, at most 150 characters a line; until test photos are read, without their column."""
    is_tested = float_test is not None
    accuracy = ("val", "test (95 %)") if is_tested else ("val top-1",)
    cost = ("agree", "kB", "gzip", "MMACs", "ms", "p95", f"{_threads(variants)} thr", "speed", "MB", "")
    keras = (KERAS, *_accuracy(float_validation, float_test, is_tested), *[""] * len(("points", "p", *cost)))
    rows = _aligned(
        [("variant", *accuracy, "points to keras", "p", *cost), keras, *(_row(v, is_tested) for v in variants)]
    )
    pruned = [line for variant in variants if (line := zeros(variant))]
    if pruned:
        rows += ["", *pruned, "Zeros make a file compress better (gzip); they do not make it run faster."]
    return "\n".join(rows)


def as_json(exported: Exported) -> dict[str, Any]:
    """The same for a machine."""
    return {
        "path": str(exported.path),
        "bytes": exported.bytes,
        "chosen": exported.chosen,
        **_measured(exported.variants, exported.float_validation),
        "float_test": exported.float_test.to_json(),
        "calibration": asdict(exported.card.calibration) if exported.card.calibration else None,
        "rejection": asdict(exported.card.rejection) if exported.card.rejection else None,
        "golden_cases": len(exported.card.golden),
        "minimum_runtime": exported.card.minimum_runtime,
        "report": str(exported.report),
    }


def refusal_as_json(variants: Sequence[Variant], float_validation: Scores, reason: str) -> dict[str, Any]:
    """The same keys when nothing was written: no file was chosen, no test photo was read."""
    nothing = {"path": None, "bytes": None, "chosen": None}
    return {
        **nothing,
        **_measured(variants, float_validation),
        "float_test": None,
        **dict.fromkeys(OF_A_FILE),
        "refused": reason,
    }


def _measured(variants: Sequence[Variant], float_validation: Scores) -> dict[str, Any]:
    rows = [
        {**asdict(v), "validation": v.validation.to_json(), "test": v.test.to_json() if v.test else None}
        for v in variants
    ]
    return {"variants": rows, "float_validation": float_validation.to_json()}


def _threads(variants: Sequence[Variant]) -> int:
    return max((v.all_threads for v in variants), default=1)


def _row(v: Variant, is_tested: bool) -> tuple[str, ...]:
    change = v.test_change if is_tested else v.change
    return (
        v.name,
        *_accuracy(v.validation, v.test, is_tested),
        *((points(change), chance(change)) if change else ("", "")),
        f"{v.agreement:.1%}",
        f"{v.bytes / 1000:.0f}",
        f"{v.gzip_bytes / 1000:.0f}",
        digits(v.multiply_adds / 1e6),
        digits(v.p50_ms),
        digits(v.p95_ms),
        digits(v.all_p50_ms),
        f"{digits(v.speed.value)}x" if v.speed else "-",
        f"{v.peak_mb:.0f}" if v.peak_mb is not None else "-",
        "<- written" if v.is_chosen else "",
    )


def _accuracy(validation: Scores, test: Scores | None, is_tested: bool) -> tuple[str, ...]:
    return (f"{validation.top1:.1%}", _interval(test)) if is_tested else (f"{validation.top1:.1%}",)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Two blanks between columns; the first stands left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join([f"{row[0]:<{widths[0]}}", *map(str.rjust, row[1:], widths[1:])]) for row in rows)
    return [line.rstrip() for line in lines]


def zeros(v: Variant) -> str:
    """How the zeros of a pruned variant are spread over its layers, in one line; nothing for a dense one."""
    shares = [share for share in v.sparsity_by_layer.values() if share >= HAS_ZEROS]
    if v.sparsity < IS_PRUNED or not shares:
        return ""
    low, high = f"{min(shares):.0%}", f"{max(shares):.0%}"
    spread = f"{low} of each" if low == high else f"{low} to {high} of each (median {statistics.median(shares):.0%})"
    return (
        f"{v.name}: zeros in {len(shares)} of {len(v.sparsity_by_layer)} convolutions, {spread}; --json has every layer"
    )


def _interval(scores: Scores | None) -> str:
    return "-" if scores is None else f"{scores.top1:.1%} ({100 * scores.low:.1f}-{100 * scores.high:.1f})"


def digits(value: float) -> str:
    """A positive number with three digits, or all those before the point."""
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def points(change: Change) -> str:
    """Points of top-1 won (+) or lost (-) against the trained network, with the 95 % interval."""
    found = change.difference
    return f"{100 * found.difference:+.1f} ({100 * found.low:+.1f}, {100 * found.high:+.1f})"


def chance(change: Change) -> str:
    """The p-value of McNemar's test: how often luck alone would make so great a difference."""
    p = change.mcnemar.p_value
    return f"{p:.3f}" if p >= SMALLEST_P else f"<{SMALLEST_P}"
