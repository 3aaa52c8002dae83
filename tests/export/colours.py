"""A finished run in miniature: photos that are told apart by their colour, and a tiny network that does so.

The network has every kind of layer that MobileNetV2 has, and trains in a second.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.photos.manifest import Photo, Split, write_manifest
from export.graph import edit
from training.config import TrainConfig
from training.network.backbone import EVIDENCE, FEATURES
from training.network.inference import normalise
from training.network.keras import keras

SIZE = 32  # pixels
HUES_BGR = {"bluebell": (200, 70, 60), "fern": (60, 180, 70), "poppy": (50, 60, 210)}
LABELS = tuple(HUES_BGR)
SPLITS: tuple[tuple[Split, int], ...] = (("train", 10), ("validation", 8), ("test", 6))  # photos of each class


def photo(label: str, number: int, size_wh: tuple[int, int] = (48, 40)) -> NDArray[np.uint8]:
    """A noisy patch in the colour of its class, BGR."""
    draws = np.random.default_rng([LABELS.index(label), number])
    light = draws.uniform(0.7, 1.1)
    noise = draws.normal(0, 12, (size_wh[1], size_wh[0], 3))
    return np.clip(np.array(HUES_BGR[label]) * light + noise, 0, 255).astype(np.uint8)


def write_photos(root: Path) -> tuple[Photo, ...]:
    """The photos of all classes, and the manifest's line for each."""
    photos = []
    for label in LABELS:
        (root / label).mkdir(parents=True)
        splits = [split for split, count in SPLITS for _ in range(count)]
        for number, split in enumerate(splits):
            path = root / label / f"{number:02d}.png"
            path.write_bytes(cv2.imencode(".png", photo(label, number))[1].tobytes())
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            photos.append(Photo(f"{label}/{path.name}", sha256, label, split, 48, 40))
    return tuple(photos)


def network(seed: int = 0, num_classes: int = len(LABELS), size: int = SIZE) -> Any:
    """Stem, one inverted residual block and the head, with fresh weights."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers

    def settled(x: Any, name: str) -> Any:
        return layers.ReLU(6.0, name=f"{name}_relu")(layers.BatchNormalization(momentum=0.8, name=f"{name}_bn")(x))

    picture = keras.Input((size, size, 3))
    x = settled(layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(picture), "stem")
    expanded = settled(layers.Conv2D(32, 1, use_bias=False, name="expand")(x), "expand")
    padded = layers.ZeroPadding2D(1, name="pad")(expanded)
    x = settled(layers.DepthwiseConv2D(3, strides=2, use_bias=False, name="depthwise")(padded), "depthwise")
    x = layers.BatchNormalization(momentum=0.8, name="project_bn")(
        layers.Conv2D(16, 1, use_bias=False, name="project")(x)
    )
    x = layers.Add(name="add")([x, layers.Conv2D(16, 1, use_bias=False, name="shortcut")(x)])
    features = layers.Activation("linear", name=FEATURES)(x)
    dropped = layers.SpatialDropout2D(0.1, name="dropout")(features)
    pooled = layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(num_classes, 1, name=EVIDENCE)(dropped))
    return keras.Model(picture, layers.Softmax(name="probabilities")(pooled), name="flora")


def pictures(numbers: range) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """RGB (n, SIZE, SIZE, 3) of every class in turn, and the class numbers."""
    found = [photo(label, number, (SIZE, SIZE))[..., ::-1] for number in numbers for label in LABELS]
    return np.ascontiguousarray(found), np.tile(np.arange(len(LABELS)), len(numbers))


def trained_network() -> Any:
    model, (views, truth) = network(), pictures(range(100, 116))
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy())
    model.fit(normalise(views), truth, batch_size=len(views), epochs=30, verbose=0)
    return model


def write_run(run: Path, root: Path, model: Any, photos: tuple[Photo, ...]) -> Path:
    """A run folder as `flora train` leaves it, as far as export reads it."""
    run.mkdir(parents=True)
    TrainConfig(str(root), alpha=0.35, size=model.input_shape[1], weights="none", batch=6).write(run / "config.json")
    write_manifest(run / "manifest.csv", photos)
    model.save(run / "model.keras")
    return run


def temperature_of(flatbuffer: bytes) -> float:
    """What the softmax of a file divides logits by."""
    return 1.0 / float(edit.softmax_of(edit.load(flatbuffer)).builtinOptions.beta)


def stages(size: int) -> Any:
    """Blocks as those of MobileNetV2, one for each stage: the pictures shrink as the channels grow."""
    layers = keras.layers
    picture = keras.Input((size, size, 3))
    x = layers.ReLU(6.0)(layers.Conv2D(32, 3, strides=2, padding="same", name="stem")(picture))
    for number, channels in enumerate((24, 48, 96), 1):
        wide = layers.ReLU(6.0)(layers.Conv2D(4 * channels, 1, name=f"wide_{number}")(x))
        deep = layers.ReLU(6.0)(layers.DepthwiseConv2D(3, strides=2, padding="same")(wide))
        x = layers.Conv2D(channels, 1, name=f"narrow_{number}")(deep)
    evidence = layers.Conv2D(3, 1, name="evidence")(layers.ReLU(6.0)(layers.Conv2D(256, 1, name="last")(x)))
    return keras.Model(picture, layers.Softmax()(layers.GlobalAveragePooling2D()(evidence)))
