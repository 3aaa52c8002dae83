"""A frame that is kept: which file it is in, what is noted in it, and how near-duplicates are told.

In:  decisions with their frames.
Out: PNG bytes, the region that was looked at, lossless and in full resolution, so that training's own crop gives the
     model what it saw; within them the model's answers (edge/picture/png.py). Names in the order of time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base.files import write_atomically
from edge.contract.decision import Decision
from edge.picture.geometry import Picture
from edge.picture.png import FAST_PNG, HEAD_BYTES, note_of, with_note

ANSWERS = 10  # most probable ones, kept with the picture
WAITING, LABELLED = "waiting", "labelled"
NAME = re.compile(r"\d{8}T\d{9}Z(-\d{1,4})?")
# A 16x16 grey thumbnail less its mean. Mean difference in grey levels, photos at 640x480: sensor noise 1, brightness
# 4, a shift of 1 % 4, of 3 % 12; another photo 24 and more in 99 of 100 cases. A difference hash would take each
# dark, noisy frame for a new one.
MARK_SIDE, SAME_BELOW = 16, 10.0
MARK_FROM = 120  # pixels of the short side that the thumbnail is made of: a third of the time of all of them
README = """What a device kept to be trained on, one folder per class.

Copy these class folders into the folder of photos that the model was trained on, and train again. What a person
labelled of the frames that the model was unsure about says within itself that it is for training only: flora train
never puts it into the validation or the test split, because frames that a model chose by its own doubt, and that
resemble each other, would falsify what is measured there. Frames of the scene itself (--learn-scene, in the folder
unknown) say of what minute they are, so that those of one minute stay together in one split.
"""

Mark = NDArray[np.int16]


def mark_of(picture_bgr: Picture) -> Mark:
    """What near-duplicates have in common, of BGR uint8 (H, W, 3): int16 (16, 16)."""
    step = max(1, min(picture_bgr.shape[:2]) // MARK_FROM)
    thinned = np.ascontiguousarray(picture_bgr[::step, ::step])
    small = cv2.resize(thinned, (MARK_SIDE, MARK_SIDE), interpolation=cv2.INTER_AREA)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.int16)
    return np.asarray(grey - round(float(grey.mean())), np.int16)


def is_like_one_of(mark: Mark, others: Iterable[Mark]) -> bool:
    """Whether a frame is a near-duplicate of one of the others."""
    return any(float(np.abs(mark - other).mean()) < SAME_BELOW for other in others)


def mark_in(note: Mapping[str, Any]) -> Mark | None:
    """The mark of a kept frame; None where its note has none."""
    try:
        mark = np.frombuffer(bytes.fromhex(note["mark"]), "<i2")
        return np.asarray(mark.reshape(MARK_SIDE, MARK_SIDE), np.int16)
    except (KeyError, TypeError, ValueError):
        return None


def encoded(picture_bgr: Picture, decision: Decision, mark: Mark, more: Mapping[str, Any]) -> bytes:
    """A PNG file with the picture and what is known of it; `more` is noted besides."""
    result = decision.result
    order = np.argsort(-result.probabilities, kind="stable")[:ANSWERS]
    note = {
        "time": decision.captured,
        "source": decision.source,
        "name": decision.name,
        "frame": decision.frame,
        "answers": [[result.labels[i], round(float(result.probabilities[i]), 6)] for i in order],
        "mark": mark.astype("<i2").tobytes().hex(),
    }
    return with_note(cv2.imencode(".png", picture_bgr, FAST_PNG)[1].tobytes(), note | dict(more))


def head_note(path: Path) -> dict[str, Any]:
    """The note of a file; empty where there is none, or no file any more."""
    try:
        with path.open("rb") as file:
            return note_of(file.read(HEAD_BYTES)) or {}
    except OSError:
        return {}


def new_name(folder: Path, captured: float) -> str:
    """A name that no frame below `folder` has, for one captured then, in seconds since the epoch."""
    moment = datetime.fromtimestamp(captured, timezone.utc)
    name = f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03}Z"
    number, first = 1, name
    while (folder / WAITING / f"{name}.png").exists() or any((folder / LABELLED).glob(f"*/{name}.png")):
        number += 1
        name = f"{first}-{number}"
    return name


def write_readme(folder: Path) -> None:
    """Say beside the class folders what they are for, once. Raises OutputError."""
    readme = folder / LABELLED / "README.txt"
    if not readme.exists():
        write_atomically(readme, README.encode())
