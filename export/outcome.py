"""What an export wrote, or why it wrote nothing: for a caller, and as JSON for a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.base.formats import plain
from edge.evaluation.accuracy import Scores
from edge.model.card import ModelCard
from export.variants.variant import Variant

OF_A_FILE = ("calibration", "rejection", "golden_cases", "minimum_runtime", "report")  # null when none was written


@dataclass(frozen=True)
class PassedOver:
    """A variant that would be written under other limits."""

    name: str
    why: str
    remedy: Mapping[str, float]  # options with which it is


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
    missed: tuple[str, ...] = ()  # what a preset aims at and this file does not reach, a line each
    passed_over: PassedOver | None = None  # what was aimed for, but loses too much


def as_json(exported: Exported) -> dict[str, Any]:
    """The same for a machine."""
    return {
        "path": str(exported.path),
        "bytes": exported.bytes,
        "chosen": exported.chosen,
        **_measured(exported.variants, exported.float_validation),
        "float_test": exported.float_test.to_json(),
        "calibration": plain(exported.card.calibration),
        "rejection": plain(exported.card.rejection),
        "golden_cases": len(exported.card.golden),
        "minimum_runtime": exported.card.minimum_runtime,
        "report": str(exported.report),
        "missed": list(exported.missed),
    }


def refusal_as_json(variants: Sequence[Variant], float_validation: Scores, reason: str) -> dict[str, Any]:
    """The same keys when nothing was written: no file was chosen, no test photo was read."""
    nothing = {"path": None, "bytes": None, "chosen": None}
    return {
        **nothing,
        **_measured(variants, float_validation),
        "float_test": None,
        **dict.fromkeys(OF_A_FILE),
        "missed": [],
        "refused": reason,
    }


def _measured(variants: Sequence[Variant], float_validation: Scores) -> dict[str, Any]:
    rows = [
        {**asdict(v), "validation": v.validation.to_json(), "test": v.test.to_json() if v.test else None}
        for v in variants
    ]
    return {"variants": rows, "float_validation": float_validation.to_json()}
