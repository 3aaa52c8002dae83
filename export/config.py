"""What an export was asked for."""

from __future__ import annotations

from dataclasses import dataclass

from edge.errors import UsageError
from edge.options import option


@dataclass(frozen=True)
class ExportConfig:
    """Everything that decides which file an export writes. The defaults cost about seven minutes on two cores."""

    max_drop: float = option(
        1.0, "points of validation top-1 that the file may lose against the trained network", metavar="POINTS"
    )
    max_kb: float = option(0.0, "largest file in kilobytes of 1000 bytes; 0 sets no limit", metavar="KB")
    sparsity: float = option(
        0.5, "share of the weights of the 1x1 convolutions that magnitude pruning sets to zero; 0 skips it"
    )
    prune_epochs: int = option(3, "epochs of fine-tuning while pruning")
    prune_rate: float = option(1e-4, "peak learning rate while pruning")
    calibration: int = option(300, "training photos, drawn evenly from all classes, that set the int8 ranges")
    coverage: float = option(
        0.95, 'share of known photos that the threshold for "unknown" keeps; 1 keeps every validation photo'
    )
    unknown: str | None = option(
        None,
        "pictures of other things: one half may decide the threshold, the other half is measured on",
        metavar="FOLDER",
    )
    evidence: bool = option(False, "a second output: the map of where in the picture each label's evidence is")
    photos: str | None = option(None, "the photo folder, if it has moved since the training", metavar="FOLDER")
    licence: str | None = option(
        None,
        "licence that the card states; not stated unless given, since only you know that of your photos",
        metavar="TEXT",
    )
    attribution: str | None = option(None, "whom the card credits", metavar="TEXT")

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "max_drop": (0.0, 100.0), "max_kb": (0.0, 1e9), "sparsity": (0.0, 0.95), "prune_epochs": (1, 10_000),
            "prune_rate": (1e-8, 1.0), "calibration": (1, 100_000), "coverage": (0.5, 1.0),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"--{name.replace('_', '-')} {value}: expected a value from {low:g} to {high:g}")
