"""Open what a person names as a model: a `.tflite` file, a run folder, a Keras file, or `imagenet`.

Beside the table of verbs in `edge.cli` the only place in edge that names a module of training.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from edge.contract.result import PictureClassifier
from edge.model.classifier import Classifier
from edge.model.interpreter import checked_threads
from edge.photos.run_folder import is_run


def open_classifier(
    model: str | None, *, threads: int | None = None, threshold: float | None = None
) -> PictureClassifier:  # fmt: skip
    """Open what `--model` names: a `.tflite` file; with TensorFlow also a run folder, a `.keras` file or `imagenet`.

    None is the bundled flower model.
    """
    threads = checked_threads(threads)
    if model is None:
        return Classifier(threads=threads, threshold=threshold)
    path = Path(model)
    if model == "imagenet" or is_run(path) or path.suffix == ".keras":
        found: PictureClassifier = import_module("training.network.classifier").keras_classifier(
            model, threshold=threshold
        )
        return found
    return Classifier(path, threads=threads, threshold=threshold)
