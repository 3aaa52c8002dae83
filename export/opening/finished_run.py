"""A finished training, opened for export: its network, how it was trained and its photos by split.

In:  RUN with config.json, manifest.csv and model.keras, and the folder of its photos.
Out: FinishedRun, whose parts are known to fit together and whose photos are all there.

export.opening.from_keras makes one of a Keras file of anybody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.formats import remarks_on
from edge.base.progress import Bar, Say
from edge.errors import ModelError, PhotoError
from edge.photos import run_folder
from edge.photos.manifest import SPLITS, Photo, Split, read_manifest
from export.presets import Plan
from training.config import TrainConfig, read_config
from training.network.backbone import batch_norms
from training.network.inference import load_model
from training.photos.views import device_views

# isort: split


FAST_MOMENTUM = 0.9  # of BatchNorm's moving statistics: pruning takes only a hundred steps or so, and they must settle


@dataclass(frozen=True)
class Views:
    """Pictures as the device sees them, RGB uint8 (n, N, N, 3), and their class numbers (n,)."""

    pictures: NDArray[np.uint8]
    truth: NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """How a network was trained, as far as going on with it takes; the fields are those of TrainConfig."""

    size: int  # pixels
    seed: int
    batch: int
    crop: float
    colour: float
    balance: bool
    label_smoothing: float
    from_scratch: bool


@dataclass(frozen=True)
class FinishedRun:
    """What export needs of a training."""

    folder: Path
    source: Path  # the file whose hash says on the card how the network was made
    exports: Path  # folder for what exports leave beside the model file
    config: Recipe
    model: Any
    photos: tuple[Photo, ...]
    labels: tuple[str, ...]  # in the order of the network's output
    root: Path  # of the photos
    remark: str = ""  # what the card must say of where the network comes from
    why_fixed: str = ""  # why the network can only be quantised, not trained further; empty: it can

    def members(self, split: Split) -> list[Photo]:
        return [photo for photo in self.photos if photo.split == split]

    def located(self, photos: Sequence[Photo]) -> list[str]:
        """Their paths from the photo folder, absolute where they are in another one."""
        return [photo.located(self.folder) for photo in photos]

    def truth(self, photos: list[Photo]) -> NDArray[np.int64]:
        return np.array([self.labels.index(photo.label) for photo in photos], np.int64)

    def views(self, photos: list[Photo], bar: Bar, size: int | None = None) -> Views:
        """Read photos exactly as a device would that runs a file of `size` pixels a side; None is the run's own."""
        pictures = device_views(self.root, self.located(photos), size or self.config.size, bar)
        return Views(pictures, self.truth(photos))


def open_run(
    folder: Path, moved_photos: str | None = None, tell: Say = lambda line: None, moved_others: str | None = None
) -> FinishedRun:
    """Open a run folder; `tell` hears remarks.

    `moved_photos` is where its photos are now, if not where they were, and `moved_others` its pictures of other things.

    Raises ModelError for a run that is not finished or whose parts do not fit, PhotoError when a photo is gone.
    """
    config = read_config(folder)
    photos = read_manifest(folder / run_folder.MANIFEST)
    said, asked = folder / run_folder.EXPORT, folder / run_folder.CONFIG
    for line in (*remarks_on(asked, config), *remarks_on(folder / run_folder.MANIFEST, photos)):
        tell(line)
    photos = tuple(_where_it_is(photo, moved_others) for photo in photos)
    labels, root = tuple(sorted({photo.label for photo in photos})), Path(moved_photos or config.photos)
    run = FinishedRun(folder, asked, said, recipe(config), load_model(folder), photos, labels, root)
    _require_fit(run)
    _require_photos(run)
    prepare_fine_tuning(run)
    return run


def _where_it_is(photo: Photo, moved: str | None) -> Photo:
    """A picture of a folder that is gone, in the one that is named instead."""
    is_gone = moved and Path(photo.root).is_absolute() and not Path(photo.root).is_dir()
    return replace(photo, root=str(Path(moved or "").absolute())) if is_gone else photo


def recipe(config: TrainConfig) -> Recipe:
    return Recipe(**{field.name: getattr(config, field.name) for field in fields(Recipe)})


def prepare_fine_tuning(run: FinishedRun) -> None:
    """Let BatchNorm do in pruning what it did in training; model.keras does not keep it."""
    for layer in batch_norms(run.model):
        layer.trainable = run.config.from_scratch
        layer.momentum = FAST_MOMENTUM


def pick_calibration(labels: Sequence[str], count: int, seed: int) -> list[int]:
    """Positions of about `count` photos, drawn evenly from all classes: every class is seen, however rare."""
    draws = np.random.default_rng(seed)
    classes = sorted(set(labels))
    picked: list[int] = []
    for label in classes:
        members = [i for i, name in enumerate(labels) if name == label]
        picked += draws.permutation(members)[: -(-count // len(classes))].tolist()
    return picked


def slim_size(run: FinishedRun, plan: Plan) -> int:
    """Side of a slim network's input, pixels; where none is asked for, that of the run's own."""
    return min(plan.size, run.config.size) if plan.distil_epochs else run.config.size


def _require_fit(run: FinishedRun) -> None:
    """The three files of a run must be of one training."""
    for split in SPLITS:
        if not run.members(split):
            manifest = run.folder / run_folder.MANIFEST
            raise ModelError(f"{manifest}: lists no {split} photos; train again with: flora train")
    found, expected = _border(run.model), (run.config.size, len(run.labels))
    if found != expected:
        raise ModelError(
            f"{run.folder}: model.keras is {found[0]} px with {found[1]} outputs, config.json and manifest.csv say "
            f"{expected[0]} px with {expected[1]} classes; are they of one training? train again with: flora train"
        )


def _border(model: Any) -> tuple[int, int]:
    """Side of the input in pixels, number of outputs."""
    return int(model.input_shape[1]), int(model.output_shape[-1])


def _require_photos(run: FinishedRun) -> None:
    """Better now than minutes later. Looks only whether they are there: test photos are not read yet."""
    missing = [path for path in run.located(run.photos) if not (run.root / path).is_file()]
    if missing:
        raise PhotoError(
            f"{run.root / missing[0]}: no such photo ({len(missing)} of the run's {len(run.photos)} are missing); "
            "if the folder has moved give --photos FOLDER; that of other things, --others FOLDER"
        )
