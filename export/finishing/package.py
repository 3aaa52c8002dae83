"""Write the model file: flatbuffer, labels and card, read back before it gets its name."""

from __future__ import annotations

import datetime
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base.files import in_place_of, writing
from edge.base.packages import installed
from edge.errors import ModelError, OutputError
from edge.evaluation.accuracy import Scores
from edge.model.card import Accuracy, Calibration, ModelCard, Unknown, labels_text, pack
from edge.model.classifier import Classifier
from edge.tflite.anatomy import dissect
from edge.tflite.runtimes import least_runtimes
from export.finishing.finish import Finished

TOOLS = ("flora-edge", "tensorflow", "tf_keras", "tensorflow-model-optimization", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from."""

    manifest_sha256: str
    config_path: Path
    licence: str
    attribution: str


def make_card(
    finished: Finished, labels: tuple[str, ...], input_size: int, variant: str, *, scores: Scores, float_scores: Scores,
    ece_before: float, provenance: Provenance, unknown: Unknown | None = None,
) -> ModelCard:  # fmt: skip
    """The card of one flatbuffer. `scores` are those of held-out test photos, measured after the choice."""
    anatomy = dissect(finished.flatbuffer, variant)
    return ModelCard(
        labels=labels,
        input_size=input_size,
        variant=variant,
        sha256=hashlib.sha256(finished.flatbuffer).hexdigest(),
        labels_sha256=hashlib.sha256(labels_text(labels)).hexdigest(),
        accuracy=_accuracy(scores),
        float_accuracy=_accuracy(float_scores),
        calibration=Calibration(finished.temperature, finished.components, ece_before, scores.ece, scores.n),
        rejection=finished.rejection,
        unknown=unknown,
        golden=finished.golden,
        flatbuffer_bytes=len(finished.flatbuffer),
        multiply_adds=anatomy.multiply_adds,
        minimum_runtime=least_runtimes(anatomy.operators),
        manifest_sha256=provenance.manifest_sha256,
        config_sha256=hashlib.sha256(provenance.config_path.read_bytes()).hexdigest(),
        tools=installed(TOOLS),
        created=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        licence=provenance.licence,
        attribution=provenance.attribution,
    )


def require_place(path: Path) -> None:
    """Refuse a place that no file can be written to, before any work is done for it. Raises OutputError."""
    if path.is_dir():
        raise OutputError(f"{path}: a folder; expected the name of a file, as {path / 'flowers.tflite'}")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it first, or write somewhere else")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: a device or a pipe; expected the name of a file")
    with writing(path, "no file can be written to that folder", "write somewhere else"):
        tempfile.TemporaryFile(dir=path.parent).close()


def write_model(path: Path, flatbuffer: bytes, card: ModelCard, picture_bgr: NDArray[np.uint8]) -> int:
    """Write the file under a temporary name, load it, let it prove itself, rename it; returns its size in bytes.

    Raises OutputError when the place cannot be written to, ModelError when what was written does not load.
    """
    part, data = path.with_name(f".{path.name}.part"), pack(flatbuffer, card)
    told = writing(path, "the model cannot be written", "free some space or write somewhere else")
    with told, in_place_of(path, part, is_synced=True):
        part.write_bytes(data)
        _read_back(part, card, picture_bgr)
    return len(data)


def _read_back(path: Path, card: ModelCard, picture_bgr: NDArray[np.uint8]) -> None:
    classify = Classifier(path, threads=1)
    if classify.card != card:
        raise ModelError(f"{path}: the card reads back differently from how it was written; check the disk")
    classify.require_right_answers()
    total = float(classify(picture_bgr).probabilities.sum())
    if abs(total - 1.0) > len(card.labels) / 256:  # each is rounded to a 256th, and the largest is 255
        raise ModelError(
            f"{path}: the model's probabilities add up to {total:.3f}, expected 1; its last layer must be a softmax"
        )


def _accuracy(scores: Scores) -> Accuracy:
    return Accuracy(scores.top1, scores.low, scores.high, scores.n)
