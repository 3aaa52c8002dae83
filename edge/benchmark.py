"""How long models take, measured side by side: rounds interleave the models, so a noisy moment hits all of them.

In:  model files, a camera frame size, numbers of threads.
Out: per model and number of threads, milliseconds of geometry and invoke; ratios to the first model; and, from a child
     process of its own for each model, the time to the first answer and the peak memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.calibration_metrics import Interval
from edge.classifier import Classifier
from edge.errors import ModelError
from edge.geometry import Picture
from edge.interpreter import Interpreter
from edge.metrics import Percentiles, percentiles

WARM_UP = 5
DRAWS, TAILS = 1000, (2.5, 97.5)
CHILD = "import sys; sys.path[:] = sys.argv[4:]; from edge.benchmark import start; start()"
LONGEST_START_S = 120.0


@dataclass(frozen=True)
class Steady:
    """One model with one number of threads, after the warm-up. Milliseconds."""

    model: str
    threads: int
    geometry: Percentiles
    invoke: Percentiles
    total: Percentiles  # frame to answer
    speed: Interval  # of the totals: how many times as fast as the first model


@dataclass(frozen=True)
class Start:
    """One model in a fresh process with one thread."""

    init_ms: float  # opening the file, until it can be asked
    first_ms: float  # the first answer
    peak_mb: float  # greatest resident memory, 1 MB = 1e6 bytes
    imports_mb: float  # of it, what importing took


def time_invokes(
    interpreters: Mapping[str, Interpreter], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Milliseconds of each of `rounds` invokes per model, after a warm-up, on one seeded noise picture."""
    pictures = {name: noise((model.size, model.size)) for name, model in interpreters.items()}
    times: dict[str, list[float]] = {name: [] for name in interpreters}
    for number in range(WARM_UP + rounds):
        for name, model in interpreters.items():
            started = clock()
            model(pictures[name])
            if number >= WARM_UP:
                times[name].append((clock() - started) * 1e3)
    return times


def time_frames(
    models: Sequence[str],
    threads: int,
    frame_bgr: Picture,
    rounds: int,
    tick: Callable[[int], None] = lambda done: None,
) -> list[Steady]:
    """Frame to answer, `rounds` times for each model, in turn. Raises ModelError for a file that does not load."""
    classifiers = [Classifier(model, threads=threads) for model in models]
    times = np.zeros((len(models), rounds, 2))
    for number in range(-WARM_UP, rounds):
        for row, classify in enumerate(classifiers):
            result = classify(frame_bgr)
            if number >= 0:
                times[row, number] = result.geometry_ms, result.invoke_ms
        tick(max(0, number + 1))
    totals = times.sum(axis=2)
    return [
        Steady(
            model, threads, percentiles(stages[:, 0]), percentiles(stages[:, 1]), percentiles(total),
            ratio(totals[0], total),
        )
        for model, stages, total in zip(models, times, totals, strict=True)
    ]  # fmt: skip


def ratio(first: NDArray[np.float64], other: NDArray[np.float64], seed: int = 0) -> Interval:
    """The median of first / other over rounds (n,), how many times as fast `other` is, with a bootstrap interval."""
    speeds = np.asarray(first) / np.asarray(other)
    picked = np.random.default_rng(seed).integers(len(speeds), size=(DRAWS, len(speeds)))
    low, high = np.percentile(np.median(speeds[picked], axis=1), TAILS)
    return Interval(float(np.median(speeds)), float(low), float(high))


def noise(size_wh: tuple[int, int]) -> Picture:
    """A seeded frame, uint8 (H, W, 3)."""
    return np.random.default_rng(0).integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)


def fresh_start(model: str, size_wh: tuple[int, int]) -> Start:
    """Open a model and ask it once, in a child process. Raises ModelError when that fails."""
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
    model, size_wh, imports_mb = sys.argv[1], (int(sys.argv[2]), int(sys.argv[3])), resident_mb("VmRSS")
    frame_bgr, started = noise(size_wh), time.perf_counter()
    classify = Classifier(model, threads=1)
    opened = time.perf_counter()
    classify(frame_bgr)
    done = time.perf_counter()
    found = Start((opened - started) * 1e3, (done - opened) * 1e3, resident_mb("VmHWM"), imports_mb)
    sys.stdout.write(json.dumps(found.__dict__))


def resident_mb(field: str) -> float:
    """Resident memory of this process in MB: VmRSS now, VmHWM at its peak; NaN where /proc does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    kib = next((line.split()[1] for line in lines if line.startswith(f"{field}:")), "nan")
    return float(kib) * 1024 / 1e6
