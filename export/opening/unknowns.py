"""Pictures of other things, given with --others: one half may decide the threshold, the other is measured on.

In:  a folder of pictures, any depth.
Out: Unknowns, RGB uint8 (n, N, N, 3) as devices would see them, for each N.

Which half a picture is in depends on its bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base.progress import Bar, Say
from edge.errors import PhotoError
from edge.evaluation.held_out import of_unknown_things, pictures
from edge.picture.geometry import model_input
from export.opening.finished_run import FinishedRun

FEWEST = 10


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Unknowns:
    """Two halves of the pictures, for networks of several input sizes."""

    views: Mapping[int, NDArray[np.uint8]]  # by size
    note: str

    def choosing(self, size: int) -> NDArray[np.uint8]:
        """Those that may decide the threshold."""
        return self.views[size][: len(self.views[size]) // 2]

    def reporting(self, size: int) -> NDArray[np.uint8]:
        """Those that are measured on."""
        return self.views[size][len(self.views[size]) // 2 :]


def read_unknowns(
    folder: Path, run: FinishedRun, sizes: Collection[int], tell: Say, bar: Bar
) -> Unknowns:
    """Read and halve them; photos of the run itself are left out. Raises PhotoError when they are too few."""
    held = replace(
        of_unknown_things(folder),
        seen=frozenset(photo.sha256 for photo in run.photos),
        seen_as="that are among the run's own",
    )
    total = len(held.paths)
    found = {
        picture.sha256: {size: np.asarray(model_input(picture.frame, size)) for size in sizes}
        for picture in pictures(held, tell, lambda done: bar(done, total))
    }
    if len(found) < FEWEST:
        raise PhotoError(
            f"{folder}: {len(found)} different pictures; expected at least {FEWEST}, half of them to test on"
        )
    ordered = [found[sha256] for sha256 in sorted(found)]
    half = len(ordered) // 2
    note = f"{len(ordered)} pictures of {folder}: {half} for the threshold, {len(ordered) - half} measured on"
    return Unknowns({size: np.stack([views[size] for views in ordered]) for size in sizes}, note)
