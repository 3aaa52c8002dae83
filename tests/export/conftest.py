"""What the export tests share: one tiny trained network, converted once, and its run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.cli import main
from export import quantize
from tests.export import colours


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines of stderr that are not a progress bar's."""
        return [line for line in self.err.splitlines() if " in 0:" not in line]


Export = Callable[..., Said]


@pytest.fixture(scope="session")
def model() -> Any:
    """A trained network that is right on every photo. Not to be changed."""
    return colours.trained_network()


@pytest.fixture(scope="session")
def calibration() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return colours.pictures(range(100, 110))[0]


@pytest.fixture(scope="session")
def flatbuffers(model: Any, calibration: Any) -> dict[str, bytes]:
    return {
        "float32": quantize.convert_float(model),
        "dynamic_range": quantize.convert_dynamic_range(model),
        "int8": quantize.convert_int8(model, calibration),
    }


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photo folder. Not to be changed."""
    return tmp_path_factory.mktemp("photos")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, root: Path, model: Any) -> Path:
    """A finished run. Not to be changed."""
    return colours.write_run(tmp_path_factory.mktemp("runs") / "colours", root, model, colours.write_photos(root))


@pytest.fixture
def export(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Export:
    """`flora export` of the finished run to tmp_path/model.tflite, with more options; `run` is another folder."""

    def call(*options: str, run: Path = run_folder) -> Said:
        out = [] if "-o" in options else ["-o", str(tmp_path / "model.tflite")]
        code = main(["export", str(run), *out, "--cache", str(tmp_path / "cache"), *options])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch, flatbuffers: dict[str, bytes]) -> None:
    """Conversions answer at once with what was converted before: for tests of what comes after them."""
    monkeypatch.setattr(quantize, "convert_float", lambda model: flatbuffers["float32"])
    monkeypatch.setattr(quantize, "convert_dynamic_range", lambda model: flatbuffers["dynamic_range"])
    monkeypatch.setattr(quantize, "convert_int8", lambda model, pictures: flatbuffers["int8"])
