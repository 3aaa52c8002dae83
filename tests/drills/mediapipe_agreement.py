"""Does MediaPipe Tasks name photos as `flora predict` does? A script for a full check, and the parts of the tests.

    FLORA_MEDIAPIPE_ENV=.../bin/python python -m tests.drills.mediapipe_agreement MODEL.tflite RUN

In:  a model file, the run whose held-out test photos it is checked on, and the Python of an environment with MediaPipe,
     which brings its own OpenCV and so never shares an environment with Flora.
Out: the share of photos that get the same label from MediaPipe's ImageClassifier, (a) cropped and resized by our
     geometry, as PNG, and (b) as they are, squeezed to a square by MediaPipe; exit code 1 when (a) is below 99 %.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2

from edge.model.classifier import Classifier
from tests.drills.live_agreement import flora_labels, held_out, squares

LEAST_AGREEMENT = 0.99  # of top-1 answers on pictures that were cropped and resized by our geometry
LONGEST_S = 600

# Runs in the other environment, where nothing of ours is installed: MODEL, then paths as JSON lines on stdin.
CLASSIFY = """
import json, sys
import mediapipe
from mediapipe.tasks.python import BaseOptions, vision

options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]), max_results=1)
with vision.ImageClassifier.create_from_options(options) as classifier:
    for line in sys.stdin:
        result = classifier.classify(mediapipe.Image.create_from_file(json.loads(line)))
        (head,) = result.classifications
        print(json.dumps([head.head_name, head.categories[0].category_name, head.categories[0].score]))
"""


def mediapipe_answers(python: Path, model: Path, photos: Sequence[Path]) -> list[tuple[str, str, float]]:
    """Output name, label and probability of each photo's best answer. Raises RuntimeError if MediaPipe fails."""
    lines = "\n".join(json.dumps(str(photo.absolute())) for photo in photos)
    done = subprocess.run(
        [python, "-c", CLASSIFY, model.absolute()],
        input=lines, capture_output=True, text=True, timeout=LONGEST_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"MediaPipe, {model}: {done.stderr.strip()[-400:]}")
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def agreement(python: Path, model: Path, photos: Sequence[Path], folder: Path) -> dict[str, float]:
    """Share of photos that MediaPipe gives the label that `flora predict` gives, by what it is handed."""
    expected = flora_labels("predict", "--model", str(model), "--json", *map(str, photos))
    handed = {"cropped": _write_squares(photos, Classifier(model).size, folder), "native": list(photos)}
    shares = {}
    for kind, paths in handed.items():
        found = [label for _, label, _ in mediapipe_answers(python, model, paths)]
        shares[kind] = sum(a == b for a, b in zip(found, expected, strict=True)) / len(expected)
    return shares


def _write_squares(photos: Sequence[Path], size: int, folder: Path) -> list[Path]:
    paths = [folder / f"{number:05d}.png" for number in range(len(photos))]
    for path, frame in zip(paths, squares(photos, size), strict=True):
        cv2.imwrite(str(path), frame)
    return paths


def _main(model: str, run: str) -> int:
    python, photos = os.environ.get("FLORA_MEDIAPIPE_ENV"), held_out(Path(run))
    if not python:
        print("FLORA_MEDIAPIPE_ENV is not set; expected the Python of an environment with mediapipe", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        shares = agreement(Path(python), Path(model), photos, Path(folder))
    print(json.dumps({"photos": len(photos), **shares}))
    return 0 if shares["cropped"] >= LEAST_AGREEMENT else 1


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:3]))
