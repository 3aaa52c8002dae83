"""A run's manifest: read where it is there, else made from a survey of the photo folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.base.files import write_atomically
from edge.base.formats import remarks_on
from edge.base.progress import Say, Stages
from edge.contract.rejection import UNKNOWN
from edge.photos import run_folder
from edge.photos.manifest import SPLITS, Photo, read_manifest, write_manifest
from training.config import TrainConfig
from training.photos.split import split
from training.photos.survey import Survey, find_photos


def list_photos(
    config: TrainConfig, run: Path, stages: Stages, tell: Say,
    beside: Callable[[Survey], Survey] = lambda survey: survey,
) -> tuple[Photo, ...]:  # fmt: skip
    """The run's manifest: read if it is there, else made from a survey of the photo folder.

    `beside` adds what is not in that folder.
    """
    manifest = run / run_folder.MANIFEST
    if manifest.exists():
        photos = read_manifest(manifest)
        for line in remarks_on(manifest, photos):
            tell(line)
        return photos
    bar = stages("checking photos")
    survey = beside(find_photos(config.photos, config.min_photos, bar, unknown_folder=config.unknown_folder))
    _write_left_out(run / run_folder.LEFT_OUT, survey)
    photos = split(survey, config.seed)
    write_manifest(manifest, photos)
    known = [photo for photo in photos if photo.label != UNKNOWN]
    kept = sum(photo.is_train_only for photo in survey.photos if photo.label != UNKNOWN)
    tell(
        f"photos: {len(known)} in {len({photo.label for photo in known})} classes: {_counted(known)}"
        + (f"; {kept} that a device kept are for training only" if kept else "")
    )
    if len(photos) > len(known):
        others = [photo for photo in photos if photo.label == UNKNOWN]
        tell(f"pictures of none of them: {len(others)}: {_counted(others)}")
    return photos


def _counted(photos: Sequence[Photo]) -> str:
    numbers = {name: sum(photo.split == name for photo in photos) for name in SPLITS}
    return ", ".join(f"{number} {name}" for name, number in numbers.items())


def _write_left_out(path: Path, survey: Survey) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("path", "reason"), *survey.left_out])
    write_atomically(path, text.getvalue().encode())
