"""Does the live loop name photos as `flora evaluate` does? A script for a full check, and the parts that the tests use.

    python tests/drills/live_agreement.py MODEL.tflite RUN

In:  a model file and the run whose held-out test photos it is checked on.
Out: how many photos get the same label from a lossless clip (FFV1), from a folder of PNG files and from an HTTP MJPEG
     stream (JPEG quality 95) as from the photo itself; exit code 1 below 100 %, 100 % and 98 %.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np

from edge.cli import main
from edge.photos.manifest import read_manifest
from edge.picture.geometry import Picture, model_input, read_photo

LEAST_OVER_HTTP = 0.98


def held_out(run: Path) -> list[Path]:
    """The test photos of a run."""
    root = Path(json.loads((run / "config.json").read_text())["photos"])
    return [root / photo.located(run) for photo in read_manifest(run / "manifest.csv") if photo.split == "test"]


def squares(photos: Sequence[Path], size: int) -> list[Picture]:
    """The centre squares that a device sees, BGR uint8 (size, size, 3): one size for all, nothing left to crop."""
    return [np.ascontiguousarray(model_input(read_photo(path), size)[..., ::-1]) for path in photos]


def flora_labels(*arguments: str) -> list[str]:
    """The labels that a `flora` command prints as JSON lines. Raises RuntimeError if it fails."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(list(arguments))
    if code != 0:
        raise RuntimeError(f"flora {' '.join(arguments)[:200]}: exit code {code}")
    records = [record for line in out.getvalue().splitlines() if "event" not in (record := json.loads(line))]
    return [record["label"] if "label" in record else record["top"][0]["label"] for record in records]


def write_ffv1(path: Path, frames: Sequence[Picture]) -> None:
    """A lossless clip. Raises RuntimeError if it does not read back bit for bit."""
    size_wh = (frames[0].shape[1], frames[0].shape[0])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 10.0, size_wh)
    for frame in frames:
        writer.write(frame)
    writer.release()
    reader = cv2.VideoCapture(str(path))
    for number, frame in enumerate(frames):
        is_read, back = reader.read()
        if not is_read or not (back == frame).all():
            raise RuntimeError(f"{path}: frame {number} is not read back as it was written")
    reader.release()


@contextlib.contextmanager
def mjpeg_server(frames: Sequence[Picture], quality: int = 95) -> Iterator[str]:
    """Serve frame i, over and over, as a multipart stream at ADDRESS/i; yields the address, on loopback."""
    encoded = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes() for frame in frames]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            picture = encoded[int(self.path.strip("/"))]
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
            with contextlib.suppress(ConnectionError):  # the reader has seen enough
                while True:
                    self.wfile.write(head + picture + b"\r\n")

        def log_message(self, format: str, *args: object) -> None:
            """Silent: the requests are ours."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def agreement(model: Path, photos: Sequence[Path], size: int, folder: Path) -> dict[str, float]:
    """Share of photos that get the same label from each kind of source as from `flora predict`."""
    expected = flora_labels("predict", "--model", str(model), "--json", *map(str, photos))
    frames = squares(photos, size)
    write_ffv1(folder / "clip.mkv", frames)
    (folder / "png").mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / "png" / f"{number:05d}.png"), frame)
    found = {
        "ffv1": _run(model, folder / "clip.mkv"),
        "png": _run(model, folder / "png"),
    }
    with mjpeg_server(frames) as address:
        found["http"] = [_run(model, f"{address}/{number}", "--frames", "1")[0] for number in range(len(frames))]
    return {
        kind: sum(a == b for a, b in zip(labels, expected, strict=True)) / len(expected)
        for kind, labels in found.items()
    }


def _run(model: Path, source: str | Path, *more: str) -> list[str]:
    return flora_labels("run", str(model), "--source", str(source), "--jsonl", "-", "--smoothing-s", "0", *more)


def _main(model: str, run: str) -> int:
    photos = held_out(Path(run))
    size = json.loads((Path(run) / "config.json").read_text())["size"]
    with tempfile.TemporaryDirectory() as folder:
        shares = agreement(Path(model), photos, size, Path(folder))
    print(json.dumps({"photos": len(photos), **shares}))
    return 0 if shares["ffv1"] == shares["png"] == 1.0 and shares["http"] >= LEAST_OVER_HTTP else 1


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:3]))
