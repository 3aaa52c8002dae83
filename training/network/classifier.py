"""A Keras network behind the same face as a `.tflite` file: ImageNet's pretrained MobileNet, a run, a `.keras` file.

In:  BGR uint8 (H, W, 3), through the same edge.picture.geometry as on the device.
Out: edge.contract.result.Result.
"""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from edge.base.formats import remarks_on
from edge.contract.rejection import Rejection, overridden
from edge.contract.result import Result
from edge.errors import ModelError
from edge.photos import run_folder
from edge.picture import geometry
from edge.picture.geometry import Picture
from training.config import read_config
from training.network.backbone import imagenet_classifier
from training.network.inference import load_model, normalise
from training.network.keras import tf

IMAGENET = "imagenet"
IMAGENET_SIZE = 224


class KerasClassifier:
    """A Keras network that takes float32 [-1, 1] (n, N, N, 3) and gives probabilities (n, num_classes)."""

    def __init__(
        self, model: Any, labels: tuple[str, ...], name: str, rejection: Rejection | None = None,
        remarks: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """`remarks` are for a person to hear. Raises ModelError when the labels are not as many as the outputs."""
        if model.output_shape[-1] != len(labels):
            raise ModelError(
                f"{name}: {model.output_shape[-1]} outputs but {len(labels)} labels; is labels.txt another run's?"
            )
        self.name, self.labels, self.rejection, self.remarks = name, labels, rejection, remarks
        self.size = int(model.input_shape[1])
        self.manifest_sha256: str | None = None  # a run's own list lies beside it
        self._predict = tf.function(lambda picture: model(picture, training=False), reduce_retracing=True)

    def __call__(self, frame_bgr: Picture) -> Result:
        """Classify one BGR uint8 frame (H, W, 3)."""
        started = time.perf_counter()
        picture = geometry.model_input(frame_bgr, self.size)
        cropped = time.perf_counter()
        probabilities = self._predict(tf.constant(normalise(picture[None])))[0].numpy().astype(np.float32)
        done = time.perf_counter()
        return Result(self.labels, probabilities, (cropped - started) * 1e3, (done - cropped) * 1e3, self.rejection)

    def require_right_answers(self) -> None:
        """There are no golden cases to fail: a file's are this network's own answers."""


def keras_classifier(model: str, *, threshold: float | None = None) -> KerasClassifier:
    """Open `imagenet`, a run folder, or a `.keras` file with its labels.txt beside it. Raises ModelError."""
    rejection = overridden(None, threshold)
    if model == IMAGENET:
        return KerasClassifier(imagenet_classifier(IMAGENET_SIZE), imagenet_labels(), IMAGENET, rejection)
    path = Path(model)
    if path.suffix == ".keras":
        return KerasClassifier(
            load_model(path.parent, path.name), read_labels(path.parent / run_folder.LABELS), path.name, rejection
        )
    found = remarks_on(path / run_folder.CONFIG, read_config(path))
    return KerasClassifier(load_model(path), read_labels(path / run_folder.LABELS), path.name, rejection, found)


def read_labels(path: Path) -> tuple[str, ...]:
    """Read a labels.txt, one label a line. Raises ModelError when it is missing or empty."""
    try:
        labels = tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); expected one label a line, beside the model") from error
    if not labels:
        raise ModelError(f"{path}: holds no labels; expected one a line")
    return labels


def imagenet_labels() -> tuple[str, ...]:
    """The 1000 class names of ImageNet's 2012 challenge, in the order of Keras' weights."""
    return tuple(files("training").joinpath("imagenet_classes.txt").read_text(encoding="utf-8").splitlines())
