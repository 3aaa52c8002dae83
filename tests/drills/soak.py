"""Does a whole `flora run` grow? A camera's stream for minutes on end, watched from outside.

    python -m tests.drills.soak --seconds 600

In:  a model file (by default the bundled one); the stream, 30 frames of 640x480 a second as HTTP MJPEG, is served here.
Out: every few seconds the memory, threads and open files of the process; at its end how old its answers were, and
     exit code 1 where it grew, lost its picture, answered late or did not end when it was told to.

It writes JSON lines, rotated; with the extra [web] it also serves its page, to one viewer who watches and one who
comes and goes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.base.board import Board
from edge.base.intervals import percentiles
from edge.sources.pattern import PatternSource

ROOT = Path(__file__).parents[2]
COMMAND = "import sys; from edge.cli import main; sys.exit(main())"
SIZE_WH = 640, 480
PICTURES = 60  # different ones
LOOK_S = 1.0
SETTLING = 0.3  # of the time, at most the minute after the start: buffers fill, libraries load what they need
SETTLED_S = 60.0
MEMORY_MB = 4.0  # the times of the last 10 000 frames are kept, which takes about two
END_S = 15.0
LATE_MS = 500.0  # an answer may be this old in one case of a hundred, on a machine that has other work


@dataclass(frozen=True)
class Look:
    """One look at the process."""

    seconds: float
    memory_mb: float
    threads: int
    descriptors: int


@contextlib.contextmanager
def stream(fps: float) -> Iterator[str]:
    """Serve an MJPEG stream at a steady rate; yields its address, on loopback."""
    pattern = PatternSource(SIZE_WH)
    pictures = [cv2.imencode(".jpg", pattern.image(2 * number))[1].tobytes() for number in range(PICTURES)]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            next_at = time.monotonic()
            with contextlib.suppress(ConnectionError):  # the reader has seen enough
                for number in range(sys.maxsize):
                    # A count after the picture, so that no two frames are the same bit by bit, as from a camera.
                    picture = pictures[number % PICTURES] + str(number).encode()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                    self.wfile.write(head.encode() + picture + b"\r\n")
                    next_at += 1 / fps
                    time.sleep(max(0.0, next_at - time.monotonic()))

        def log_message(self, format: str, *args: object) -> None:
            """Silent: the requests are ours."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def command(args: argparse.Namespace, address: str, folder: Path, port: int | None) -> list[str]:
    model = [str(args.model.absolute())] if args.model else []
    outputs = ["--jsonl", str(folder / "answers.jsonl"), "--jsonl-rotate-mb", "1", "--jsonl-keep", "1000"]
    page = ["--web", f"127.0.0.1:{port}"] if port else []
    return [sys.executable, "-c", COMMAND, "run", *model, "--source", address, "--threads", "1", *outputs, *page]


def watch(process: subprocess.Popen[bytes], seconds: float) -> Iterator[Look]:
    """Looks at the process until the time is over or it has ended."""
    board, started_at = Board(process=process.pid), time.monotonic()
    while (now := time.monotonic() - started_at) < seconds and process.poll() is None:
        found = board.memory_mb(), board.threads(), board.descriptors()
        if found[0] is not None and found[1] is not None and found[2] is not None:
            yield Look(now, found[0], found[1], found[2])
        time.sleep(LOOK_S)


def stare(port: int, stop: threading.Event) -> None:
    """A viewer who watches the live picture."""
    while not stop.wait(0.5):
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/stream.mjpg", timeout=10) as picture,
        ):
            while picture.read(65536) and not stop.is_set():
                pass


def visit(port: int, stop: threading.Event) -> None:
    """A viewer who comes and goes, and the scraper of figures."""
    while not stop.wait(1.0):
        for path in ("/", "/api/state", "/metrics", "/snapshot.jpg"):
            with (
                contextlib.suppress(urllib.error.URLError, OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer,
            ):
                answer.read()


def growth(looks: list[Look]) -> dict[str, float]:
    """Of each figure, the median of the last third less that of the first, once it has settled."""
    settled = min(SETTLED_S, SETTLING * looks[-1].seconds)
    rows = np.array([[one.memory_mb, one.threads, one.descriptors] for one in looks if one.seconds >= settled])
    third = max(1, len(rows) // 3)
    grown = np.median(rows[-third:], axis=0) - np.median(rows[:third], axis=0)
    return dict(zip(("memory_mb", "threads", "descriptors"), map(float, grown), strict=True))


def answers(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The decisions and the events that it wrote."""
    lines = [json.loads(line) for path in folder.glob("answers*") for line in path.read_text("utf-8").splitlines()]
    return [one for one in lines if "event" not in one], [one for one in lines if "event" in one]


def faults(
    grown: dict[str, float], decisions: list[dict[str, Any]], events: list[dict[str, Any]], code: int
) -> list[str]:
    limits = {"memory_mb": MEMORY_MB, "threads": 0, "descriptors": 0}
    found = [f"{name} grew by {grown[name]:.1f}" for name, most in limits.items() if grown[name] > most]
    found += [f"it ended with {code}"] if code else []
    found += [one["text"] for one in events if one["event"] in {"no_picture", "reopening", "output_failed"}]
    ages = [one["age_ms"] for one in decisions]
    found += ["no answers"] if not ages else []
    found += [f"answers were {percentiles(ages).p99:.0f} ms old"] if ages and percentiles(ages).p99 > LATE_MS else []
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _soaked(args: argparse.Namespace, folder: Path) -> tuple[list[Look], int]:
    """Run it; the looks at it and its exit code."""
    port = _free_port() if find_spec("aiohttp") else None
    print(f"page: {'with two viewers' if port else 'left out, as [web] is not installed'}", flush=True)
    stop, looks = threading.Event(), list[Look]()
    with stream(args.fps) as address, (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            command(args, address, folder, port), stdout=subprocess.DEVNULL, stderr=errors,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        for viewer in (stare, visit) if port else ():
            threading.Thread(target=viewer, args=(port, stop), daemon=True).start()
        try:
            for look in watch(process, args.seconds):
                looks.append(look)
                if len(looks) % args.every == 1:
                    print(f"{look.seconds:6.0f} s  {look.memory_mb:7.1f} MB  {look.threads:3} threads  "
                          f"{look.descriptors:3} files", flush=True)  # fmt: skip
            process.send_signal(signal.SIGTERM)
            code = process.wait(END_S)
        finally:
            stop.set()
            process.kill()
            process.wait()
    return looks, code


def _main(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        looks, code = _soaked(args, folder)
        decisions, events = answers(folder)
        print((folder / "stderr").read_text("utf-8", "replace").strip())
    if len(looks) < 3:
        print(f"it ended after {len(looks)} looks with {code}")
        return 1
    grown = growth(looks)
    found = faults(grown, decisions, events, code)
    print(f"{len(decisions)} answers, {len(events)} events; age {_text([one['age_ms'] for one in decisions])} ms")
    print(f"grown by {', '.join(f'{value:+.2f} {name}' for name, value in grown.items())}")
    print("\n".join(f"FAULT: {fault}" for fault in found) or "no growth")
    return int(bool(found))


def _text(ages: list[float]) -> str:
    return "/".join(f"{value:.1f}" for value in percentiles(ages)) if ages else "-"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, metavar="FILE")
    parser.add_argument("--seconds", type=float, default=600.0, metavar="S")
    parser.add_argument("--fps", type=float, default=30.0, metavar="N")
    parser.add_argument("--every", type=int, default=10, metavar="N", help="print every Nth look, one a second")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(_main(_arguments()))
