"""From a trained network to one that is some times as fast: shape, weights fitted anew, distillation.

In:  a Teacher, a latency table of the device, and how fast a file is here.
Out: Settled, a shape, before anything is taught; then SlimNetwork: a flat Keras network with fewer channels and perhaps
     a smaller input, and how it came about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.formats import FIRST, plain, read_fields, remarks_on, require_readable
from export.network.channels import groups, slim
from export.network.outline import Outline
from export.opening.finished_run import FinishedRun
from export.quantising.convert import convert_int8
from export.slimming.latency import LatencyTable
from export.slimming.ranking import Ranking, rank, reconstruct, weigh
from export.slimming.shaping import FORMAT, Judged, Settled, readable, settle, with_judged
from export.slimming.widths import Limits, Shape, fit_widths, narrowest
from export.teaching.teacher import Teacher, mark_of
from training.fitting.checkpoint import load_arrays, save_arrays

RANKING_PHOTOS, WEIGHING_PHOTOS, TRIAL_PHOTOS = 1000, 300, 10
SAFETY = 1.05  # on a speed that is not timed: the table does not foretell it to the percent
Timing = Callable[[bytes], float]  # an int8 file -> how many times as fast as the run's plain one it is here


@dataclass(frozen=True, eq=False)
class SlimNetwork:
    """A slim network and how it came about."""

    model: Any
    shape: Shape
    kept: float  # share of all channels
    predicted_speed: float  # how many times as fast as the whole network at its own size, by the table
    timed_speed: float | None  # the same, timed here before it was taught; None: the table is of another device
    history: list[dict[str, Any]]  # of the distillation

    @property
    def name(self) -> str:
        return name_of(self.kept, self.shape)


class Slimming:
    """The slim network of one teacher; what is worked out on the way is kept in the teacher's work folder."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher, self.run, self.plan, self.work = teacher, teacher.run, teacher.plan, teacher.work
        self._rankings: tuple[Ranking, ...] = ()

    def shape(self, table: LatencyTable, timed: Timing | None) -> Settled:
        """The shape that is as fast as is aimed for, before anything is taught; or one that an earlier export taught.

        `timed` says how fast an int8 file is here; without it the table decides alone. Limits that no shape keeps are
        given up, so see what is returned.
        """
        kept = self._kept_shape(table, is_timed=timed is not None)
        if kept:
            return kept
        settled = self.of_before(table) or self._settled(table, timed)
        if timed and settled.timed is None:
            views = self.teacher.pictures(TRIAL_PHOTOS)
            settled = replace(settled, timed=timed(_trial(self.run.model, settled.shape, views)))
        settled.write(self._shape_path(table, is_timed=timed is not None))
        return settled

    def of_before(self, table: LatencyTable) -> Settled | None:
        """The shape that a Flora which timed none has kept for these very limits."""
        path = self._shape_path(table, is_timed=False).with_suffix(".npz")
        if not path.exists():
            return None
        shape = self._read(path, load_arrays(path))
        whole = table.predict(Outline.of(self.run.model).layers({}, self.run.config.size))
        return Settled(shape, whole / shape.ms, None)

    def judge(self, settled: Settled, found: Judged) -> None:
        """Remember what became of a network of this shape: another export may take it as it is. Raises OutputError."""
        for path in self.work.glob("shape-*.json"):
            if (kept := Settled.read(path)).shape == settled.shape:
                with_judged(kept, found).write(path)

    def _shape_path(self, table: LatencyTable, *, is_timed: bool) -> Path:
        return self.work / f"shape-{self.plan.speed:g}-{self.plan.max_kb:g}-{self._table_mark(table, is_timed)}.json"

    def _kept_shape(self, table: LatencyTable, *, is_timed: bool) -> Settled | None:
        """One that was settled for these very limits, or one whose network was taught and is within them."""
        path, plan = self._shape_path(table, is_timed=is_timed), self.plan
        if path.exists():
            settled = Settled.read(path)
            for line in remarks_on(path, settled):
                self.teacher.tell(line)
            return settled
        found = map(Settled.read, sorted(self.work.glob(f"shape-*-{self._table_mark(table, is_timed)}.json")))
        within = [
            (one.drop, number, settled)
            for number, settled in enumerate(found)
            for one in settled.judged
            if one.holds(plan.speed, plan.max_kb, plan.max_drop)
        ]
        return min(within)[2] if within else None

    def _table_mark(self, table: LatencyTable, is_timed: bool) -> str:
        """Two tables that give all layers of the whole network the same time are taken for one."""
        each = table.predict_each(Outline.of(self.run.model).layers({}, self.teacher.size))
        return hashlib.sha256(np.round(each, 9).tobytes()).hexdigest()[:16] + ("-timed" if is_timed else "")

    def _settled(self, table: LatencyTable, timed: Timing | None) -> Settled:
        run, plan, outline, weighed = self.run, self.plan, Outline.of(self.run.model), self._weighed()
        whole = table.predict(outline.layers({}, run.config.size))
        least = narrowest(outline, weighed, self.teacher.size, table)
        most_bytes = plan.max_kb * 1000 if least.bytes <= plan.max_kb * 1000 else np.inf

        def fitted(ms: float) -> Shape:
            return fit_widths(outline, weighed, self.teacher.size, table, Limits(max(ms, least.ms), most_bytes))

        if timed is None:
            shape = fitted(whole / (plan.speed * SAFETY) if plan.speed else np.inf)
            return Settled(shape, whole / shape.ms, None)
        views, bar = self.teacher.pictures(TRIAL_PHOTOS), self.teacher.stages("timing shapes")
        shape, speed = settle(fitted, lambda one: timed(_trial(run.model, one, views)), whole, plan.speed, bar)
        return Settled(shape, whole / shape.ms, speed)

    def _ranked(self, pictures: NDArray[np.uint8]) -> tuple[Ranking, ...]:
        """Worked out once: first to find the widths, then, where the teacher is the same, to fit what is left."""
        if not self._rankings:
            bar = self.teacher.stages("ranking channels")
            self._rankings = rank(self.run.model, pictures, bar, self.run.config.seed)
        return self._rankings

    def _weighed(self) -> tuple[Ranking, ...]:
        """The rankings with the harm of cuts."""
        if not self._rankings or self._rankings[0].harm is None:
            pictures = self.teacher.pictures(RANKING_PHOTOS)
            few, ranked = pictures[:: max(1, len(pictures) // WEIGHING_PHOTOS)], self._ranked(pictures)
            self._rankings = weigh(self.run.model, ranked, few, self.teacher.stages("weighing groups"))
        return self._rankings

    def fitted(self, shape: Shape) -> Any:
        """The network of a shape, its weights fitted anew but not trained."""
        path = self.work / f"fitted-{mark_of(shape.widths)}.npz"
        for kept in filter(Path.exists, (path, *self.work.glob("shape-*.npz"))):  # the latter: of_before
            arrays = load_arrays(kept)
            if self._read(kept, arrays).widths == shape.widths:
                pupil = _cut(self.run.model, shape)
                pupil.set_weights([arrays[name] for name in sorted(filter(str.isdecimal, arrays))])
                return pupil
        rankings = self._rankings or self._ranked(self.teacher.pictures(RANKING_PHOTOS))
        pupil = reconstruct(self.run.model, rankings, shape.widths, self.teacher.size)
        weights = {f"{number:04d}": weight for number, weight in enumerate(pupil.get_weights())}
        save_arrays(path, shape=np.array(json.dumps(plain(shape))), **weights)
        return pupil

    def _read(self, path: Path, arrays: dict[str, NDArray[Any]]) -> Shape:
        """The shape that is kept beside the weights of its network. Raises ModelError."""
        with readable(path):
            content = json.loads(str(arrays["shape"]))
            require_readable(content.get("format", FIRST), FORMAT)
            shape = read_fields(Shape, content)
        for line in remarks_on(path, shape):
            self.teacher.tell(line)
        return shape

    def slimmed(self, settled: Settled) -> SlimNetwork:
        """The network of a shape, taught, up to the float one."""
        shape, pupil = settled.shape, self.fitted(settled.shape)
        lessons = self.teacher.lessons()
        history = self.teacher.distilled(pupil, lessons, self.teacher.reference(lessons))
        return SlimNetwork(pupil, shape, share_kept(self.run, shape), settled.foretold, settled.timed, history)


def share_kept(run: FinishedRun, shape: Shape) -> float:
    """How many of all channels a shape has."""
    channels = {group.name: group.channels for group in groups(run.model)}
    return sum((channels | shape.widths).values()) / sum(channels.values())


def name_of(kept: float, shape: Shape) -> str:
    """What a network with this share of the channels is called."""
    return f"slim{round(100 * kept)}_{shape.size}"


def _trial(model: Any, shape: Shape, views: NDArray[np.uint8]) -> bytes:
    """An int8 file of a shape, to be timed and nothing else: its weights are any."""
    return convert_int8(_cut(model, shape), views)


def _cut(model: Any, shape: Shape) -> Any:
    """A network with the first channels of each group."""
    return slim(model, {group: np.arange(width) for group, width in shape.widths.items()}, shape.size)
