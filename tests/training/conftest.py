"""What the training tests share: a small garden, a backbone to start from, and one finished run.

TensorFlow is imported by the fixtures that need it, so that the tests of photos and plots start at once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.runs import PER_CLASS, TINY, Finished, call
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
