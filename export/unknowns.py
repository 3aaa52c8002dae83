"""Pictures of other things, given with --unknown: one half may decide the threshold, the other is measured on.

In:  a folder of pictures, any depth.
Out: Unknowns, RGB uint8 (n, N, N, 3) as the device would see them; which half a picture is in depends on its bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import PhotoError
from edge.geometry import model_input
from edge.held_out import of_unknown_things, pictures
from export.trained import FinishedRun
from training.fit import Bar

FEWEST = 10


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Unknowns:
    """Two halves of the pictures."""

    choosing: NDArray[np.uint8]
    reporting: NDArray[np.uint8]
    note: str


def read_unknowns(folder: Path, run: FinishedRun, tell: Callable[[str], None], bar: Bar) -> Unknowns:
    """Read and halve them; photos of the run itself are left out. Raises PhotoError when they are too few."""
    held = replace(
        of_unknown_things(folder),
        seen=frozenset(photo.sha256 for photo in run.photos),
        seen_as="that are among the run's own",
    )
    total = len(held.paths)
    found = {
        picture.sha256: np.asarray(model_input(picture.frame, run.config.size))
        for picture in pictures(held, tell, lambda done: bar(done, total))
    }
    if len(found) < FEWEST:
        raise PhotoError(
            f"{folder}: {len(found)} different pictures; expected at least {FEWEST}, half of them to test on"
        )
    ordered = [found[sha256] for sha256 in sorted(found)]
    half = len(ordered) // 2
    note = f"{len(ordered)} pictures of {folder}: {half} for the threshold, {len(ordered) - half} measured on"
    return Unknowns(np.stack(ordered[:half]), np.stack(ordered[half:]), note)
