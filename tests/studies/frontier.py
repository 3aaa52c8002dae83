"""The frontier: slim networks against plain MobileNetV2s that run as fast, taught alike, on several splits.

In:  finished runs of flora train, each with another --seed, and a folder to keep what is made of them.
Out: a table of top-1 on held-out photos pooled over the runs, paired tests, and speeds measured side by side, in
     Markdown; `frontier.png`; the flatbuffers and answers of every network, from which a second call goes on.

Validation photos choose each network's best epoch; test photos are only measured on. A plain network keeps in each
group of channels as many as MobileNetV2 of that alpha has, the best ones first, and gets the same lessons and epochs.

example: python -m tests.studies.frontier runs/seed-1 runs/seed-2 runs/seed-3 --work frontier
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base import intervals
from edge.base.files import write_atomically
from edge.base.intervals import Interval, ratio
from edge.base.progress import Bars, silent
from edge.evaluation import accuracy
from edge.machine.timing import time_invokes
from edge.model.interpreter import Interpreter
from edge.tflite.archive import halves
from export.graph.asking import answers as answers_of
from export.network.channels import groups, slim
from export.opening.finished_run import FinishedRun, open_run, pick_calibration
from export.presets import PRESETS, Plan
from export.quantising import aware
from export.quantising.convert import convert_int8
from export.report.pareto import Point, plot_points
from export.slimming.latency import LatencyTable
from export.slimming.ranking import rank
from export.slimming.slimming import Slimming
from export.teaching.teacher import Teacher
from training.fitting.checkpoint import save_arrays
from training.network.backbone import build
from training.network.inference import predict

ROUNDS = 400
TRAINED, YARDSTICK = "MobileNetV2 1.0 / 224, as trained", "yardstick"
SMALLER = "MobileNetV2 1.0 / 192, as trained at 224"
SELF = "MobileNetV2 1.0 / 224, self-distilled"
CALIBRATION, RANKED_ON = 300, 1000  # photos


@dataclass(frozen=True)
class Contestant:
    """One kind of network."""

    name: str
    size: int
    speed: float = 0.0  # against the plain int8 file; of slim networks
    kb: float = 0.0
    alpha: float = 0.0  # of plain networks
    is_aware: bool = False  # trained on with quantisation


SLIM = (
    Contestant("slim, 7 times, 500 kB", 96, 7.0, 500, is_aware=True),
    Contestant("slim, 4 times, 1 MB", 128, 4.0, 1000, is_aware=True),
    Contestant("slim, 5 times, 1 MB", 128, 4.8, 1000),
    Contestant("slim, 9 times, 500 kB", 96, 8.8, 500),
)
PLAIN = (Contestant("MobileNetV2 0.35 / 128", 128, alpha=0.35), Contestant("MobileNetV2 0.35 / 96", 96, alpha=0.35))
WIDE = (Contestant("slim, 3 times", 160, 3.0), Contestant("MobileNetV2 0.5 / 160", 160, alpha=0.5))
PAIRS = (  # the slim one is about as fast as the plain one, or faster
    ("slim, 3 times", "MobileNetV2 0.5 / 160"),
    ("slim, 4 times, 1 MB", "MobileNetV2 0.5 / 160"),
    ("slim, 5 times, 1 MB", "MobileNetV2 0.35 / 128"),
    ("slim, 7 times, 500 kB", "MobileNetV2 0.35 / 128"),
    ("slim, 7 times, 500 kB", "MobileNetV2 0.35 / 96"),
    ("slim, 9 times, 500 kB", "MobileNetV2 0.35 / 96"),
)
ORDER = (*SLIM, *PLAIN, *WIDE)


class Study:
    """One run's networks."""

    def __init__(self, run: FinishedRun, plan: Plan, work: Path, stages: Bars) -> None:
        self.run, self.plan, self.work, self.stages = run, plan, work, stages
        self._references: dict[int, Any] = {}

    def trained(self) -> None:
        """The run's own network, quantised after training, with its own pictures and with smaller ones."""
        for name, size in ((TRAINED, self.run.config.size), (SMALLER, 192)):
            if not (self.work / f"{name}.npz".replace("/", "-")).exists():
                network = slim(self.run.model, {}, size)
                self._keep(name, size, network, convert_int8(network, self._calibration(size)))

    def self_distilled(self) -> None:
        """The run's own network, taught further by itself; it is what the others are made of from now on."""
        self.run = self._teacher(self.plan).self_distilled()
        if not (self.work / f"{SELF}.npz".replace("/", "-")).exists():
            network, size = self.run.model, self.run.config.size
            self._keep(SELF, size, network, convert_int8(network, self._calibration(size)))

    def networks(self, contestants: Sequence[Contestant]) -> None:
        """Make what is not there yet."""
        for contestant in contestants:
            if not (self.work / f"{contestant.name}.npz".replace("/", "-")).exists():
                self._make(contestant)

    def _teacher(self, plan: Plan) -> Teacher:
        return Teacher(self.run, plan, self.work.parent / "cache", self.work, self.stages)

    def _make(self, contestant: Contestant) -> None:
        plan = replace(self.plan, size=contestant.size, speed=contestant.speed, max_kb=contestant.kb)
        teacher = self._teacher(plan)
        lessons = self._teacher(self.plan).lessons(tuple(sorted({one.size for one in ORDER})))
        if contestant.alpha:
            pupil = self._plain(contestant, teacher)
            teacher.work = teacher.work / f"alpha-{contestant.alpha}"
            teacher.distilled(pupil, lessons, None)
        else:
            slimming = Slimming(teacher)
            pupil = slimming.fitted(slimming.shape(LatencyTable.of_this_machine_kind(), None).shape)
            teacher.distilled(pupil, lessons, self._reference(contestant.size, lessons))
        self._keep(contestant.name, contestant.size, pupil, convert_int8(pupil, self._calibration(contestant.size)))
        if contestant.is_aware:
            network = teacher.made_aware(pupil, lessons)
            self._keep(f"{contestant.name}, QAT", contestant.size, pupil, aware.convert_aware(network))

    def _reference(self, size: int, lessons: Any) -> Any:
        if size not in self._references:
            self._references[size] = self._teacher(replace(self.plan, size=size)).reference(lessons)
        return self._references[size]

    def _plain(self, contestant: Contestant, teacher: Teacher) -> Any:
        """As narrow as MobileNetV2 of this alpha; streams keep their first channels, ranked groups their best."""
        narrow = {g.name: g.channels for g in groups(build("mobilenet_v2", contestant.alpha, contestant.size, 2))}
        rankings = rank(self.run.model, teacher.pictures(RANKED_ON), self.stages("ranking channels"))
        ranked = {ranking.group: np.sort(ranking.order[: narrow[ranking.group]]) for ranking in rankings}
        return slim(
            self.run.model, {name: np.arange(width) for name, width in narrow.items()} | ranked, contestant.size
        )

    def _calibration(self, size: int) -> NDArray[np.uint8]:
        train = self.run.members("train")
        picked = pick_calibration([photo.label for photo in train], CALIBRATION, self.run.config.seed)
        return self.run.views([train[i] for i in picked], silent(""), size).pictures

    def _keep(self, name: str, size: int, network: Any, flatbuffer: bytes) -> None:
        """The flatbuffer, and its answers with those of the float network to validation and test photos."""
        found: dict[str, NDArray[Any]] = {}
        for split in ("validation", "test"):
            views = self.run.views(self.run.members(split), silent(""), size)
            found |= {
                f"{split}_truth": views.truth,
                f"{split}_float": predict(network, views.pictures),
                f"{split}_int8": answers_of(flatbuffer, views.pictures),
            }
        path = self.work / name.replace("/", "-")
        write_atomically(path.with_name(f"{path.name}.flatbuffer"), flatbuffer)
        save_arrays(path.with_name(f"{path.name}.npz"), **found)
        right = float((found["validation_int8"].argmax(axis=1) == found["validation_truth"]).mean())
        self.stages.tell(f"{self.run.folder.name}: {name}: {len(flatbuffer) / 1000:.0f} kB, validation {right:.1%}")


@dataclass(frozen=True, eq=False)
class Pooled:
    """One kind of network over all runs."""

    name: str
    kilobytes: float
    size: int
    truth: NDArray[np.int64]  # (n,) of the test photos of all runs
    int8: NDArray[np.bool_]  # (n,) which answers were right
    float32: NDArray[np.bool_]
    by_run: tuple[float, ...]  # top-1 of the int8 file
    speed: Interval


def pooled(works: Sequence[Path], name: str, speed: Interval) -> Pooled | None:
    """Nothing, where a run has no such network."""
    paths = [work / f"{name}.npz".replace("/", "-") for work in works]
    if not all(path.exists() for path in paths):
        return None
    found = [np.load(path) for path in paths]
    right = {
        kind: [one[f"test_{kind}"].argmax(axis=1) == one["test_truth"] for one in found] for kind in ("int8", "float")
    }
    flatbuffer = paths[0].with_suffix(".flatbuffer").read_bytes()
    return Pooled(
        name, len(flatbuffer) / 1000, Interpreter(flatbuffer, name).size,
        np.concatenate([one["test_truth"] for one in found]), np.concatenate(right["int8"]),
        np.concatenate(right["float"]), tuple(float(one.mean()) for one in right["int8"]), speed,
    )  # fmt: skip


def speeds(work: Path, names: Sequence[str], yardstick: Path | None) -> dict[str, Interval]:
    """How many times as fast as the yardstick (without one: as the trained network) each network is, one thread."""
    flatbuffers = {name: (work / f"{name}.flatbuffer".replace("/", "-")).read_bytes() for name in names}
    if yardstick:
        flatbuffers[YARDSTICK] = halves(yardstick, yardstick.read_bytes())[0]
    times = time_invokes({name: Interpreter(data, name, threads=1) for name, data in flatbuffers.items()}, ROUNDS)
    unit = np.array(times[YARDSTICK if yardstick else TRAINED])
    return {name: ratio(unit, np.array(found)) for name, found in times.items()}


def table(rows: Sequence[Pooled]) -> str:
    """Top-1 pooled over the runs."""
    lines = [
        "| network | pixels | kB | times as fast | float top-1 | int8 top-1 (95 % interval) | each run |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = intervals.wilson_interval(int(row.int8.sum()), len(row.int8))
        runs = ", ".join(f"{100 * share:.1f}" for share in row.by_run)
        lines.append(
            f"| {row.name} | {row.size} | {row.kilobytes:.0f} | {row.speed.value:.2f} | {row.float32.mean():.1%} | "
            f"{row.int8.mean():.1%} ({low:.1%}-{high:.1%}) | {runs} |"
        )
    return "\n".join(lines)


def comparison(slim_one: Pooled, plain: Pooled) -> str:
    """A paired test of two int8 networks on the same photos."""
    difference = accuracy.paired_difference(slim_one.int8, plain.int8)
    test = accuracy.mcnemar(slim_one.int8, plain.int8)
    return (
        f"- {slim_one.name} against {plain.name}: {100 * difference.difference:+.1f} points "
        f"({100 * difference.low:+.1f} to {100 * difference.high:+.1f}), McNemar p = {test.p_value:.2g}, "
        f"{len(slim_one.int8)} photos, at {slim_one.speed.value:.2f} against {plain.speed.value:.2f} times"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="finished runs of flora train, each with another --seed")
    parser.add_argument("--work", type=Path, required=True, help="where networks and answers are kept, and found again")
    parser.add_argument("--yardstick", type=Path, help="an int8 MobileNetV2 1.0/224 that speeds are compared with")
    parser.add_argument("--only", nargs="*", help="names of contestants, to make some of them first")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--self-epochs", type=int, default=0, help="of self-distillation before all else")
    parser.add_argument("--against", type=Path, help="another --work, whose networks these are compared with")
    parser.add_argument("--tables", action="store_true", help="make nothing, only the tables of what is there")
    given = parser.parse_args()
    plan = replace(
        PRESETS["balanced"], self_epochs=given.self_epochs, distil_epochs=given.epochs, lessons=8, reference_epochs=4,
        aware_epochs=3,
    )  # fmt: skip
    works = [given.work / run.name for run in given.runs]
    with Bars() as stages:
        for run, work in zip(given.runs, works, strict=True):
            if not given.tables:
                work.mkdir(parents=True, exist_ok=True)
                study = Study(open_run(run), plan, work, stages)
                study.trained()
                if given.self_epochs:
                    study.self_distilled()
                study.networks([one for one in ORDER if not given.only or one.name in given.only])
    names = [name for one in ORDER for name in (one.name, f"{one.name}, QAT")]
    names = [TRAINED, SMALLER, *(name for name in (SELF, *names) if _all_have(works, name))]
    fast = speeds(works[0], names, given.yardstick)
    rows = {name: row for name in names if (row := pooled(works, name, fast[name]))}
    print(table(sorted(rows.values(), key=lambda row: row.speed.value)))
    print()
    print("\n".join(comparison(rows[a], rows[b]) for a, b in PAIRS if a in rows and b in rows))
    for row in rows.values():
        former = [given.against / run.name for run in given.runs] if given.against else []
        other = pooled(former, TRAINED if row.name == SELF else row.name, row.speed) if former else None
        if other:
            print(comparison(row, replace(other, name=f"that of {given.against}")))
    _draw(list(rows.values()), given.work / "frontier.png")


def _all_have(works: Sequence[Path], name: str) -> bool:
    return all((work / f"{name}.npz".replace("/", "-")).exists() for work in works)


def _draw(rows: Sequence[Pooled], path: Path) -> None:
    points = []
    for row in rows:
        low, high = intervals.wilson_interval(int(row.int8.sum()), len(row.int8))
        series = "plain" if row.name.startswith("MobileNetV2") else "slim"
        top1 = float(row.int8.mean())
        points.append(Point(row.name, 1 / row.speed.value, top1, low, high, int(1000 * row.kilobytes), series))
    plot_points(points, path, x_label="time of an invoke, in those of the yardstick", y_label="int8 top-1, test photos")


if __name__ == "__main__":
    main()
