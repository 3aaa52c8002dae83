"""The variants as a text table for a person, and the cells that a page has in common with it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from edge.evaluation.accuracy import Scores
from export.variants.variant import Change, Variant

KERAS = "keras float32"  # the trained network's row
SMALLEST_P = 0.001  # that is written out
IS_PRUNED = 0.05  # share of zeros in all kernels together; any trained network has some dead channels
HAS_ZEROS = 0.005  # share of zeros in a kernel from which on it counts as pruned; rounding leaves a few anywhere


def table(variants: Sequence[Variant], float_validation: Scores, float_test: Scores | None = None) -> str:
    """The variants as text, at most 150 characters a line; until test photos are read, without their column."""
    is_tested = float_test is not None
    accuracy = ("val", "test (95 %)") if is_tested else ("val top-1",)
    cost = ("agree", "kB", "gzip", "MMACs", "ms", "p95", f"{threads(variants)} thr", "speed", "MB", "")
    keras = (KERAS, *_accuracy(float_validation, float_test, is_tested), *[""] * len(("points", "p", *cost)))
    rows = _aligned(
        [("variant", *accuracy, "points to keras", "p", *cost), keras, *(_row(v, is_tested) for v in variants)]
    )
    pruned = [line for variant in variants if (line := zeros(variant))]
    if pruned:
        rows += ["", *pruned, "Zeros make a file compress better (gzip); they do not make it run faster."]
    return "\n".join(rows)


def _row(v: Variant, is_tested: bool) -> tuple[str, ...]:
    change = v.test_change if is_tested else v.change
    speed, written = f"{digits(v.speed.value)}x" if v.speed else "-", "<- written" if v.is_chosen else ""
    accuracy = _accuracy(v.validation, v.test, is_tested)
    return (v.name, *accuracy, *against_keras(change, ""), *figures(v, speed), written)


def against_keras(change: Change | None, unknown: str) -> tuple[str, str]:
    """Points against the trained network and their p-value; `unknown` where they were not compared."""
    return (points(change), chance(change)) if change else (unknown, unknown)


def figures(v: Variant, speed: str) -> tuple[str, ...]:
    """Agreement, kB, gzip kB, million multiply-adds, ms, p95, ms with all threads, `speed` as given, MB."""
    return (
        f"{v.agreement:.1%}",
        f"{v.bytes / 1000:.0f}",
        f"{v.gzip_bytes / 1000:.0f}",
        digits(v.multiply_adds / 1e6),
        digits(v.p50_ms),
        digits(v.p95_ms),
        digits(v.all_p50_ms),
        speed,
        f"{v.peak_mb:.0f}" if v.peak_mb is not None else "-",
    )


def threads(variants: Sequence[Variant]) -> int:
    """How many all threads are."""
    return max((v.all_threads for v in variants), default=1)


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
