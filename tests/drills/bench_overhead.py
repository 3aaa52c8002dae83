"""What Flora costs on top of the runtime, and beside MediaPipe Tasks: ratios, measured in turns, one thread.

    python -m tests.drills.bench_overhead --yardstick mobilenet_v2_1.0_224_int8.tflite --mediapipe .../bin/python

In:  model files (by default the bundled one), a yardstick file that everybody has, frames of 640x480, noise; the Python
     of an environment with MediaPipe. Run it with the Python of a device environment.
Out: per model the milliseconds of an answer of the bare interpreter (its invoke alone), of twenty lines (bare.py), of
     Flora's classifier with smoothing and decision, and of a turn of its live loop; cold starts and their peak memory
     in fresh processes; MediaPipe's `classify` in alternating processes. Exit code 1 where a limit of ours is missed.

The sides of a ratio take turns, and of each the tenth percentile counts: what it takes while nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.decision import Decision
from edge.contract.event import Event
from edge.contract.frame import Frame
from edge.live.loop import LiveConfig, run_live
from edge.live.smoothing import Smoother
from edge.model.classifier import Classifier, bundled_model
from edge.model.interpreter import loaded
from edge.picture.geometry import Picture
from tests.drills.bare import opened

ROOT = Path(__file__).parents[2]
BARE = Path(__file__).with_name("bare.py")
SIZE_WH = 640, 480
FRAMES = 4  # different ones, so that no answer is that of the frame before
WARM_UP = 10
BLOCK = 20  # frames that one process answers before it is the other's turn
TO_INVOKE, TO_BARE, START, MEMORY = 1.15, 1.10, 1.5, 1.25  # the limits
QUIET = 10  # percentile
LONGEST_S = 300

Times = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Ratio:
    """One thing compared with another, both as in a quiet moment."""

    what: str
    ours: float
    theirs: float
    unit: str
    limit: float | None = None  # None: told, not judged

    @classmethod
    def of(cls, what: str, ours: Any, theirs: Any, unit: str, limit: float | None = None) -> Ratio:
        """Of samples (n,) each."""
        quiet_ours, quiet_theirs = (float(np.percentile(side, QUIET)) for side in (ours, theirs))
        return cls(what, quiet_ours, quiet_theirs, unit, limit)

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    @property
    def is_missed(self) -> bool:
        return self.limit is not None and self.ratio > self.limit

    def __str__(self) -> str:
        verdict = "" if self.limit is None else f"  limit {self.limit:.2f}{'  MISSED' if self.is_missed else ''}"
        return f"{self.what:58} {self.ours:8.3f} / {self.theirs:8.3f} {self.unit:3} = {self.ratio:5.3f}{verdict}"


def noise_frames() -> list[Picture]:
    draws = np.random.default_rng(0)
    return [draws.integers(0, 256, (SIZE_WH[1], SIZE_WH[0], 3), np.uint8) for _ in range(FRAMES)]


class NullSink:
    """An output that costs nothing."""

    name, backlog, needs_picture = "null", 1, True

    def show(self, decision: Decision, frame: Frame) -> None: ...
    def tell(self, event: Event) -> None: ...
    def close(self) -> None: ...


@dataclass
class Turns:
    """A source that measures: between two frames of the loop every job has its turn, so all share one clock and noise.

    What the loop does with a frame, from the moment that it gets one until it asks for the next, is the job "loop".
    """

    jobs: dict[str, Callable[[Picture], object]]
    frames: list[Picture]
    rows: list[dict[str, float]] = field(default_factory=list)
    name: str = "turns"
    is_live: bool = True
    dropped: int = 0
    warnings: Sequence[str] = ()
    reopened: int = 0
    handed_at: float | None = None

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        now = time.perf_counter()
        if self.handed_at is not None:
            self.rows[-1]["loop"] = (now - self.handed_at) * 1e3
        number = len(self.rows)
        frame, names = self.frames[number % FRAMES], list(self.jobs)
        first = number % len(names)
        self.rows.append({name: self._timed(name, frame) for name in names[first:] + names[:first]})
        self.handed_at = time.perf_counter()
        return Frame(frame, number, time.monotonic(), self.name)

    def _timed(self, name: str, frame: Picture) -> float:
        started = time.perf_counter()
        self.jobs[name](frame)
        return (time.perf_counter() - started) * 1e3

    def close(self) -> None: ...

    def times_ms(self) -> Times:
        rows = self.rows[WARM_UP:-1]  # the last one has not gone through the loop
        return {name: np.array([row[name] for row in rows]) for name in (*self.jobs, "loop")}


def time_frames(model: Path, rounds: int) -> Times:
    """Milliseconds of each way to an answer, in turns."""
    turns = Turns({"invoke": _invoke(model), "bare": opened(str(model)), "flora": _flora(model)}, noise_frames())
    run_live(Classifier(model, threads=1), turns, [NullSink()], config=LiveConfig(frames=WARM_UP + rounds + 1))
    return turns.times_ms()


def _invoke(model: Path) -> Callable[[Picture], object]:
    """The interpreter on an input that lies ready: `invoke` and nothing else."""
    interpreter = loaded(model.read_bytes(), model.name, 1)
    told = interpreter.get_input_details()[0]
    interpreter.set_tensor(told["index"], np.random.default_rng(0).integers(0, 256, told["shape"], np.uint8))
    return lambda frame: interpreter.invoke()


def _flora(model: Path) -> Callable[[Picture], object]:
    """Classifier, smoothing and decision."""
    classify, smoother = Classifier(model, threads=1), Smoother(0.5, 0.1)

    def answer(frame: Picture) -> str:
        captured_at = time.monotonic()
        result = classify(frame)
        probabilities, index = smoother.update(result.probabilities, captured_at)
        age_ms = (time.monotonic() - captured_at) * 1e3
        return Decision(time.time(), "camera", 0, "camera", result, probabilities, index, 0.0, age_ms).shown

    return answer


def frame_ratios(name: str, times: Times, *, is_yardstick: bool) -> list[Ratio]:
    to_invoke = TO_INVOKE if is_yardstick else None
    return [
        Ratio.of(f"{name}: {ours} / {theirs}", times[ours], times[theirs], "ms", limit)
        for theirs, limit in (("invoke", to_invoke), ("bare", TO_BARE))
        for ours in ("flora", "loop")
    ] + [Ratio.of(f"{name}: bare / invoke", times["bare"], times["invoke"], "ms")]


# The cold start: this little process starts the command, so that its own memory is not counted as the command's.
LAUNCH = """
import os, sys, time
reader, writer = os.pipe()
started = time.perf_counter()
child = os.fork()
if child == 0:
    os.dup2(writer, 1)
    os.execv(sys.argv[1], sys.argv[1:])
os.close(writer)
first = os.read(reader, 1)
answered = time.perf_counter()
while os.read(reader, 4096):
    pass
_, status, used = os.wait4(child, 0)
if not first or status:
    sys.exit(f"no answer, status {status}")
print((answered - started) * 1e3, (used.ru_utime + used.ru_stime) * 1e3, used.ru_maxrss * 1024 / 1e6)
"""
CALL = "import sys, cv2; from edge import Classifier; print(Classifier(sys.argv[1], threads=1)(cv2.imread(sys.argv[2])).label, flush=True)"  # noqa: E501
COMMAND = "import sys; from edge.cli import main; sys.exit(main())"
MEDIAPIPE_START = """
import sys, cv2, mediapipe
from mediapipe.tasks.python import BaseOptions, vision
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]), max_results=1)
classifier = vision.ImageClassifier.create_from_options(options)
photo = cv2.cvtColor(cv2.imread(sys.argv[2]), cv2.COLOR_BGR2RGB)
result = classifier.classify(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=photo))
print(result.classifications[0].categories[0].category_name, flush=True)
classifier.close()
"""


def start_commands(model: Path, photo: Path, mediapipe: str | None) -> dict[str, list[str]]:
    python, files = sys.executable, [str(model), str(photo)]
    live = ["run", files[0], "--source", files[1], "--json", "--threads", "1"]
    commands = {
        "bare": [python, str(BARE), *files],
        "library": [python, "-c", CALL, *files],
        "flora run": [python, "-c", COMMAND, *live],
    }
    return commands | ({"mediapipe": [mediapipe, "-c", MEDIAPIPE_START, *files]} if mediapipe else {})


def time_starts(commands: dict[str, list[str]], rounds: int) -> dict[str, NDArray[np.float64]]:
    """Of each command (rounds, 3): ms until the first byte of its answer, ms of CPU time in all, peak memory in MB."""
    found: dict[str, list[list[float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as compiled:  # as installed packages are compiled, but not in this tree
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(1 + rounds):
            for name, command in commands.items():
                said = subprocess.run(
                    [sys.executable, "-I", "-S", "-c", LAUNCH, *command], env=environment, timeout=LONGEST_S,
                    check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                ).stdout  # fmt: skip
                if number:  # the first round compiles, and fills the caches of the disk
                    found[name].append([float(value) for value in said.split()])
    return {name: np.array(rows) for name, rows in found.items()}


def start_ratios(name: str, starts: dict[str, NDArray[np.float64]]) -> list[Ratio]:
    bare, found = starts["bare"], []
    for ours in (key for key in starts if key != "bare"):
        is_ours = ours != "mediapipe"
        limits = (START, None, MEMORY) if is_ours else (None, None, None)
        columns = zip(("first answer", "CPU time", "peak memory"), ("ms", "ms", "MB"), limits, strict=True)
        found += [
            Ratio.of(f"{name}: {ours} / bare, {what}", starts[ours][:, i], bare[:, i], unit, limit)
            for i, (what, unit, limit) in enumerate(columns)
        ]
    return found


# Two processes that wait for a number of frames and tell the milliseconds of each: MediaPipe brings its own OpenCV.
FLORA_CHILD = """
import sys, time
sys.path.insert(0, sys.argv[2])
from tests.drills.bench_overhead import _flora, noise_frames, serve
from pathlib import Path
serve(_flora(Path(sys.argv[1])), noise_frames())
"""
MEDIAPIPE_CHILD = """
import json, sys, time
import mediapipe, numpy
from mediapipe.tasks.python import BaseOptions, vision
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]), max_results=1)
classifier = vision.ImageClassifier.create_from_options(options)
draws = numpy.random.default_rng(0)
frames = [draws.integers(0, 256, (480, 640, 3), numpy.uint8) for _ in range(4)]
images = [mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=frame) for frame in frames]
for line in sys.stdin:
    times = []
    for number in range(int(line)):
        started = time.perf_counter()
        classifier.classify(images[number % 4])
        times.append((time.perf_counter() - started) * 1e3)
    print(json.dumps(times), flush=True)
"""


def serve(answer: Callable[[Picture], object], frames: Sequence[Picture]) -> None:
    """The child's whole life: a number of frames a line in, their milliseconds a line out."""
    for line in sys.stdin:
        times = []
        for number in range(int(line)):
            started = time.perf_counter()
            answer(frames[number % FRAMES])
            times.append((time.perf_counter() - started) * 1e3)
        print(json.dumps(times), flush=True)


@contextmanager
def _child(command: Sequence[str]) -> Iterator[Callable[[int], list[float]]]:
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        into, out = process.stdin, process.stdout

        def ask(frames: int) -> list[float]:
            into.write(f"{frames}\n")
            into.flush()
            return [float(value) for value in json.loads(out.readline())]

        yield ask
        into.close()


def beside_mediapipe(model: Path, mediapipe: str, rounds: int) -> Ratio:
    """Flora, frame to answer, against `classify` on an image that lies ready; medians of blocks, in turns."""
    ours_command = [sys.executable, "-c", FLORA_CHILD, str(model), str(ROOT)]
    blocks: list[tuple[float, float]] = []
    with _child(ours_command) as ours, _child([mediapipe, "-c", MEDIAPIPE_CHILD, str(model)]) as theirs:
        ours(WARM_UP), theirs(WARM_UP)
        for _ in range(max(1, rounds // BLOCK)):
            blocks.append((float(np.median(ours(BLOCK))), float(np.median(theirs(BLOCK)))))
    theirs_ms, ours_ms = [their for _, their in blocks], [our for our, _ in blocks]
    return Ratio.of(f"{model.name}: flora / MediaPipe's classify", ours_ms, theirs_ms, "ms", 1.0)


def _main(args: argparse.Namespace) -> int:
    yardsticks = [args.yardstick] if args.yardstick else []
    found: list[Ratio] = []
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        cv2.imwrite(str(photo), cv2.resize(noise_frames()[0][::16, ::16], SIZE_WH))
        for model in (args.models or [bundled_model()]) + yardsticks:
            found += frame_ratios(model.name, time_frames(model, args.rounds), is_yardstick=model in yardsticks)
            if args.mediapipe:
                found.append(beside_mediapipe(model, args.mediapipe, args.rounds))
            starts = time_starts(start_commands(model, photo, args.mediapipe), args.starts)
            found += start_ratios(model.name, starts)
    print(
        json.dumps([vars(one) | {"ratio": one.ratio, "is_missed": one.is_missed} for one in found])
        if args.json
        else "\n".join(map(str, found))
    )
    return int(any(one.is_missed for one in found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL")
    parser.add_argument("--yardstick", type=Path, metavar="FILE", help="a file judged against its own invoke as well")
    parser.add_argument("--mediapipe", metavar="PYTHON", help="the Python of an environment with MediaPipe")
    parser.add_argument("--rounds", type=int, default=400, metavar="N", help="frames of each side")
    parser.add_argument("--starts", type=int, default=11, metavar="N", help="cold starts of each side")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(_main(_arguments()))
