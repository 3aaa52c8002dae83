"""What the training tests share: a small garden, a backbone to start from, and one finished run.

TensorFlow is imported by the fixtures that need it, so that the tests of photos and plots start at once.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.cli import main
from training.garden import SPECIES, plant

PER_CLASS = 8  # 30 photos to train on, 5 to validate, 5 to test
TINY = (
    "--backbone", "mobilenet", "--alpha", "0.25", "--size", "32", "--batch", "8", "--min-photos", "4",
    "--epochs", "3", "--head-epochs", "3",
)  # fmt: skip


@dataclass(frozen=True)
class Called:
    """What one call of the command did."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that says what went wrong; fails unless stderr ends with it and holds no other, nor a traceback."""
        *before, last = self.err.rstrip("\n").split("\n")
        assert self.code != 0, self.err
        assert last.startswith("flora: "), self.err
        assert not any("Traceback" in line or line.startswith("flora: ") for line in before), self.err
        return last


def call(*arguments: str | Path) -> Called:
    """Run the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Called(code, out.getvalue(), err.getvalue())


@pytest.fixture(name="call")
def call_fixture() -> Callable[..., Called]:
    return call


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
    """A weights file of Keras' MobileNetV2 0.35, randomly initialised, as `--weights` takes it."""
    from training.keras import keras

    keras.utils.set_random_seed(5)
    trunk = keras.applications.MobileNetV2(input_shape=(32, 32, 3), alpha=0.35, include_top=False, weights=None)
    path = tmp_path_factory.mktemp("weights") / "backbone.h5"
    trunk.save_weights(str(path))
    return path


@dataclass(frozen=True)
class Finished:
    """A finished run, trained from scratch, and what its making printed."""

    folder: Path
    called: Called


@pytest.fixture(scope="session")
def finished(garden: Path, tiny: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Read it only: the tests share it."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    called = call("train", garden, "--out", folder, "--weights", "none", *tiny)
    assert called.code == 0, called.err
    return Finished(folder, called)


@pytest.fixture(scope="session")
def weights_of() -> Callable[[Path], list[Any]]:
    """The tensors of a run's network."""
    from training.fit import load_model

    return lambda run: list(load_model(run).get_weights())
