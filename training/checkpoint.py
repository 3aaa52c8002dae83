"""The state of a training between two epochs, as one file that is replaced atomically.

One file holds the weights as trained and as averaged, the best weights so far, every variable of the optimizer
(momenta, step, loss scale) and the history, so a kill at any moment leaves a state that belongs together.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError, OutputError

Arrays = list[NDArray[Any]]


@dataclass
class Progress:
    """Where a training stands. `history` has one row per finished epoch, of all phases."""

    phase: str = ""
    epoch: int = 0  # finished epochs of this phase
    best_loss: float = float("inf")  # validation loss of the averaged weights
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class State:
    """Progress and tensors. `best` are the averaged weights of the best epoch."""

    progress: Progress
    weights: Arrays
    average: Arrays
    best: Arrays
    optimizer: Arrays


def save_state(path: Path, state: State) -> None:
    """Write to a temporary name and rename. Raises OutputError when it cannot be written."""
    tensors = {
        f"{group}/{index:04d}": array
        for group in ("weights", "average", "best", "optimizer")
        for index, array in enumerate(getattr(state, group))
    }
    save_arrays(path, progress=np.array(json.dumps(asdict(state.progress))), **tensors)


def save_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Write an .npz file under a temporary name and rename it. Raises OutputError when it cannot be written."""
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); free some space, then go on with --resume"
        ) from error


def load_state(path: Path) -> State | None:
    """Read a state; None when there is none yet. Raises ModelError when the file is broken."""
    if not path.exists():
        return None
    try:
        with np.load(path) as file:
            progress = Progress(**json.loads(str(file["progress"])))
            groups: dict[str, Arrays] = {"weights": [], "average": [], "best": [], "optimizer": []}
            for name in sorted(file.files):
                if "/" in name:
                    groups[name.split("/")[0]].append(file[name])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: the checkpoint is broken ({error}); delete it to start the training anew") from error
    return State(progress, **groups)
