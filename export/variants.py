"""What an export measured and wrote, as a text table for a person and as JSON for a machine."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.card import ModelCard
from edge.metrics import Scores

OF_A_FILE = ("calibration", "rejection", "golden_cases", "minimum_runtime", "report")  # null when none was written
HAS_ZEROS = 0.005  # share of zeros in a kernel from which on it counts as pruned; rounding leaves a few anywhere


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
    """The variants as text: top-1 by the TFLite runtime, agreement with Keras, bytes, zeros, milliseconds."""
    head = f"{'variant':<16}{'val top-1':>10}{'test top-1 (95 %)':>24}{'agree':>8}"
    head += f"{'kB':>8}{'gzip kB':>9}{'zeros':>7}{'ms':>8}"
    keras = f"{'keras float32':<16}{float_validation.top1:>10.1%}{_interval(float_test):>24}"
    rows = [head, keras, *map(_row, variants)]
    pruned = [line for variant in variants if (line := _zeros(variant))]
    if pruned:
        rows += ["", *pruned, "Zeros make a file compress better (gzip); they do not make it run faster."]
    return "\n".join(row.rstrip() for row in rows)


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


def _row(v: Variant) -> str:
    accuracy = f"{v.validation.top1:>10.1%}{_interval(v.test):>24}{v.agreement:>8.1%}"
    cost = f"{v.bytes / 1000:>8.0f}{v.gzip_bytes / 1000:>9.0f}{v.sparsity:>7.0%}{v.p50_ms:>8.2f}"
    return f"{v.name:<16}{accuracy}{cost}{' <- written' if v.is_chosen else ''}"


def _zeros(v: Variant) -> str:
    """How the zeros of a pruned variant are spread over its layers, in one line; nothing for a dense one."""
    shares = [share for share in v.sparsity_by_layer.values() if share >= HAS_ZEROS]
    if not shares:
        return ""
    low, high = f"{min(shares):.0%}", f"{max(shares):.0%}"
    spread = f"{low} of each" if low == high else f"{low} to {high} of each (median {statistics.median(shares):.0%})"
    return (
        f"{v.name}: zeros in {len(shares)} of {len(v.sparsity_by_layer)} convolutions, {spread}; --json has every layer"
    )


def _interval(scores: Scores | None) -> str:
    return "" if scores is None else f"{scores.top1:.1%} ({scores.low:.1%}-{scores.high:.1%})"
