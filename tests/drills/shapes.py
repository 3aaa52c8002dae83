"""Does the default export's shape have the speed that it aims at, however wrong the device table is?

    python tests/drills/shapes.py SHARED [--work FOLDER] [--speed 4] [--size 128]

In:  SHARED, a folder with flower_photos/ and Keras' weights of MobileNetV2 1.0/224.
Out: a row for each table, whose kinds of layers are wrong by up to 40 % up and down: what the table alone would have
     given, what came of timing shapes, in how many timings, and what a second timing says of the same file.
     Exit code 1 if one of the latter is not within 5 % of the speed aimed for.

Weights do not change how long a file takes, so a head on frozen features is training enough.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from edge.cli import main as flora
from edge.machine.layers import ConvLayer
from export.network.channels import slim
from export.network.outline import KINDS
from export.opening.finished_run import FinishedRun, open_run
from export.presets import PRESETS
from export.quantising.convert import convert_int8
from export.slimming.latency import LatencyTable
from export.slimming.slimming import Slimming
from export.slimming.widths import Shape
from export.teaching.teacher import Teacher
from export.variants.measuring import speed_beside
from tests.road import WEIGHTS

PER_CLASS, WITHIN = 30, 0.05
RIGHT: dict[str, float] = dict.fromkeys(KINDS, 1.0)
TABLES: dict[str, dict[str, float]] = {
    "as it comes": RIGHT,
    "stem and depthwise +40 %, others -40 %": {"stem": 1.4, "pointwise": 0.6, "depthwise": 1.4, "add": 0.6},
    "stem and depthwise -40 %, others +40 %": {"stem": 0.6, "pointwise": 1.4, "depthwise": 0.6, "add": 1.4},
    "pointwise -40 %": RIGHT | {"pointwise": 0.6},
    "pointwise +40 %": RIGHT | {"pointwise": 1.4},
}


class Wrong(LatencyTable):
    """The table of this machine's kind, each kind of layer wrong by a factor."""

    def __init__(self, right: LatencyTable, factors: dict[str, float]) -> None:
        self._right, self._factors, self.device = right, factors, right.device

    def predict_each(self, layers: Sequence[ConvLayer]) -> Any:
        return self._right.predict_each(layers) * np.array([self._factors[layer.kind] for layer in layers])


def trained(shared: Path, work: Path) -> FinishedRun:
    """A run of a few photos: MobileNetV2 as it comes, with a head."""
    for species in sorted(path for path in (shared / "flower_photos").iterdir() if path.is_dir()):
        (work / "photos" / species.name).mkdir(parents=True, exist_ok=True)
        for photo in sorted(species.iterdir())[:PER_CLASS]:
            if not (work / "photos" / species.name / photo.name).exists():
                (work / "photos" / species.name / photo.name).symlink_to(photo)
    if not (work / "run" / "model.keras").exists():
        options = ["--weights", str(shared / WEIGHTS), "--epochs", "0", "--head-epochs", "2"]
        if flora(["train", str(work / "photos"), *options, "--out", str(work / "run"), "--cache", str(work / "cache")]):
            raise SystemExit("the training failed")
    return open_run(work / "run")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--work", type=Path, help="where the run is kept (default: a folder that is removed)")
    parser.add_argument("--speed", type=float, default=PRESETS["balanced"].speed)
    parser.add_argument("--size", type=int, default=PRESETS["balanced"].size)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return drill(given.shared, given.work or Path(folder), given.speed, given.size)


def drill(shared: Path, work: Path, speed: float, size: int) -> int:
    run, table = trained(shared, work), LatencyTable.of_this_machine_kind()
    plan = replace(PRESETS["balanced"], speed=speed, size=size)
    train = run.members("train")
    views = run.views(train[:: len(train) // 20], lambda *step: None).pictures
    plain = convert_int8(slim(run.model, {}), views)
    shutil.rmtree(work / "shapes", ignore_errors=True)  # those of a drill before
    found, worst = Slimming(Teacher(run, plan, work / "cache", work / "shapes")), 0.0
    for name, factors in TABLES.items():
        files: dict[float, bytes] = {}

        def timed(file: bytes, files: dict[float, bytes] = files) -> float:
            speed = speed_beside(plain, file)
            files[speed] = file
            return speed

        wrong = Wrong(table, factors)
        alone, settled = found.shape(wrong, None).shape, found.shape(wrong, timed)
        unmended = speed_beside(plain, int8(run, alone, found.teacher.pictures(10)))
        again = speed_beside(plain, files[settled.speed])
        worst = max(worst, abs(again / plan.speed - 1))
        print(
            f"{name:40s} table alone {unmended:.2f}; timed {settled.speed:.2f} in {len(files)} timings, "
            f"{settled.shape.bytes / 1000:.0f} kB; timed again {again:.2f}",
            flush=True,
        )
    print(f"aimed for {plan.speed:g}; furthest from it {worst:.1%}, allowed {WITHIN:.0%}")
    return int(worst > WITHIN)


def int8(run: FinishedRun, shape: Shape, views: Any) -> bytes:
    """The file of a shape."""
    channels = {group: np.arange(width) for group, width in shape.widths.items()}
    return convert_int8(slim(run.model, channels, shape.size), views)


if __name__ == "__main__":
    sys.exit(main())
