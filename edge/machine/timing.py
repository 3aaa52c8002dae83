"""How long models take, measured side by side: rounds interleave the models, so a noisy moment hits all of them.

In:  model files, a frame as a camera sends it (JPEG), numbers of threads.
Out: per model and number of threads, milliseconds of decode, geometry, invoke and rest; ratios to the first model; and,
     from a child process of its own for each model, the time to the first answer and the peak memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base.board import Board
from edge.base.intervals import Interval, Percentiles, percentiles, ratio
from edge.contract.decision import Decision
from edge.contract.frame import Clock
from edge.live.smoothing import Smoother
from edge.model.classifier import Classifier
from edge.model.interpreter import Interpreter
from edge.picture.geometry import Picture, decode

WARM_UP = 5
STAGES = ("decode", "geometry", "invoke", "rest")
AS_GOOD = 1.03  # a smaller number of threads that takes no more than this much longer is better: it leaves cores alone
EVERY_COUNT = 8  # of threads, up to here; beyond it only the powers of two
TIME_CONSTANT_S, MARGIN = 0.5, 0.1  # as from a camera
JPEG_QUALITY = 85
COARSE, GRAIN = 16, 12  # pixels between the colours of a scene, levels of the noise over it


@dataclass(frozen=True)
class Steady:
    """One model with one number of threads, after the warm-up. Milliseconds."""

    model: str
    threads: int
    decode: Percentiles  # of the camera's JPEG
    geometry: Percentiles
    invoke: Percentiles
    rest: Percentiles  # checks, smoothing and decision
    total: Percentiles  # frame to answer: all but decode
    speed: Interval  # of the totals: how many times as fast as the first model
    is_throttled: bool | None  # whether the board lowered its clock meanwhile; None: it does not tell


class Pipeline:
    """A model as the live loop runs it, each stage timed."""

    def __init__(self, model: str, threads: int, clock: Clock = time.perf_counter) -> None:
        """Raises ModelError for a file that does not load."""
        self._classify = Classifier(model, threads=threads, clock=clock)
        self._smoother, self._clock = Smoother(TIME_CONSTANT_S, MARGIN), clock

    def __call__(self, jpeg: bytes) -> tuple[float, float, float, float]:
        """Take one frame; milliseconds of STAGES."""
        started = self._clock()
        frame_bgr = decode(jpeg, "the frame")
        decoded = self._clock()
        result = self._classify(frame_bgr)
        probabilities, index = self._smoother.update(result.probabilities, started)
        decision = Decision(started, "camera", 0, "camera", result, probabilities, index, 0.0, result.latency_ms)
        assert decision.shown  # deciding whether it is unknown is part of the work
        whole_ms = (self._clock() - decoded) * 1e3
        return (decoded - started) * 1e3, result.geometry_ms, result.invoke_ms, whole_ms - result.latency_ms


def time_invokes(
    interpreters: Mapping[str, Interpreter], rounds: int, clock: Clock = time.perf_counter
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
    counts: Sequence[int],
    jpeg: bytes,
    rounds: int,
    tick: Callable[[int], None] = lambda done: None,
    *,
    board: Board | None = None,
) -> list[Steady]:
    """Frame to answer, `rounds` times for each model and number of threads. Raises ModelError as a Classifier does.

    Within a round the models take turns. Numbers of threads do not, for the threads of the one before still spin a
    while: they go up for the first half of the rounds and down for the second, so that a drift hits all alike.
    """
    board = board or Board()
    pipelines = {count: [Pipeline(model, count) for model in models] for count in counts}
    times = {count: np.zeros((len(models), rounds, len(STAGES))) for count in counts}
    throttled: dict[int, bool | None] = dict.fromkeys(counts)
    half, done = (rounds + 1) // 2, 0
    for order, part in ((list(counts), slice(0, half)), (list(counts)[::-1], slice(half, rounds))):
        for count in order:
            _fill(pipelines[count], times[count][:, part], jpeg, lambda n, before=done: tick(before + n))  # type: ignore[misc]
            done += part.stop - part.start
            throttled[count] = board.is_throttled() or throttled[count]
    return [one for count in counts for one in _rows(models, count, times[count], throttled[count])]


def _fill(pipelines: Sequence[Pipeline], times: NDArray[np.float64], jpeg: bytes, tick: Callable[[int], None]) -> None:
    """Fill times (models, rounds, stages), after a warm-up."""
    rounds = times.shape[1]
    for number in range(-WARM_UP, rounds) if rounds else ():
        for row, pipeline in enumerate(pipelines):
            stages = pipeline(jpeg)
            if number >= 0:
                times[row, number] = stages
        tick(max(0, number + 1))


def _rows(models: Sequence[str], threads: int, times: NDArray[np.float64], is_throttled: bool | None) -> list[Steady]:
    totals = times[:, :, 1:].sum(axis=2)
    found = []
    for model, stages, total in zip(models, times, totals, strict=True):
        named = {stage: percentiles(stages[:, i]) for i, stage in enumerate(STAGES)}
        speed = ratio(totals[0], total)
        found.append(Steady(model, threads, **named, total=percentiles(total), speed=speed, is_throttled=is_throttled))
    return found


def thread_counts(cores: int) -> list[int]:
    """Which numbers of threads to try."""
    powers = [2**n for n in range(cores.bit_length())]
    return sorted({*range(1, min(cores, EVERY_COUNT) + 1), *(n for n in powers if n <= cores), cores})


def best_of(steady: Sequence[Steady], model: str) -> Steady:
    """The fastest number of threads for a model, or the smallest that is as good."""
    rows = sorted((row for row in steady if row.model == model), key=lambda row: row.threads)
    least = min(row.total.p50 for row in rows)
    return next(row for row in rows if row.total.p50 <= AS_GOOD * least)


def noise(size_wh: tuple[int, int]) -> Picture:
    """A seeded frame, uint8 (H, W, 3)."""
    return np.random.default_rng(0).integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)


def camera_jpeg(size_wh: tuple[int, int]) -> bytes:
    """A seeded frame as a camera sends it: soft colours with a little grain, about 0.3 byte a pixel."""
    coarse_wh = tuple(max(2, side // COARSE) for side in size_wh)
    scene = cv2.resize(noise((coarse_wh[0], coarse_wh[1])), size_wh, interpolation=cv2.INTER_CUBIC)
    grain = noise(size_wh) // np.uint8(256 // GRAIN)
    frame = np.minimum(scene, np.uint8(255 - GRAIN)) + grain
    return bytes(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])
