"""Open what a person names as a model: a `.tflite` file, a run folder, a Keras file, or `imagenet`.

Beside the table of verbs in `edge.cli` the only place in edge that names a module of training.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from edge.model.classifier import Classifier
from edge.model.interpreter import checked_threads


def open_classifier(model: str | None, *, threads: int | None = None, threshold: float | None = None) -> Any:
    """Open what `--model` names: a `.tflite` file; with TensorFlow also a run folder, a `.keras` file or `imagenet`.

    None is the bundled flower model.
    """
    threads = checked_threads(threads)
    if model is None:
        return Classifier(threads=threads, threshold=threshold)
    path = Path(model)
    if model == "imagenet" or (path / "config.json").exists() or path.suffix == ".keras":
        return import_module("training.network.classifier").open_keras(model, threshold=threshold)
    return Classifier(path, threads=threads, threshold=threshold)
