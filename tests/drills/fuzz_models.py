"""Mutated model files, thousands of them, each opened and asked for one answer.

In:  a number of files and a seed; optionally model files from elsewhere to damage as well, beside the tiny ones.
Out: a table of what happened, by kind of file. Exit code 1 if a file gave a wrong answer, a traceback, several lines, a
     crash, a hang, or took more memory than allowed.

Files are tried in worker processes, so that a crash is noticed and the next file goes on.

example: python -m tests.drills.fuzz_models --files 10000 --seed 1 --foreign model.tflite
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge.base.text import is_plain_name
from edge.errors import FloraError
from edge.model.classifier import Classifier
from edge.tflite.archive import halves
from tests.drills.mutations import Foreign, frame, mutant, right_answers

ROOT = Path(__file__).resolve().parents[2]
HANG_S = 120.0  # no word from a worker for so long; a trial run may take 30 s of it
MEMORY = 1 << 30  # bytes of address space that a worker may take beyond those it begins with
BATCH = 250  # files a worker
BAD = ("wrong answer", "traceback", "several lines", "died", "hang")
TRIALS = {
    "crashed the trial run": "it crashed the runtime in a trial run",
    "trial run too long": "in a trial run",
    "refused in the trial run": r"refuses it|gives no answer|its answers are|it needs (the|more)",
}


@dataclass(frozen=True)
class Report:
    """What became of one file."""

    index: int
    origin: str  # "ours", "stranger", ...
    mutation: str
    outcome: str
    said: str  # the error's message
    ms: float
    peak_mb: float  # of the worker, and of its greatest child


@dataclass(frozen=True)
class Task:
    """Which files a worker is to try."""

    first: int
    end: int
    seed: int
    foreign: tuple[str, ...]


def fuzz(task: Task, jobs: int = 1, hang_s: float = HANG_S) -> list[Report]:
    """Try files `first` to `end` in `jobs` workers at a time; in the order of their numbers."""
    starts = iter(range(task.first, task.end, BATCH))
    reports: list[Report] = []
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                first = next(starts, None)
            if first is None:
                return
            found = list(_batch(Task(first, min(first + BATCH, task.end), task.seed, task.foreign), hang_s))
            with lock:
                reports.extend(found)

    threads = [threading.Thread(target=work) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(reports, key=lambda report: report.index)


def _batch(task: Task, hang_s: float) -> Iterator[Report]:
    """The reports of one batch, with a new worker after each death."""
    first = task.first
    while first < task.end:
        for report in _worker(Task(first, task.end, task.seed, task.foreign), hang_s):
            first = report.index + 1
            yield report


def _worker(task: Task, hang_s: float) -> Iterator[Report]:
    """The reports of one worker; the last one is of the file that it died of, if it did."""
    command = [sys.executable, "-m", "tests.drills.fuzz_models", "--worker", json.dumps(asdict(task))]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        done, ending = task.first, ""
        while done < task.end and not ending:
            if not select.select([process.stdout], [], [], hang_s)[0]:
                process.kill()
                ending = "hang"
            elif line := process.stdout.readline():
                yield Report(**json.loads(line))
                done += 1
            else:
                ending = "died"
        code = process.wait()
        errors.seek(0)
        if ending:
            made, last = mutant(done, task.seed, _foreign(task)), errors.read().decode(errors="replace")[-300:]
            yield Report(done, made.origin, made.mutation, ending, f"{_signal(code)} {last}", 0.0, 0.0)


def _signal(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _foreign(task: Task) -> Foreign:
    return [halves(Path(name), Path(name).read_bytes()) for name in task.foreign]


def work(task: Task) -> None:
    """The worker's whole life: one line of JSON on stdout for each file."""
    warnings.simplefilter("error")
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    foreign = _foreign(task)
    right_answers()
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FLORA_CACHE"] = str(Path(folder) / "cache")
        for index in range(task.first, task.end):
            made = mutant(index, task.seed, foreign)
            path = Path(folder) / "m.tflite"
            path.write_bytes(made.data)
            started = time.perf_counter()
            outcome, said = _outcome(path)
            ms = (time.perf_counter() - started) * 1e3
            report = Report(index, made.origin, made.mutation, outcome, said, round(ms, 1), _peak_mb())
            sys.stdout.write(json.dumps(asdict(report)) + "\n")
            sys.stdout.flush()


def _outcome(path: Path) -> tuple[str, str]:
    try:
        classify = Classifier(path, threads=1)
        answer = classify(frame()).probabilities
    except FloraError as error:
        return _refusal(str(error))
    except BaseException as error:  # noqa: BLE001 - whatever comes out is what this is looking for
        return "traceback", f"{type(error).__name__}: {error}"[:300]
    if classify.card is None:
        return ("a stranger's answer", "") if np.isfinite(answer).all() else ("wrong answer", str(answer))
    right = right_answers().get(classify.card.sha256)
    return (
        ("right answer", "")
        if right is not None and np.array_equal(answer, right)
        else ("wrong answer", f"{answer} for {right}")
    )


def _refusal(message: str) -> tuple[str, str]:
    if not is_plain_name(message) or len(message) > 1000:
        return "several lines", repr(message)[:300]
    kind = next((kind for kind, pattern in TRIALS.items() if re.search(pattern, message)), "refused when read")
    return kind, message


def _peak_mb() -> float:
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


def table(reports: list[Report]) -> str:
    """Outcomes by origin, then by mutation."""
    outcomes = sorted({report.outcome for report in reports})
    lines = []
    for title in ("origin", "mutation"):
        counts = collections.Counter((getattr(report, title), report.outcome) for report in reports)
        rows = [[title, *outcomes]]
        rows += [[row, *(str(counts[row, outcome]) for outcome in outcomes)] for row in sorted({r for r, _ in counts})]
        rows.append(["all", *(str(sum(report.outcome == outcome for report in reports)) for outcome in outcomes)])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows] + [""]
    slowest, largest = max(reports, key=lambda r: r.ms), max(reports, key=lambda r: r.peak_mb)
    return "\n".join([*lines, f"slowest: {slowest.ms:.0f} ms; most memory of a process: {largest.peak_mb:.0f} MiB"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first, to try one again")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="workers at a time (default: %(default)s)")
    parser.add_argument("--foreign", nargs="*", default=[], metavar="FILE", help="model files with labels, not of ours")
    parser.add_argument("--worker", metavar="JSON", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        content = json.loads(args.worker)
        work(Task(**{**content, "foreign": tuple(content["foreign"])}))
        return 0
    foreign = tuple(str(Path(name).resolve()) for name in args.foreign)
    reports = fuzz(Task(args.first, args.first + args.files, args.seed, foreign), args.jobs)
    print(table(reports))
    bad = [report for report in reports if report.outcome in BAD]
    for report in bad[:50]:
        print(report)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
