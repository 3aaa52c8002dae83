"""The state of a training between two epochs, as one file that is replaced atomically.

One file holds the weights as trained and as averaged, the best weights so far, every variable of the optimizer
(momenta, step, loss scale) and the history, so a kill at any moment leaves a state that belongs together.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
import zlib
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
    named: Any = arrays  # NumPy's own options of savez have other types
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(file, **named)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the folder itself may be missing; the first error is the one to tell
            partial.unlink()
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); free some space, then go on with --resume"
        ) from error


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read an .npz file that `save_arrays` wrote. Raises ModelError when it is broken."""
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise _broken(path, error) from error


def load_state(path: Path) -> State | None:
    """Read a state; None when there is none yet. Raises ModelError when the file is broken."""
    if not path.exists():
        return None
    arrays = load_arrays(path)
    groups: dict[str, Arrays] = {"weights": [], "average": [], "best": [], "optimizer": []}
    try:
        progress = Progress(**json.loads(str(arrays.pop("progress"))))
        for name in sorted(arrays):
            groups[name.split("/")[0]].append(arrays[name])
    except (ValueError, KeyError, TypeError) as error:
        raise _broken(path, error) from error
    return State(progress, **groups)


def _broken(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path}: the checkpoint is broken ({error}); delete it to start the training anew")
