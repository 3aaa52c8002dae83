"""Pictures of none of the classes, beside the photos: those of folders that were named, and those that are made.

In:  a Survey of the photo folder; what was asked for.
Out: the Survey with them, labelled "unknown". What is made lies in the run folder, and is trained on alone.
"""

from __future__ import annotations

from pathlib import Path

from edge.base.progress import Say, Stages
from edge.contract.rejection import UNKNOWN
from edge.photos import run_folder
from edge.photos.folders import Rejected
from training.config import PUBLIC, TrainConfig
from training.others.made import make_others
from training.photos.split import split
from training.photos.survey import Found, Survey, find_others, with_others


def with_other_things(config: TrainConfig, survey: Survey, run: Path, stages: Stages, tell: Say) -> Survey:
    """The survey with all pictures of none of the classes that were asked for. Raises PhotoError, OutputError."""
    if not config.learns_unknown:
        return survey
    found: list[Found] = []
    rejected: list[Rejected] = []
    for folder in config.other_things:
        pictures, unfit = find_others(Path(folder), stages("checking pictures of other things"))
        found += pictures
        rejected += unfit
    beside = with_others(survey, found, rejected) if found else survey
    if not any(photo.label == UNKNOWN and not photo.is_train_only for photo in beside.photos):
        tell(
            f'no pictures of other things: "{UNKNOWN}" is learned from what is made of the photos and of noise, and '
            "how well it is told cannot be measured; a few dozen of anything else help most: --others FOLDER, or "
            f"--others {PUBLIC}"
        )
    return _with_made(config, beside, run, stages)


def _with_made(config: TrainConfig, survey: Survey, run: Path, stages: Stages) -> Survey:
    """Made of training photos alone: what is tested on must not be learned from, in whatever pieces."""
    known = [photo for photo in split(survey, config.seed) if photo.split == "train" and photo.label != UNKNOWN]
    count = min(config.made_others, len(known) // len({photo.label for photo in known}))  # as many as of a class
    if not count:
        return survey
    sources = [survey.root / photo.path for photo in known]
    made = make_others(run / run_folder.MADE, sources, count, config.seed, stages("making pictures of nothing"))
    return with_others(survey, made, [])
