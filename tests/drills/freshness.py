"""Is an answer always about now? A camera far faster than the model, for minutes; memory is watched.

    python tests/drills/freshness.py [--minutes 5] [--camera-fps 120] [--answers-per-s 5]

In:  a process of its own that serves HTTP MJPEG, each picture with the time in it; a model that only takes time.
Out: how old the pictures were when they were answered, by the time that is in them and by Flora's own count, and the
     memory in use; exit code 1 if one is older than two inference times, or memory grows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from edge.base.board import Board
from edge.contract.result import Result
from edge.live.loop import LiveConfig, run_live
from edge.live.monitor import LiveSummary
from edge.picture.geometry import Picture
from edge.sources.opening import open_source
from tests.edge.fakes import FakeClassifier, result
from tests.edge.sources.streams import MjpegCamera, age_s

SIZE_WH = (384, 240)
MEMORY_EVERY_S = 5.0
WARM_UP_S = 20.0  # FFmpeg and NumPy fill their pools
MOST_GROWTH_MB = 3.0


@dataclass
class SlowModel(FakeClassifier):
    """A classifier that takes its time, and notes how old the picture was when it had answered."""

    inference_s: float
    ages_s: list[float] = field(default_factory=list)
    memory_mb: list[tuple[float, float]] = field(default_factory=list)  # seconds since the start
    started_at: float = field(default_factory=time.monotonic)
    board: Board = field(default_factory=Board)

    def __call__(self, frame_bgr: Picture) -> Result:
        time.sleep(self.inference_s)
        now = time.monotonic()
        self.ages_s.append(age_s(frame_bgr, now))
        self._note_memory(now - self.started_at)
        return result(0.1, 0.8, 0.1)

    def _note_memory(self, at_s: float) -> None:
        if not self.memory_mb or at_s - self.memory_mb[-1][0] >= MEMORY_EVERY_S:
            self.memory_mb.append((at_s, self.board.memory_mb() or 0.0))

    @property
    def growth_mb(self) -> float | None:
        """Between the first and the last third of the time after the warm-up."""
        values = [memory for at_s, memory in self.memory_mb if at_s >= WARM_UP_S]
        third = len(values) // 3
        return float(np.mean(values[-third:]) - np.mean(values[:third])) if third else None


def serve(fps: float) -> None:
    """Until the parent goes away."""
    with MjpegCamera(fps, SIZE_WH) as camera:
        print(camera.address, flush=True)
        sys.stdin.read()
        print(f"{1000 * camera.latest_s:.0f}")


def drill(minutes: float, camera_fps: float, inference_s: float) -> tuple[SlowModel, LiveSummary]:
    """Prints how late the camera itself was: on a machine with other work that is not Flora's doing."""
    command = [sys.executable, __file__, "--serve", "--camera-fps", str(camera_fps)]
    camera = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert camera.stdout is not None
    stop = threading.Event()
    try:
        source = open_source(camera.stdout.readline().strip())
        threading.Timer(minutes * 60, stop.set).start()
        model = SlowModel(inference_s)
        return model, run_live(model, source, [], config=LiveConfig(), stop=stop)
    finally:
        latest_ms, _ = camera.communicate()
        print(f"the camera had sent a picture at most {latest_ms.strip()} ms after it was taken")


def report(model: SlowModel, summary: LiveSummary) -> bool:
    """Prints the figures; True if they are as they should be."""
    p50, p95, p99, most = (1000 * float(np.percentile(model.ages_s, q)) for q in (50, 95, 99, 100))
    seconds = summary.seconds or 1.0
    print(f"{summary.frames} answers in {seconds:.0f} s, {summary.dropped / seconds:.0f} newer frames a second dropped")
    print(f"age of the answered pictures, ms p50/p95/p99/most: {p50:.0f}/{p95:.0f}/{p99:.0f}/{most:.0f}")
    if summary.age_ms:
        print("by Flora's own count, ms p50/p95/p99: {:.0f}/{:.0f}/{:.0f}".format(*summary.age_ms))
    memory = [value for _, value in model.memory_mb]
    growth = model.growth_mb
    grown = "not known" if growth is None else f"{growth:+.2f} MB"
    print(f"memory, MB: {memory[0]:.1f} at the start, {max(memory):.1f} at most, {memory[-1]:.1f} at the end; {grown}")
    print(f"cores here: {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")
    return most < 2000 * model.inference_s and (growth is None or growth < MOST_GROWTH_MB)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--camera-fps", type=float, default=120.0)
    parser.add_argument("--answers-per-s", type=float, default=5.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.camera_fps)
        return 0
    is_good = report(*drill(args.minutes, args.camera_fps, 1 / args.answers_per_s))
    print("fresh" if is_good else "STALE, or growing")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
