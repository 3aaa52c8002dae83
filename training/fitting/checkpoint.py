"""The state of a training between two epochs, as one file that is replaced atomically.

One file holds the weights as trained and as averaged, the best weights so far, every variable of the optimizer
(momenta, step, loss scale) and the history, so a kill at any moment leaves a state that belongs together.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.files import in_place_of, writing
from edge.base.formats import FIRST, plain, read_fields, require_readable
from edge.errors import ModelError

FORMAT = 1  # of a state; a reader refuses one whose major number is newer
GROUPS = ("weights", "average", "best", "optimizer")

Arrays = list[NDArray[Any]]
GO_ON = "free some space, then go on with --resume"


@dataclass
class Reached:
    """Where a training stands. `history` has one row per finished epoch, of all phases."""

    phase: str = ""
    epoch: int = 0  # finished epochs of this phase
    best_loss: float = float("inf")  # validation loss of the averaged weights
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    others: dict[str, Any] = field(default_factory=dict)  # fields that this Flora does not know, by name


@dataclass
class State:
    """Where the training stands, and its tensors. `best` are the averaged weights of the best epoch."""

    reached: Reached
    weights: Arrays
    average: Arrays
    best: Arrays
    optimizer: Arrays
    others: dict[str, NDArray[Any]] = field(default_factory=dict)  # tensors that this Flora does not know, by name


def save_state(path: Path, state: State) -> None:
    """Write it whole or not at all. Raises OutputError when it cannot be written."""
    tensors = {
        f"{group}/{index:04d}": array
        for group in GROUPS
        for index, array in enumerate(getattr(state, group))
    }
    save_arrays(path, progress=np.array(json.dumps(plain(state.reached))), **tensors, **state.others)


def save_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Write an .npz file whole or not at all. Raises OutputError when it cannot be written."""
    named: Any = arrays  # NumPy's own options of savez have other types
    part = path.with_name(path.name + ".part")
    with writing(path, advice=GO_ON), in_place_of(path, part, is_synced=True), part.open("wb") as file:
        np.savez(file, **named)


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
    groups: dict[str, Arrays] = {group: [] for group in GROUPS}
    try:
        reached = _reached(path, json.loads(str(arrays.pop("progress"))))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _broken(path, error) from error
    others = {name: arrays.pop(name) for name in list(arrays) if name.split("/")[0] not in GROUPS}
    for name in sorted(arrays):
        groups[name.split("/")[0]].append(arrays[name])
    return State(reached, **groups, others=others)


def _reached(path: Path, content: dict[str, Any]) -> Reached:
    try:
        require_readable(content.get("format", FIRST), FORMAT)
    except ValueError as error:
        raise ModelError(f"{path}: the checkpoint {error}") from error
    best_loss = float(content.get("best_loss", "inf"))  # it begins as Infinity, which is no figure anywhere else
    return read_fields(Reached, content, best_loss=best_loss)


def _broken(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path}: the checkpoint is broken ({error}); delete it to start the training anew")
