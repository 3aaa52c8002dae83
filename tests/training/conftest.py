"""What the training tests share: photos, a backbone to start from, a network, and one finished run.

TensorFlow is imported by the fixtures that need it, so that the tests of photos and plots start at once.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.training.runs import MIXED, PER_CLASS, TINY, Finished, Names, call
from training.garden.planting import SPECIES, plant


@pytest.fixture(scope="session")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders: 40 rendered photos of 5 species, 48 x 40 pixels."""
    folder = tmp_path_factory.mktemp("garden")
    assert plant(folder, PER_CLASS, 1, (48, 40)) == PER_CLASS * len(SPECIES)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the trainings of all tests keep their decoded photos."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny(cache: Path) -> tuple[str, ...]:
    """Options of a training that takes seconds."""
    return (*TINY, "--cache", str(cache))


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of the backbone in TINY, randomly initialised, as `--weights` takes it."""
    from training.network.keras import keras

    keras.utils.set_random_seed(5)
    trunk = keras.applications.MobileNet(input_shape=(32, 32, 3), alpha=0.25, include_top=False, weights=None)
    path = tmp_path_factory.mktemp("weights") / "backbone.h5"
    trunk.save_weights(str(path))
    return path


@pytest.fixture(scope="session")
def finished(garden: Path, tiny: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("runs") / "finished"
    called = call("train", garden, "--out", folder, "--weights", "none", *tiny)
    assert called.code == 0, called.err
    return Finished(folder, called)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos of several shapes, each of another colour. Not to be changed."""
    folder, draws = tmp_path_factory.mktemp("photos"), np.random.default_rng(4)
    for number in range(MIXED):
        shape = (40 + 7 * number, 90 - 4 * number)
        noise = draws.integers(0, 40, (*shape, 3))
        tint = np.array([20 * number, 200 - 15 * number, 90])
        cv2.imwrite(str(folder / f"{number:02d}.png"), (noise + tint).astype(np.uint8))
    return folder


@pytest.fixture(scope="session")
def names(root: Path) -> Names:
    """The photos' paths and hashes."""
    paths = sorted(path.name for path in root.iterdir())
    return paths, [hashlib.sha256((root / path).read_bytes()).hexdigest() for path in paths]


@pytest.fixture(scope="session")
def model() -> Any:
    """The network of TINY for three classes, with fresh weights. To be left as it was."""
    from training.network import backbone
    from training.network.keras import keras

    keras.utils.set_random_seed(1)
    built = backbone.build("mobilenet", 0.25, 32, 3)
    backbone.initialise(built, 1)
    return built
