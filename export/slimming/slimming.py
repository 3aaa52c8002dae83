"""From a trained network to one that is some times as fast: shape, reconstruction, lessons, distillation.

In:  a FinishedRun, a Plan, a latency table of the device.
Out: SlimNetwork: a flat Keras network with fewer channels and perhaps a smaller input, and how it came about.

Everything that takes minutes is kept in a work folder until the export is done, so that one that broke off goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.progress import Stages, silent
from edge.photos.manifest import manifest_hash
from export.network.channels import groups, slim
from export.opening.finished_run import FinishedRun, pick_calibration, prepare_fine_tuning, slim_size
from export.presets import Plan
from export.quantising import aware
from export.slimming.latency import LatencyTable, Outline
from export.slimming.ranking import rank, reconstruct, weigh
from export.slimming.widths import Limits, Shape, fit_widths
from export.teaching.distill import Distillation, distil
from export.teaching.lessons import Course, Lessons, LiveLessons, prepare
from training.fitting.augmentation import Augmentation, epoch_batches
from training.fitting.cache import build_cache
from training.fitting.checkpoint import load_arrays, save_arrays
from training.fitting.phase import Validation
from training.network.backbone import FEATURES, batch_norms
from training.network.inference import predictor
from training.photos.split import class_weights

RANKING_PHOTOS, WEIGHING_PHOTOS = 1000, 300
MOMENTUM = 0.95  # of BatchNorm's moving statistics in a distillation
RATE, REFERENCE_RATE, AWARE_RATE = 1e-3, 3e-4, 2e-4  # peak learning rates
SELF_RATE = 3e-4  # that of a network that learns from itself
FULL_RATE_STEPS = 400  # a shorter distillation spoils at the full rate what was fitted, and cannot mend it in time
SAFETY = 1.05  # on the speed: the table does not foretell it to the percent
AWARE_BATCHES = 20  # that set the first ranges of fake quantisation


@dataclass(frozen=True, eq=False)
class SlimNetwork:
    """A slim network and how it came about."""

    model: Any
    shape: Shape
    kept: float  # share of all channels
    predicted_speed: float  # how many times as fast as the whole network at its own size
    history: list[dict[str, Any]]  # of the distillation

    @property
    def name(self) -> str:
        return f"slim{round(100 * self.kept)}_{self.shape.size}"


class Slimming:
    """The slimming of one run; what it works out on the way is kept below `work`."""

    def __init__(self, run: FinishedRun, plan: Plan, cache: Path, work: Path, stages: Stages = silent) -> None:
        self.run, self.plan, self._cache, self._stages = run, plan, cache, stages
        self.size = slim_size(run, plan)
        self.work = work / _fingerprint(run, plan)
        self._validation: dict[int, Any] = {}

    def self_distilled(self) -> FinishedRun:
        """The run with its network taught further by itself, at its own size, from mixtures of photos and no label.

        What a network makes of mixtures says more than a label does (self-distillation, as in the born-again networks
        of Furlanello et al. 2018). The run's own network stays as it is.
        """
        run, size = self.run, self.run.config.size
        drawn, photos = self._drawn(run.config.seed + SELF_SEED)
        lessons = LiveLessons(run.model, drawn, Course((size,), self.plan.self_epochs, photos, seed=run.config.seed))
        network, batch = _thawed(slim(run.model, {}, size)), min(run.config.batch, photos)
        rate = _rate(SELF_RATE, self.plan.self_epochs * lessons.steps(batch))
        how = Distillation(self.plan.self_epochs, rate, batch, matching=0.0, seed=run.config.seed + 2)
        self._teach(network, lessons, how, None, "self")
        taught = replace(run, model=network)
        prepare_fine_tuning(taught)
        return taught

    def shape(self, table: LatencyTable) -> tuple[Shape, Any]:
        """The widths within the plan's limits, and the network with them, its weights fitted anew but not trained."""
        path = self.work / f"shape-{self.plan.speed:g}-{self.plan.max_kb:g}-{self._table_mark(table)}.npz"
        if path.exists():
            return self._kept(path)
        shape, pupil = self._worked_out(table)
        weights = {f"{number:04d}": weight for number, weight in enumerate(pupil.get_weights())}
        save_arrays(path, shape=np.array(json.dumps(asdict(shape))), **weights)
        return shape, pupil

    def _kept(self, path: Path) -> tuple[Shape, Any]:
        """What `shape` has worked out before."""
        arrays = load_arrays(path)
        shape = Shape(**json.loads(str(arrays.pop("shape"))))
        channels = {group: np.arange(width) for group, width in shape.widths.items()}
        pupil = slim(self.run.model, channels, self.size)
        pupil.set_weights([arrays[name] for name in sorted(arrays)])
        return shape, pupil

    def _table_mark(self, table: LatencyTable) -> str:
        """Two tables that give all layers of the whole network the same time are taken for one."""
        each = table.predict_each(Outline.of(self.run.model).layers({}, self.size))
        return hashlib.sha256(np.round(each, 9).tobytes()).hexdigest()[:16]

    def _worked_out(self, table: LatencyTable) -> tuple[Shape, Any]:
        run, outline = self.run, Outline.of(self.run.model)
        pictures = self.pictures(RANKING_PHOTOS)
        rankings = rank(run.model, pictures, self._stages("ranking channels"), run.config.seed)
        weighed = weigh(
            run.model, rankings, pictures[:: max(1, len(pictures) // WEIGHING_PHOTOS)], self._stages("weighing groups")
        )
        whole = table.predict(outline.layers({}, run.config.size))
        ms = whole / (self.plan.speed * SAFETY) if self.plan.speed else np.inf
        limits = Limits(float(ms), self.plan.max_kb * 1000 if self.plan.max_kb else np.inf)
        shape = fit_widths(outline, weighed, self.size, table, limits)
        return shape, reconstruct(run.model, weighed, shape.widths, self.size)

    def lessons(self, sizes: tuple[int, ...] = ()) -> Lessons:
        """The lessons, made or found in the work folder; `sizes` are those of several pupils."""
        seed = self.run.config.seed + LESSON_SEED
        batches, photos = self._drawn(seed)
        course = Course(sizes or (self.size,), self.plan.lessons, photos, seed=seed)
        return prepare(self.run.model, batches, course, self.work / "lessons", self._stages("preparing lessons"))

    def _drawn(self, seed: int) -> tuple[Callable[[int], Any], int]:
        """Augmented training photos by epoch, and how many an epoch has."""
        run, config = self.run, self.run.config
        train = run.members("train")
        paths, hashes = [photo.path for photo in train], [photo.sha256 for photo in train]
        cached = build_cache(self._cache, run.root, paths, hashes, config.size, self._stages("caching training photos"))
        channels = run.model.get_layer(FEATURES).output.shape[-1]
        how = Augmentation(config.size, config.crop, config.colour, 0.0, channels)
        weight = class_weights(train) if config.balance else dict.fromkeys(run.labels, 1.0)
        truth, weights = run.truth(train), np.array([weight[photo.label] for photo in train], np.float32)

        def batches(number: int) -> Any:
            return epoch_batches(cached, truth, weights, how, batch=config.batch, seed=seed, epoch=number)

        return batches, len(train) // config.batch * config.batch or len(train)

    def reference(self, lessons: Lessons) -> Any:
        """The trained network at the slim one's size, used to it: what the slim one's maps are compared with."""
        whole = _thawed(slim(self.run.model, {}, self.size))
        if self.plan.reference_epochs and self.size != self.run.config.size:
            how = Distillation(
                self.plan.reference_epochs, REFERENCE_RATE, self._batch(lessons), seed=self.run.config.seed
            )
            self._teach(whole, lessons, how, None, "reference")
        whole.trainable = False
        return whole

    def distilled(self, pupil: Any, lessons: Lessons, reference: Any | None) -> list[dict[str, Any]]:
        """Teach `pupil` in place; returns the history."""
        batch, epochs = self._batch(lessons), self.plan.distil_epochs
        rate = _rate(RATE, epochs * lessons.steps(batch))
        how = Distillation(epochs, rate, batch, seed=self.run.config.seed)
        return self._teach(_thawed(pupil), lessons, how, reference, "pupil")

    def made_aware(self, pupil: Any, lessons: Lessons, *, preserve_zeros: bool = False) -> Any:
        """A copy of `pupil` that has been taught further with fake quantisation in it.

        With `preserve_zeros` weights that are zero stay so.
        """
        network = aware.aware(pupil, preserve_zeros=preserve_zeros)
        size, batch = int(pupil.input_shape[1]), self._batch(lessons)
        first = lessons.batches(size, 0, batch, self.run.config.seed).take(AWARE_BATCHES)
        aware.calibrate(network, (pictures for pictures, _ in first))
        how = Distillation(self.plan.aware_epochs, AWARE_RATE, batch, matching=0.0, seed=self.run.config.seed + 1)
        self._teach(network, lessons, how, None, "aware", _weights_of(pupil) if preserve_zeros else "")
        return network

    def slimmed(self, table: LatencyTable) -> SlimNetwork:
        """All of it, up to the float network."""
        shape, pupil = self.shape(table)
        lessons = self.lessons()
        history = self.distilled(pupil, lessons, self.reference(lessons))
        outline = Outline.of(self.run.model)
        whole = table.predict(outline.layers({}, self.run.config.size))
        channels = {group.name: group.channels for group in groups(self.run.model)}
        kept = sum((channels | shape.widths).values()) / sum(channels.values())
        return SlimNetwork(pupil, shape, kept, whole / shape.ms, history)

    def _teach(
        self, network: Any, lessons: Lessons | LiveLessons, how: Distillation, reference: Any | None, what: str,
        mark: str = "",
    ) -> list[Any]:  # fmt: skip
        """`mark` tells apart what is taught to networks of the same shapes."""
        size = int(network.input_shape[1])
        if size not in self._validation:
            self._validation[size] = self.run.views(
                self.run.members("validation"), self._stages("reading validation photos"), size
            )
        views, infer = self._validation[size], predictor(network)
        validation = Validation(lambda: infer(views.pictures), views.truth)
        bar = self._stages(TITLES[what])
        checkpoint = self.work / f"{what}{mark}-{_shapes_of(network)}.npz"
        return distil(network, lessons, how, validation, reference, bar, checkpoint)

    def pictures(self, count: int) -> NDArray[np.uint8]:
        """About so many training photos of all classes, as the slim network will see them."""
        train = self.run.members("train")
        picked = pick_calibration([photo.label for photo in train], count, self.run.config.seed)
        return self.run.views([train[i] for i in picked], self._stages("reading training photos"), self.size).pictures

    def _batch(self, lessons: Lessons) -> int:
        return min(self.run.config.batch, lessons.course.photos)


LESSON_SEED, SELF_SEED = 100, 200  # so that lessons are other draws than those the network was trained on
TITLES = {
    "self": "learning from itself",
    "reference": "getting used to smaller pictures",
    "pupil": "distilling",
    "aware": "training with quantisation",
}


def _shapes_of(network: Any) -> str:
    """A name for the shapes of a network's weights: another table of the device may lead to other widths."""
    shapes = [tuple(weight.shape) for weight in network.weights]
    return hashlib.sha256(json.dumps(shapes).encode()).hexdigest()[:16]


def _rate(full: float, steps: int) -> float:
    """Peak learning rate of a training of so many steps."""
    return full * min(1.0, steps / FULL_RATE_STEPS)


def _weights_of(network: Any, begun: bytes = b"") -> str:
    """A name for the weights of a network, and for what it is `begun` with."""
    digest = hashlib.sha256(begun)
    for weight in network.get_weights():
        digest.update(weight.tobytes())
    return digest.hexdigest()[:16]


def _thawed(model: Any) -> Any:
    """Let BatchNorm learn: the statistics of fewer channels, or of smaller pictures, are others."""
    for layer in batch_norms(model):
        layer.trainable, layer.momentum = True, MOMENTUM
    return model


def _fingerprint(run: FinishedRun, plan: Plan) -> str:
    """Of all that decides what the work comes to: work of another kind must not be gone on with.

    Limits are no part of it: after a refusal they may be asked for otherwise, and lessons and reference stay good.
    Which shape they led to is in the names of the files.
    """
    decisive = asdict(replace(plan, max_drop=0.0, max_kb=0.0, speed=0.0))
    return _weights_of(run.model, json.dumps([manifest_hash(run.photos), decisive, asdict(run.config)]).encode())
