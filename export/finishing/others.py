"""How well the file tells what is none of its classes, for its card.

In:  a run, the finished file's answers to held-out photos and to held-out pictures of other things.
Out: edge.model.card.Unknown; None where nothing is ever called unknown by a class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base import intervals
from edge.contract.rejection import UNKNOWN, Rejection
from edge.evaluation.evaluation import Answers
from edge.evaluation.others import measured
from edge.model.card import OtherThings, Share, Unknown
from edge.photos import run_folder
from edge.photos.manifest import Photo

OWN = UNKNOWN  # name of pictures that are in a class folder of the photos


def source_of(photo: Photo) -> str:
    """Name of the folder that a picture of other things comes from."""
    return Path(photo.root).name or OWN


def learned_from(photos: Sequence[Photo]) -> Unknown:
    """What of the run's pictures was trained on."""
    train = [photo for photo in photos if photo.label == UNKNOWN and photo.split == "train"]
    found = [photo for photo in train if photo.root != run_folder.MADE]
    sources = tuple(sorted({source_of(photo) for photo in found}))
    return Unknown(len(found), len(train) - len(found), sources, known=None, measured=())


def told_apart(
    labels: Sequence[str], rejection: Rejection, known: NDArray[np.float32], others: Mapping[str, NDArray[np.float32]]
) -> tuple[Share, tuple[OtherThings, ...]]:
    """Of answers (n, K) to known photos the share that is called unknown; those to other things (m, K), by source."""
    usual = Answers(tuple(labels), known, rejection)
    rows = []
    for name, answers in others.items():
        found = Answers(tuple(labels), answers, rejection)
        row = measured(name, found.shown, answers.max(axis=1), usual.sureties, found.sureties)
        named, surely = (_share(one, row.pictures) for one in (row.named, row.named_surely))
        rows.append(OtherThings(name, named, surely, row.auroc))
    called = int(usual.is_unknown.sum())
    return _share(intervals.share(called, len(known)), len(known)), tuple(rows)


def as_long(photos: Sequence[Photo], others: Sequence[str]) -> Unknown:
    """What takes as much room in a card as what will be measured, of `others` by name."""
    unmeasured = Share(1 / 3, 1 / 7, 2 / 3, len(photos))
    rows = tuple(OtherThings(name, unmeasured, unmeasured, 1 / 3) for name in others)
    return replace(learned_from(photos), known=unmeasured, measured=rows)


def _share(found: intervals.Interval, pictures: int) -> Share:
    return Share(found.value, found.low, found.high, pictures)
