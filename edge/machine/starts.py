"""What a fresh process takes from its start to its first answer, asked of a child process."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.base import child
from edge.base.board import Board
from edge.base.files import write_atomically
from edge.errors import ModelError
from edge.machine.timing import WARM_UP, noise
from edge.model.classifier import Classifier
from edge.model.interpreter import Interpreter

LONGEST_START_S = 120.0


@dataclass(frozen=True)
class Start:
    """One model in a fresh process with one thread."""

    init_ms: float  # opening the file, until it can be asked
    first_ms: float  # the first answer
    warm_up_ms: float  # the mean of the first five
    peak_mb: float | None  # greatest resident memory, 1 MB = 1e6 bytes
    imports_mb: float | None  # of it, what importing took


def fresh_start(model: str, size_wh: tuple[int, int]) -> Start:
    """Open a model and ask it, in a child process. Raises ModelError when that fails."""
    return Start(**_asked(model, _start, model, *map(str, size_wh)))


def peak_mb(flatbuffer: bytes, name: str) -> float | None:
    """Greatest resident memory, 1 MB = 1e6 bytes, of a fresh process that answers once, with one thread.

    For a flatbuffer that has no card yet; None where the system does not tell. `name` is for the message of the
    ModelError that is raised when it gives no answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        write_atomically(path, flatbuffer)
        found: float | None = _asked(name, _peak, str(path))
    return found


def _asked(name: str, work: Callable[..., Any], *arguments: str) -> Any:
    try:
        return child.ask(work, *arguments, timeout_s=LONGEST_START_S)
    except child.TooLate as error:
        raise ModelError(f"{name}: {error} in a fresh process; try again") from error
    except child.Unanswered as error:
        raise ModelError(
            f"{name}: gives no answer in a fresh process ({error}); see what is wrong: flora doctor"
        ) from error


# In the child.


def _start(model: str, width: str, height: str) -> dict[str, Any]:
    board = Board()
    imports_mb = board.memory_mb()
    frame_bgr, stamps = noise((int(width), int(height))), [time.perf_counter()]
    classify = Classifier(model, threads=1)
    stamps.append(time.perf_counter())
    for _ in range(WARM_UP):
        classify(frame_bgr)
        stamps.append(time.perf_counter())
    init_ms, first_ms, *others = np.diff(stamps) * 1e3
    warm_up_ms = float(np.mean([first_ms, *others]))
    return asdict(Start(float(init_ms), float(first_ms), warm_up_ms, board.peak_memory_mb(), imports_mb))


def _peak(path: str) -> float | None:
    interpreter = Interpreter(Path(path).read_bytes(), "the model", threads=1)
    interpreter(noise((interpreter.size, interpreter.size)))
    return Board().peak_memory_mb()
