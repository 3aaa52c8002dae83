"""Write the model file: flatbuffer, labels and card, read back before it gets its name."""

from __future__ import annotations

import datetime
import hashlib
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from edge.card import Accuracy, ModelCard, labels_text, pack
from edge.classifier import Classifier
from edge.errors import ModelError, OutputError
from edge.metrics import Scores

TOOLS = ("flora-edge", "tensorflow", "tf_keras", "tensorflow-model-optimization", "ai-edge-litert", "numpy")


def make_card(
    flatbuffer: bytes, labels: tuple[str, ...], input_size: int, variant: str, *, scores: Scores, float_scores: Scores,
    manifest_sha256: str, config_path: Path, licence: str, attribution: str,
) -> ModelCard:  # fmt: skip
    """The card of one flatbuffer. `scores` are those of held-out test photos, measured after the choice."""
    return ModelCard(
        labels=labels,
        input_size=input_size,
        variant=variant,
        sha256=hashlib.sha256(flatbuffer).hexdigest(),
        labels_sha256=hashlib.sha256(labels_text(labels)).hexdigest(),
        accuracy=_accuracy(scores),
        float_accuracy=_accuracy(float_scores),
        unknown_threshold=None,
        coverage=None,
        manifest_sha256=manifest_sha256,
        config_sha256=hashlib.sha256(config_path.read_bytes()).hexdigest(),
        tools=tool_versions(),
        created=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        licence=licence,
        attribution=attribution,
    )


def write_model(path: Path, flatbuffer: bytes, card: ModelCard, picture_bgr: np.ndarray) -> int:
    """Write the file under a temporary name, load it, let it answer once, rename it; returns its size in bytes.

    Raises OutputError when the place cannot be written to, ModelError when what was written does not load.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("wb") as file:
            file.write(pack(flatbuffer, card))
            file.flush()
            os.fsync(file.fileno())
        _read_back(partial, card, picture_bgr)
        size = partial.stat().st_size
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: the model cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)
    return size


def tool_versions() -> dict[str, str]:
    """Versions of the packages that decide what comes out."""
    found = {}
    for name in TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _read_back(path: Path, card: ModelCard, picture_bgr: np.ndarray) -> None:
    classify = Classifier(path, threads=1)
    if classify.card != card:
        raise ModelError(f"{path}: the card reads back differently from how it was written")
    total = float(classify(picture_bgr).probabilities.sum())
    if abs(total - 1.0) > len(card.labels) / 256:
        raise ModelError(f"{path}: the model's probabilities add up to {total:.3f}; expected 1")


def _accuracy(scores: Scores) -> Accuracy:
    return Accuracy(scores.top1, scores.low, scores.high, scores.n)
