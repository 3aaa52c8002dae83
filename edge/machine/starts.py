"""What a fresh process takes from its start to its first answer, asked of a child process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np

from edge.base.board import Board
from edge.errors import ModelError
from edge.machine.timing import WARM_UP, noise
from edge.model.classifier import Classifier

CHILD = "import sys; sys.path[:] = sys.argv[4:]; from edge.machine.starts import start; start()"
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
    command = [sys.executable, "-c", CHILD, model, *map(str, size_wh), *sys.path]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_START_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{model}: no answer within {LONGEST_START_S:.0f} s in a fresh process") from error
    if child.returncode != 0:
        last = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        raise ModelError(f"{model}: does not start in a fresh process ({last:.200})")
    return Start(**json.loads(child.stdout))


def start() -> None:
    """The child's whole life."""
    board = Board()
    model, size_wh, imports_mb = sys.argv[1], (int(sys.argv[2]), int(sys.argv[3])), board.memory_mb()
    frame_bgr, stamps = noise(size_wh), [time.perf_counter()]
    classify = Classifier(model, threads=1)
    stamps.append(time.perf_counter())
    for _ in range(WARM_UP):
        classify(frame_bgr)
        stamps.append(time.perf_counter())
    init_ms, first_ms, *others = np.diff(stamps) * 1e3
    warm_up_ms = float(np.mean([first_ms, *others]))
    found = Start(float(init_ms), float(first_ms), warm_up_ms, board.peak_memory_mb(), imports_mb)
    sys.stdout.write(json.dumps(found.__dict__))
