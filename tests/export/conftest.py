"""What the export tests share: one tiny trained network, converted once, and its run folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.cli import main
from edge.photos.manifest import read_manifest
from export.network.channels import slim
from export.opening.finished_run import FinishedRun, open_run
from export.presets import Plan
from export.quantising import aware, convert
from export.slimming import slimming
from export.slimming.shaping import Settled
from export.slimming.slimming import Slimming, SlimNetwork
from export.slimming.widths import Shape
from export.teaching import teacher as teaching
from export.teaching.lessons import Lessons
from export.teaching.teacher import Teacher
from export.variants import measuring
from tests.export import colours
from training.network.inference import predict


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
    """How many times as fast as int8 a variant is, by a part of its name; 1 for the others. To be filled by a test.

    "timed" is how fast a slim network's shape is before it is taught, where that is not as fast as it turns out to be.
    """
    return {}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, speeds: dict[str, float]) -> None:
    """Time and memory come from `speeds` and not from the machine."""

    def speed(name: str) -> float:
        return speeds.get(max((part for part in speeds if part in name), key=len, default=""), 1.0)

    def times(interpreters: Mapping[str, Any], rounds: int, clock: Any = None) -> dict[str, list[float]]:
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


class _QuickTeacher(Teacher):
    """Teaches at once, with networks that are as good as the whole one."""

    def self_distilled(self) -> FinishedRun:
        model = slim(self.run.model, {})
        bias = model.get_layer("evidence").bias
        bias.assign(bias + 1e-3)
        return replace(self.run, model=model)

    def lessons(self, sizes: Any = ()) -> Any:
        self.work.mkdir(parents=True, exist_ok=True)
        (self.work / "lessons").touch()

    def made_aware(self, pupil: Any, lessons: Any, *, preserve_zeros: bool = False) -> Any:
        return pupil


class _QuickSlimming(Slimming):
    """Slims a network to itself, at once."""

    def shape(self, table: Any, timed: Any) -> Settled:
        shape = Shape(self.teacher.size, {"expand": 16}, 0.1, 900.0, 0.0)
        return Settled(shape, 4.2, timed(b"") if timed else None)

    def slimmed(self, settled: Settled) -> SlimNetwork:
        self.teacher.lessons()
        return SlimNetwork(self.run.model, settled.shape, 0.5, settled.foretold, settled.timed, [])


@pytest.fixture
def slimmed(ready: None, monkeypatch: pytest.MonkeyPatch, speeds: dict[str, float]) -> None:
    """Slimming and training with quantisation answer at once, with networks that are as good as the whole one.

    The slim ones are measured to be 5 times as fast. What takes minutes leaves a file in the work folder.
    """
    monkeypatch.setattr("export.variants.maker.Slimming", _QuickSlimming)
    monkeypatch.setattr("export.variants.maker.Teacher", _QuickTeacher)
    monkeypatch.setattr("export.variants.maker.share_kept", lambda run, shape: 0.5)
    monkeypatch.setattr("export.variants.maker.speed_beside", lambda plain, other: speeds.get("timed", speeds["slim"]))
    speeds["slim"] = 5.0


PLAN = Plan(
    max_drop=3.0, max_kb=0.0, speed=5.2, size=16, self_epochs=2, distil_epochs=6, lessons=3, reference_epochs=1,
    aware_epochs=1, sparsity=0.0,
)  # fmt: skip
Begin = Callable[..., Teacher]


@pytest.fixture
def run(run_folder: Path) -> FinishedRun:
    return open_run(run_folder)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of decoded photos, the same for all."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def begin(run: FinishedRun, cache: Path, tmp_path: Path) -> Begin:
    """A teacher with its work in tmp_path/work."""

    def call(plan: Plan = PLAN, run: FinishedRun = run, **options: Any) -> Teacher:
        return Teacher(run, plan, cache, tmp_path / "work", **options)

    return call


def right(model: Any) -> float:
    """Share of new photos that a network of 16 pixels is right on; it sees a corner of them."""
    views, truth = colours.pictures(range(300, 312))
    size = int(model.input_shape[1])
    return float((predict(model, np.ascontiguousarray(views[:, :size, :size])).argmax(axis=1) == truth).mean())


def counting(patch: pytest.MonkeyPatch) -> Counter[str]:
    """How often what takes long is done from now on."""
    found: Counter[str] = Counter()

    def count(name: str, owner: Any, what: str) -> None:
        real = getattr(owner, what)

        def counted(*arguments: Any, **named: Any) -> Any:
            found[name] += 1
            return real(*arguments, **named)

        patch.setattr(owner, what, counted)

    count("rankings", slimming, "rank")
    count("passes of the teacher", teaching, "epoch_batches")
    count("epochs", Lessons, "batches")
    return found


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    return counting(monkeypatch)
