"""A run's manifest: read where it is there, else made from a survey of the photo folder."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from edge.base.files import write_atomically
from edge.base.formats import remarks_on
from edge.base.progress import Say, Stages
from edge.photos import run_folder
from edge.photos.manifest import Photo, read_manifest, write_manifest
from training.config import TrainConfig
from training.photos.split import split
from training.photos.survey import Survey, find_photos


def list_photos(config: TrainConfig, run: Path, stages: Stages, tell: Say) -> tuple[Photo, ...]:
    """The run's manifest: read if it is there, else made from a survey of the photo folder."""
    manifest = run / run_folder.MANIFEST
    if manifest.exists():
        photos = read_manifest(manifest)
        for line in remarks_on(manifest, photos):
            tell(line)
        return photos
    survey = find_photos(config.photos, config.min_photos, stages("checking photos"))
    _write_left_out(run / run_folder.LEFT_OUT, survey)
    photos = split(survey, config.seed)
    write_manifest(manifest, photos)
    counted = {name: sum(photo.split == name for photo in photos) for name in ("train", "validation", "test")}
    tell(
        f"photos: {len(photos)} in {len(survey.labels)} classes: "
        + ", ".join(f"{n} {name}" for name, n in counted.items())
        + (f"; {survey.train_only} that a device kept are for training only" if survey.train_only else "")
    )
    return photos


def _write_left_out(path: Path, survey: Survey) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("path", "reason"), *survey.left_out])
    write_atomically(path, text.getvalue().encode())
