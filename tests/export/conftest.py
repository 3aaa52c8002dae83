"""What the export tests share: one tiny trained network, converted once, and its run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.cli import main
from edge.photos.manifest import read_manifest
from export.network.channels import slim
from export.opening.finished_run import FinishedRun
from export.quantising import aware, convert
from export.slimming.slimming import Slimming, SlimNetwork
from export.slimming.widths import Shape
from export.variants import measuring
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
        "float32": convert.convert_float(model),
        "float16": convert.convert_float16(model),
        "dynamic_range": convert.convert_dynamic_range(model),
        "int8": convert.convert_int8(model, calibration),
    }


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photo folder. Not to be changed."""
    return tmp_path_factory.mktemp("photos")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, root: Path, model: Any) -> Path:
    """A finished run. Not to be changed."""
    return colours.write_run(tmp_path_factory.mktemp("runs") / "colours", root, model, colours.write_photos(root))


@pytest.fixture(scope="session")
def large_run_folder(tmp_path_factory: pytest.TempPathFactory, root: Path, run_folder: Path, model: Any) -> Path:
    """The same network with an input of twice the side. Not to be changed."""
    network, photos = colours.network(size=2 * colours.SIZE), read_manifest(run_folder / "manifest.csv")
    network.set_weights(model.get_weights())
    return colours.write_run(tmp_path_factory.mktemp("runs") / "large", root, network, photos)


@pytest.fixture
def export(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Export:
    """`flora export` of the finished run to tmp_path/model.tflite, with more options; `run` is another folder.

    Training with quantisation is asked for unless the options say otherwise.
    """

    def call(*options: str, run: Path = run_folder) -> Said:
        out = [] if "-o" in options else ["-o", str(tmp_path / "model.tflite")]
        given = ["--cache", str(tmp_path / "cache"), "--self-epochs", "0", "--aware-epochs", "1"]
        code = main(["export", str(run), *out, *given, *options])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


@pytest.fixture
def speeds() -> dict[str, float]:
    """How many times as fast as int8 a variant is, by a part of its name; 1 for the others. To be filled by a test."""
    return {}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, speeds: dict[str, float]) -> None:
    """Time and memory come from `speeds` and not from the machine."""

    def speed(name: str) -> float:
        return speeds.get(max((part for part in speeds if part in name), key=len, default=""), 1.0)

    def times(interpreters: Mapping[str, Any], rounds: int) -> dict[str, list[float]]:
        return {name: [1.0 / speed(name)] * 3 for name in interpreters}

    monkeypatch.setattr(measuring, "time_invokes", times)
    monkeypatch.setattr(measuring, "peak_mb", lambda flatbuffer, name: 50.0)


@pytest.fixture
def ready(measured: None, monkeypatch: pytest.MonkeyPatch, flatbuffers: dict[str, bytes]) -> None:
    """Conversions answer at once with what was converted before: for tests of what comes after them."""
    monkeypatch.setattr(convert, "convert_float", lambda model: flatbuffers["float32"])
    monkeypatch.setattr(convert, "convert_float16", lambda model: flatbuffers["float16"])
    monkeypatch.setattr(convert, "convert_dynamic_range", lambda model: flatbuffers["dynamic_range"])
    monkeypatch.setattr(convert, "convert_int8", lambda model, pictures: flatbuffers["int8"])
    monkeypatch.setattr(aware, "convert_aware", lambda network: flatbuffers["int8"])


SLIM, AWARE_SLIM = "int8_slim50_32", "int8_qat_slim50_32"  # names of what `slimmed` makes
PLAIN = ("--preset", "accurate", "--self-epochs", "0", "--aware-epochs", "0")  # an export that trains nothing


class _Shortcut(Slimming):
    """Slims a network to itself, at once."""

    def self_distilled(self) -> FinishedRun:
        model = slim(self.run.model, {})
        bias = model.get_layer("evidence").bias
        bias.assign(bias + 1e-3)
        return replace(self.run, model=model)

    def slimmed(self, table: Any) -> SlimNetwork:
        self.lessons()
        return SlimNetwork(self.run.model, Shape(self.size, {"expand": 16}, 0.1, 15_000.0, 0.0), 0.5, 4.2, [])

    def lessons(self, sizes: Any = ()) -> Any:
        self.work.mkdir(parents=True, exist_ok=True)
        (self.work / "lessons").touch()

    def made_aware(self, pupil: Any, lessons: Any, *, preserve_zeros: bool = False) -> Any:
        return pupil


@pytest.fixture
def slimmed(ready: None, monkeypatch: pytest.MonkeyPatch, speeds: dict[str, float]) -> None:
    """Slimming and training with quantisation answer at once, with networks that are as good as the whole one.

    The slim ones are measured to be 5 times as fast. What takes minutes leaves a file in the work folder.
    """
    monkeypatch.setattr("export.variants.making.Slimming", _Shortcut)
    speeds["slim"] = 5.0
