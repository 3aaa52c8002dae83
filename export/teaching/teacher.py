"""A trained network as a teacher: of itself, of slim networks, and of copies with fake quantisation in them.

In:  a FinishedRun, a Plan.
Out: networks that have learned from it.

Everything that takes minutes is kept in a work folder until the export is done, so that one that broke off goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.formats import remarks_on
from edge.base.progress import Say, Stages, silent
from edge.photos.manifest import manifest_hash
from export.network.channels import slim
from export.opening.finished_run import FinishedRun, pick_calibration, prepare_fine_tuning, slim_size
from export.presets import Plan
from export.quantising import aware
from export.teaching.distill import Distillation, distil
from export.teaching.lessons import Course, Lessons, LiveLessons, prepare
from training.fitting.augmentation import Augmentation, epoch_batches
from training.fitting.cache import build_cache
from training.fitting.phase import Validation
from training.network.backbone import FEATURES, batch_norms
from training.network.inference import predictor
from training.photos.split import class_weights

MOMENTUM = 0.95  # of BatchNorm's moving statistics in a distillation
RATE, REFERENCE_RATE, AWARE_RATE = 1e-3, 3e-4, 2e-4  # peak learning rates
SELF_RATE = 3e-4  # that of a network that learns from itself
FULL_RATE_STEPS = 400  # a shorter distillation spoils at the full rate what was fitted, and cannot mend it in time
AWARE_BATCHES = 20  # that set the first ranges of fake quantisation
LESSON_SEED, SELF_SEED = 100, 200  # so that lessons are other draws than those the network was trained on
TITLES = {
    "self": "learning from itself",
    "reference": "getting used to smaller pictures",
    "pupil": "distilling",
    "aware": "training with quantisation",
}


class Teacher:
    """The trained network of one run; what it works out on the way is kept below `work`."""

    def __init__(
        self, run: FinishedRun, plan: Plan, cache: Path, work: Path, stages: Stages = silent,
        tell: Say = lambda line: None,
    ) -> None:  # fmt: skip
        self.run, self.plan, self.stages, self.tell, self._cache = run, plan, stages, tell, cache
        self.size = slim_size(run, plan)  # of its pupils' inputs, pixels
        self.work = work / _fingerprint(run, plan)
        self._validation: dict[int, Any] = {}

    def self_distilled(self) -> FinishedRun:
        """The run with its network taught further by itself, at its own size, from mixtures of photos and no label.

        What a network makes of mixtures says more than a label does (self-distillation, as in the born-again networks
        of Furlanello et al. 2018). The run's own network stays as it is.
        """
        run, size = self.run, self.run.config.size
        batches, photos = drawn(run, self._cache, run.config.seed + SELF_SEED, self.stages)
        lessons = LiveLessons(run.model, batches, Course((size,), self.plan.self_epochs, photos, seed=run.config.seed))
        network, batch = _thawed(slim(run.model, {}, size)), min(run.config.batch, photos)
        rate = _rate(SELF_RATE, self.plan.self_epochs * lessons.steps(batch))
        how = Distillation(self.plan.self_epochs, rate, batch, matching=0.0, seed=run.config.seed + 2)
        self._teach(network, lessons, how, None, "self")
        taught = replace(run, model=network)
        prepare_fine_tuning(taught)
        return taught

    def lessons(self, sizes: tuple[int, ...] = ()) -> Lessons:
        """The lessons, made or found in the work folder; `sizes` are those of several pupils."""
        seed = self.run.config.seed + LESSON_SEED
        batches, photos = drawn(self.run, self._cache, seed, self.stages)
        course = Course(sizes or (self.size,), self.plan.lessons, photos, seed=seed)
        lessons = prepare(self.run.model, batches, course, self.work / "lessons", self.stages("preparing lessons"))
        for line in remarks_on(lessons.folder, lessons.course):
            self.tell(line)
        return lessons

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

    def pictures(self, count: int) -> NDArray[np.uint8]:
        """About so many training photos of all classes, as its pupils will see them."""
        train = self.run.members("train")
        picked = pick_calibration([photo.label for photo in train], count, self.run.config.seed)
        return self.run.views([train[i] for i in picked], self.stages("reading training photos"), self.size).pictures

    def _teach(
        self, network: Any, lessons: Lessons | LiveLessons, how: Distillation, reference: Any | None, what: str,
        mark: str = "",
    ) -> list[Any]:  # fmt: skip
        """`mark` tells apart what is taught to networks of the same shapes."""
        size = int(network.input_shape[1])
        if size not in self._validation:
            self._validation[size] = self.run.views(
                self.run.members("validation"), self.stages("reading validation photos"), size
            )
        views, infer = self._validation[size], predictor(network)
        validation = Validation(lambda: infer(views.pictures), views.truth)
        bar = self.stages(TITLES[what])
        checkpoint = self.work / f"{what}{mark}-{_shapes_of(network)}.npz"
        return distil(network, lessons, how, validation, reference, bar, checkpoint)

    def _batch(self, lessons: Lessons) -> int:
        return min(self.run.config.batch, lessons.course.photos)


def drawn(
    run: FinishedRun, cache: Path, seed: int, stages: Stages, *, mildest_crop: float = 0.0
) -> tuple[Callable[[int], Any], int]:
    """Augmented training photos by epoch, and how many of them fill whole batches; a crop keeps `mildest_crop`."""
    config, train = run.config, run.members("train")
    paths, hashes = run.located(train), [photo.sha256 for photo in train]
    cached = build_cache(cache, run.root, paths, hashes, config.size, stages("caching training photos"))
    channels = run.model.get_layer(FEATURES).output.shape[-1]
    how = Augmentation(config.size, max(config.crop, mildest_crop), config.colour, 0.0, channels)
    weight = class_weights(train) if config.balance else dict.fromkeys(run.labels, 1.0)
    truth, weights = run.truth(train), np.array([weight[photo.label] for photo in train], np.float32)

    def batches(number: int) -> Any:
        return epoch_batches(cached, truth, weights, how, batch=config.batch, seed=seed, epoch=number)

    return batches, len(train) // config.batch * config.batch or len(train)


def mark_of(content: Any) -> str:
    """A name for what JSON can hold."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _shapes_of(network: Any) -> str:
    """A name for the shapes of a network's weights: another table of the device may lead to other widths."""
    return mark_of([tuple(weight.shape) for weight in network.weights])


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
