"""A Keras file that did not come from `flora train`, opened for export.

In:  a .keras or .h5 file of Keras 2, its labels in the order of its outputs, and a folder of class folders of photos.
Out: FinishedRun: a network that takes [-1, 1] and gives probabilities, and the photos, split as in training.

Nobody can know whether the network was trained on these photos: the card says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.intervals import wilson_interval
from edge.base.progress import Bar, Say, Stages, silent
from edge.base.text import is_plain_name
from edge.contract.rejection import UNKNOWN
from edge.errors import ModelError, PhotoError, UsageError
from edge.photos import run_folder
from edge.photos.folders import class_folders
from edge.photos.manifest import Photo
from export.network.rebuild import Rebuilt, as_expected, rebuild, require_classifier
from export.opening.finished_run import FinishedRun, pick_calibration, prepare_fine_tuning, recipe
from training.config import TrainConfig
from training.network.classifier import read_labels
from training.network.keras_file import SUFFIXES, load_keras
from training.photos.listing import list_photos
from training.photos.views import device_views

AUTO = "auto"
RANGES = {"-1,1": (-1.0, 1.0), "0,1": (0.0, 1.0), "0,255": (0.0, 255.0)}  # black and white, as networks expect them
PIXELS = (AUTO, *RANGES)
TRIED = 100  # photos that say which range it is
BATCH = 32
MOST_CHANGED = 0.02  # of the answers, by what only the edge of a picture decides



@dataclass(frozen=True)
class _Trial:
    """How many of the tried photos a network names rightly, by range of pixels."""

    right: dict[str, int]
    photos: int

    def __str__(self) -> str:
        counted = ", ".join(f"{number} with {name}" for name, number in self.right.items())
        return f"of {self.photos} training photos it names rightly {counted}"


def is_keras_file(path: Path) -> bool:
    """True for what is to be opened here, and not as a run folder."""
    return path.suffix in SUFFIXES and not path.is_dir()


def open_keras(
    path: Path, labels_file: str | None, photos: str | None, pixels: str = AUTO, stages: Stages = silent,
    tell: Say = lambda line: None,
) -> FinishedRun:  # fmt: skip
    """Open a Keras file. `pixels` is one of PIXELS; `tell` is given what a person should know.

    Raises UsageError without labels or photos, ModelError for a network that is no classifier of square colour
    pictures or fits the labels badly, PhotoError for photos that are not of these labels.
    """
    labels, root = _labels_and_root(path, labels_file, photos, pixels)
    network = load_keras(path)
    size = require_classifier(network)
    if network.output_shape[-1] != len(labels):
        raise ModelError(
            f"{path}: {network.output_shape[-1]} outputs, but {labels_file} has {len(labels)} labels; expected as many"
        )
    folder = path.with_name(f"{path.stem}-export")
    listed = _listed(folder, root, stages, tell)
    views, truth = _few(size, labels, root, listed, stages("looking for the range of pixels"))
    chosen = _chosen(path, _tried(network, views, truth), pixels, len(labels), tell)
    rebuilt = _rebuilt(path, network, RANGES[chosen], views, truth, tell)
    for remark in rebuilt.remarks:
        tell(f"{path}: {remark}")
    if rebuilt.why_fixed:
        tell(f"{path}: can only be quantised, not pruned, slimmed or trained further: {rebuilt.why_fixed}")
    tell(f"{path}: nobody knows whether it was trained on these photos; if it was, its figures here are too good")
    run = FinishedRun(
        folder, path, folder, replace(recipe(TrainConfig()), size=size), rebuilt.model, listed, labels, root,
        remark=f"network from elsewhere ({path.name}); whether it was trained on the photos measured is not known",
        why_fixed=rebuilt.why_fixed,
    )  # fmt: skip
    prepare_fine_tuning(run)
    return run


def _labels_and_root(
    path: Path, labels_file: str | None, photos: str | None, pixels: str
) -> tuple[tuple[str, ...], Path]:
    """What was asked for, checked before any work."""
    if not labels_file or not photos:
        raise UsageError(f"{path}: a Keras file; give --labels FILE, its labels one a line, and --photos FOLDER")
    if pixels not in PIXELS:
        raise UsageError(f"--pixels {pixels}: expected one of {', '.join(PIXELS)}, written as --pixels=-1,1")
    labels, root = read_labels(Path(labels_file)), Path(photos)
    wrong = [label for label in labels if not label.strip() or not is_plain_name(label) or labels.count(label) > 1]
    if wrong or len(labels) < 2:
        raise ModelError(
            f"{labels_file}: {wrong or list(labels)}; expected two or more labels, all different, one a line"
        )
    _require_classes(root, labels, labels_file)
    return labels, root


def _require_classes(root: Path, labels: Sequence[str], labels_file: str) -> None:
    """The class folders must be the labels, no fewer and no more."""
    found = [folder.name for folder in class_folders(root)[0]]
    missing = [label for label in labels if label not in found]
    extra = [name for name in found if name not in labels]
    if missing:
        raise PhotoError(
            f"{root}: no folder for {', '.join(missing)[:160]}; expected one for each label of {labels_file}"
        )
    if extra:
        hint = "; pictures of other things are given with --unknown FOLDER" if UNKNOWN in extra else ""
        raise PhotoError(
            f"{root}: no label in {labels_file} for the folder {', '.join(extra)[:160]}; expected a folder for each "
            f"label and no others{hint}"
        )


def _listed(folder: Path, root: Path, stages: Stages, tell: Say) -> tuple[Photo, ...]:
    """The photos by split, as training draws it: by their bytes, so that it is the same split every time."""
    (folder / run_folder.MANIFEST).unlink(missing_ok=True)  # the photos may have changed since
    return list_photos(TrainConfig(str(root)), folder, stages, tell)


def _few(
    size: int, labels: tuple[str, ...], root: Path, photos: tuple[Photo, ...], bar: Bar
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A few training photos of all classes, RGB uint8 (n, N, N, 3), and their class numbers (n,)."""
    train = [photo for photo in photos if photo.split == "train"]
    picked = [train[i] for i in pick_calibration([photo.label for photo in train], TRIED, TrainConfig().seed)]
    views = device_views(root, [photo.path for photo in picked], size, bar)
    return views, np.array([labels.index(photo.label) for photo in picked], np.int64)


def _tried(network: Any, views: NDArray[np.uint8], truth: NDArray[np.int64]) -> _Trial:
    right = {
        name: int((_answers(network, views, pixels).argmax(axis=1) == truth).sum()) for name, pixels in RANGES.items()
    }
    return _Trial(right, len(truth))


def _answers(network: Any, views: NDArray[np.uint8], pixels: tuple[float, float]) -> NDArray[np.float32]:
    """What a network puts out (n, num_classes) for pictures, in its own range of pixels."""
    batches = [as_expected(views[start : start + BATCH], pixels) for start in range(0, len(views), BATCH)]
    return np.concatenate([np.asarray(network(batch, training=False), np.float32) for batch in batches])


def _rebuilt(
    path: Path, network: Any, pixels: tuple[float, float], views: NDArray[np.uint8], truth: NDArray[np.int64],
    tell: Say,
) -> Rebuilt:  # fmt: skip
    """The network rebuilt. Its first convolution converts the pixels where that harms no answer: it saves a layer."""
    exact = rebuild(network, pixels)
    folded = rebuild(network, pixels, folds=True) if exact.is_scaled else exact
    if folded.is_scaled or not exact.is_scaled:
        return exact
    before, after = (_answers(one.model, views, RANGES["-1,1"]).argmax(axis=1) for one in (exact, folded))
    changed = int((before != after).sum())
    if changed > MOST_CHANGED * len(truth) or (after == truth).sum() < (before == truth).sum():
        return exact
    tell(
        f"{path}: its first convolution now converts the pixels; {changed} of {len(truth)} answers are others, "
        "no fewer are right"
    )
    return folded


def _chosen(path: Path, trial: _Trial, asked: str, classes: int, tell: Say) -> str:
    """The range to export with. Raises ModelError when the network does no better than guessing."""
    best = max(trial.right, key=lambda name: trial.right[name])
    chosen = best if asked == AUTO else asked
    if wilson_interval(trial.right[chosen], trial.photos)[0] <= 1 / classes:
        raise ModelError(
            f"{path}: {trial}, no better than guessing with {chosen}; expected its own "
            "photos; put the labels in the order of its outputs, or give --pixels another range"
        )
    if asked == AUTO:
        tell(f"{path}: pixels in the range {chosen}: {trial}")
    elif wilson_interval(trial.right[best], trial.photos)[0] > trial.right[chosen] / trial.photos:
        tell(f"{path}: is --pixels {asked} right? {trial}")
    return chosen
