"""The trainings behind the studies of calibration and of unknowns: each made once, kept, resumed if broken off.

In:  a folder of class folders, and a folder to keep the runs in.
Out: runs `fold-1` to `fold-5`, each with another fifth of every class as its test photos, and `without-CLASS` for each
     class, trained on the others alone. All else is as in `flora train` with its defaults.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge.base.files import write_atomically
from edge.base.progress import silent
from edge.photos.manifest import Photo, Split, read_manifest, write_manifest
from export.config import ExportConfig
from export.exporter import USUAL_PHOTOS
from export.graph.asking import answers
from export.graph.residual import divide_by_residual, features_of, subspace
from export.opening.finished_run import FinishedRun, pick_calibration
from export.quantising.convert import convert_int8
from training.config import NONE, TrainConfig
from training.photos.split import split
from training.photos.survey import Survey

FOLDS = 5
VALIDATION = 0.15  # of all photos, as in flora train
SEED = 1


@dataclass(frozen=True)
class Planned:
    """One training to do: its name, and its photos with their splits."""

    name: str
    photos: tuple[Photo, ...]


def folds(survey: Survey) -> list[Planned]:
    """Five trainings; every photo is a test photo of exactly one of them, so that all can be pooled."""
    return [Planned(f"fold-{number + 1}", _fold(survey, number)) for number in range(FOLDS)]


def leave_one_out(survey: Survey) -> list[Planned]:
    """One training per class, which never sees a photo of that class."""
    everything = split(survey, SEED)
    return [
        Planned(f"without-{label}", tuple(photo for photo in everything if photo.label != label))
        for label in survey.labels
    ]


def left_out(survey: Survey, label: str) -> tuple[list[Photo], list[Photo]]:
    """The photos of the class that a model does not know, in two halves: one to choose by, one to report on."""
    members = [photo for photo in split(survey, SEED) if photo.label == label]
    members.sort(key=lambda photo: _order(photo.sha256))
    half = len(members) // 2
    return members[:half], members[half:]


def train(planned: Iterable[Planned], photos: Path, work: Path, weights: str) -> list[Path]:
    """Train what has not been trained yet; returns the run folders in order. Raises CalledProcessError."""
    runs = []
    for plan in planned:
        run = work / plan.name
        if not (run / "metrics.json").exists():
            _train(plan, run, _as_it_was(photos, weights), work)
        elif read_manifest(run / "manifest.csv") != plan.photos:
            raise SystemExit(f"{run}: trained on other photos than these; give another folder to keep the runs in")
        runs.append(run)
    return runs


def _as_it_was(photos: Path, weights: str) -> TrainConfig:
    """The recipe that the figures of these studies are of, without what came after them."""
    return TrainConfig(
        photos=str(photos.resolve()), weights=weights, seed=SEED, other_things=(NONE,), made_others=0, keep_features=0.0
    )


def _train(plan: Planned, run: Path, config: TrainConfig, work: Path) -> None:
    run.mkdir(parents=True, exist_ok=True)
    if not (run / "config.json").exists():
        write_manifest(run / "manifest.csv", plan.photos)
        config.write(run / "config.json")
    command = [sys.executable, "-m", "edge.cli", "train", "--resume", str(run), "--cache", str(work / "cache")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _fold(survey: Survey, number: int) -> tuple[Photo, ...]:
    """A fifth of each class is for testing; of the rest, as many as usual for validation."""
    by_class: dict[str, list[str]] = defaultdict(list)
    for photo in survey.photos:
        by_class[photo.label].append(photo.sha256)
    where: dict[str, Split] = {}
    for contents in by_class.values():
        contents.sort(key=_order)
        test = contents[number::FOLDS]
        rest = [content for content in contents if content not in set(test)]
        validation = round(VALIDATION * len(contents))
        shift = number * len(rest) // FOLDS  # other validation photos in each fold
        rest = rest[shift:] + rest[:shift]
        parts: dict[Split, list[str]] = {"test": test, "validation": rest[:validation], "train": rest[validation:]}
        where |= {content: name for name, members in parts.items() for content in members}
    return tuple(
        Photo(photo.path, photo.sha256, photo.label, where[photo.sha256], photo.width, photo.height)
        for photo in sorted(survey.photos, key=lambda photo: photo.path)
    )


def _order(sha256: str) -> bytes:
    return hashlib.sha256(f"{SEED}:{sha256}".encode()).digest()


def int8(run: FinishedRun) -> bytes:
    """The int8 flatbuffer of a run, made as flora export makes it, before anything is calibrated; kept in the run."""
    path = run.folder / "int8.flatbuffer"
    if not path.exists():
        train = run.members("train")
        picked = pick_calibration([photo.label for photo in train], ExportConfig().calibration_photos, run.config.seed)
        write_atomically(path, convert_int8(run.model, run.views([train[i] for i in picked], silent("")).pictures))
    return path.read_bytes()


def with_residual(run: FinishedRun) -> bytes:
    """The same, with the residual learned from training photos built in."""
    train = run.members("train")
    picked = pick_calibration([photo.label for photo in train], USUAL_PHOTOS, run.config.seed)
    usual = run.views([train[i] for i in picked], silent("")).pictures
    learned = subspace(answers(features_of(int8(run)), usual))
    if learned is None:
        raise SystemExit(f"{run.folder}: too few training photos for a residual; give more photos")
    return divide_by_residual(int8(run), learned)


def arguments(description: str) -> argparse.Namespace:
    """PHOTOS, WORK and --weights, of either study."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("photos", type=Path, help="a folder of class folders")
    parser.add_argument("work", type=Path, help="where the trained runs are kept, and found again")
    parser.add_argument("--weights", default="imagenet", help="imagenet, or a Keras weights file")
    return parser.parse_args()
