"""What each variant is worth, asked of the device's runtime: accuracy, size, time and memory.

In:  flatbuffers, pictures RGB uint8 (n, N, N, 3) with their classes (n,), the trained network's probabilities (n, K).
Out: a `Variant` each, with the figures of validation photos; those of test photos once one of them is chosen.

Times are measured side by side, the variants taking turns, so that a busy moment of the machine hits all of them. It
does not slow them alike, though, so that is done at three moments, and the quietest counts.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from edge.base import intervals
from edge.base.intervals import Interval, ratio
from edge.base.progress import Stages
from edge.evaluation.accuracy import Scores, score
from edge.evaluation.comparison import Comparison, compare
from edge.evaluation.known import over_known
from edge.machine.starts import peak_mb
from edge.machine.timing import time_invokes
from edge.model.interpreter import Interpreter, default_threads
from edge.tflite.anatomy import dissect
from export.graph.asking import answers as answers_of
from export.opening.finished_run import Views
from export.variants.variant import Change, Made, Variant

TIMED_INVOKES = 100
UNIT_OF_SPEED = "int8"  # the variant whose speed is 1
TRIED = "int8_slim"  # a shape that is timed before anything is taught
TRIED_INVOKES, MOMENTS = 20, 30  # of it, at each of so many moments
WRITTEN = "the written file"

Probabilities = NDArray[np.float32]  # (n, K)
ViewsOf = Callable[[int], Views]  # photos as a model with an input of so many pixels sees them
Times = dict[str, list[float]]  # milliseconds of each round, by name


@dataclass(frozen=True, eq=False)
class Tested:
    """Figures of test photos, once the choice is made."""

    float_test: Scores
    variants: tuple[Variant, ...]
    truth: NDArray[np.int64]  # (n,)
    before: Probabilities  # of the chosen variant as it was measured
    after: Probabilities  # of the file that is written
    scores: Scores  # of that file


def measure(
    made: Sequence[Made], views_of: ViewsOf, reference: Probabilities, labels: Sequence[str], stages: Stages
) -> list[Variant]:
    """Measure every variant on the photos that decide. `reference` is what the trained network answers to them."""
    bar, done = stages("measuring variants"), count(1)
    total = 2 * len(made) + len(("one thread",) * 3 + ("all threads",))

    def tick(note: str) -> None:
        bar(next(done), total, note)

    early = _times(made, 1, tick)
    answers, truth = _answers(made, views_of, tick)
    between = _times(made, 1, tick)
    peaks = {m.name: _peak(m, tick) for m in made}
    threaded, _ = _times(made, default_threads(), tick)
    single, speeds = _quietest(early, between, _times(made, 1, tick))
    return [
        Variant(
            m.name,
            is_integer=m.is_integer,
            bytes=len(m.flatbuffer),
            gzip_bytes=len(gzip.compress(m.flatbuffer, 9)),
            p50_ms=intervals.percentiles(single[m.name]).p50,
            p95_ms=intervals.percentiles(single[m.name]).p95,
            all_threads=default_threads(),
            all_p50_ms=intervals.percentiles(threaded[m.name]).p50,
            all_p95_ms=intervals.percentiles(threaded[m.name]).p95,
            speed=speeds.get(m.name),
            foretold=m.foretold,
            peak_mb=peaks[m.name],
            size=m.size,
            multiply_adds=dissect(m.flatbuffer, m.name).multiply_adds,
            sparsity=m.sparsity.total,
            sparsity_by_layer=m.sparsity.by_layer,
            validation=score(truth, answers[m.name], labels),
            agreement=_compared(truth, answers[m.name], reference, labels).agreement,
            change=change(truth, answers[m.name], reference, labels),
        )
        for m in made
    ]


def tested(
    made: Sequence[Made], variants: Sequence[Variant], chosen: str, written: bytes, views_of: ViewsOf,
    reference: Probabilities, labels: Sequence[str], stages: Stages,
) -> Tested:  # fmt: skip
    """Fill in the test column. `written` is the flatbuffer that came of the chosen variant, whose row it gets."""
    bar, done = stages("measuring on test photos"), count(1)
    winner = next(m for m in made if m.name == chosen)
    asked = [*made, replace(winner, name=WRITTEN, flatbuffer=written)]
    answers, truth = _answers(asked, views_of, lambda note: bar(next(done), len(asked), note))
    before, after = answers[chosen], answers.pop(WRITTEN)
    answers[chosen] = after
    scores = {name: score(truth, found, labels) for name, found in answers.items()}
    changes = {name: change(truth, found, reference, labels) for name, found in answers.items()}
    rows = tuple(
        replace(v, test=scores[v.name], test_change=changes[v.name], is_chosen=v.name == chosen) for v in variants
    )
    return Tested(score(truth, reference, labels), rows, truth, before, after, scores[chosen])


def speed_beside(plain: bytes, other: bytes) -> float:
    """How many times as fast as the run's plain int8 file another one is, here and with one thread.

    By the time of the processor: on a busy machine the longer of two is interrupted more often, which would make the
    other one look faster than it is. What shares the processor slows both all the same, so it is done at many short
    moments, and the quietest of each file counts.
    """
    files = {UNIT_OF_SPEED: plain, TRIED: other}
    interpreters = {name: Interpreter(flatbuffer, name, threads=1) for name, flatbuffer in files.items()}
    times = [time_invokes(interpreters, TRIED_INVOKES, time.thread_time) for _ in range(MOMENTS)]
    whole_ms, slim_ms = (min(float(np.median(found[name])) for found in times) for name in files)
    return whole_ms / slim_ms


def change(
    truth: NDArray[np.int64], answers: Probabilities, reference: Probabilities, labels: Sequence[str]
) -> Change:
    """What answers (n, K) gain or lose against those of the trained network, over the known classes."""
    found = _compared(truth, answers, reference, labels)
    return Change(found.difference, found.mcnemar)


def _compared(
    truth: NDArray[np.int64], answers: Probabilities, reference: Probabilities, labels: Sequence[str]
) -> Comparison:
    return compare(over_known(truth, answers, labels), over_known(truth, reference, labels))


def _answers(
    made: Sequence[Made], views_of: ViewsOf, tick: Callable[[str], None]
) -> tuple[dict[str, Probabilities], NDArray[np.int64]]:
    """Answers by name, and the truth (n,). Photos of one size at a time: together they might not fit in memory."""
    answers: dict[str, Probabilities] = {}
    truth = np.empty(0, np.int64)
    for size in sorted({m.size for m in made}):
        views = views_of(size)
        truth = views.truth
        for m in made:
            if m.size == size:
                answers[m.name] = answers_of(m.flatbuffer, views.pictures, m.name)
                tick(m.name)
    return answers, truth


def _peak(made: Made, tick: Callable[[str], None]) -> float | None:
    found = peak_mb(made.flatbuffer, made.name)
    tick(f"{made.name}, memory")
    return found


def _times(made: Sequence[Made], threads: int, tick: Callable[[str], None]) -> tuple[Times, dict[str, Interval]]:
    """Times by name, and speeds where there is a plain integer file to compare with.

    Integer files take turns among themselves: a float one is so large that the next would find its weights gone from
    the processor's cache, which costs a slim network a fifth of its speed.
    """
    times: Times = {}
    speeds: dict[str, Interval] = {}
    unit = [m for m in made if m.name == UNIT_OF_SPEED]
    for group in ([m for m in made if m.is_integer], [*unit, *(m for m in made if not m.is_integer)]):
        found = time_invokes({m.name: Interpreter(m.flatbuffer, m.name, threads=threads) for m in group}, TIMED_INVOKES)
        if unit:
            speeds |= {n: ratio(np.array(found[UNIT_OF_SPEED]), np.array(ms)) for n, ms in found.items()}
        times = found | times  # the plain integer file keeps its times among its like
    tick(f"times, {threads} thread{'s' if threads > 1 else ''}")
    return times, speeds


def _quietest(*found: tuple[Times, dict[str, Interval]]) -> tuple[Times, dict[str, Interval]]:
    """The timing in which the plain integer file was fastest: whatever slows it, slows a slim one otherwise."""
    return min(found, key=lambda one: float(np.median(one[0].get(UNIT_OF_SPEED, [0.0]))))
