"""Make the model file that comes with Flora: train, then export, both as `flora` does it.

In:  `flowers` or a folder of class folders, and pictures of other things: folders, or the word `public`.
Out: edge/models/flowers.tflite, or --out; and the run in --work, with a report of both steps. A training or an export
     that was broken off goes on when the command is given again. An hour on two cores.

example: python -m tests.making.flowers flowers --others public --work runs
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge.cli import main as flora
from edge.photos.run_folder import METRICS, is_run

OUT = Path(__file__).resolve().parents[2] / "edge/models/flowers.tflite"
TRAINING = ("--seed", "1")
EXPORT = (
    "--preset", "balanced", "--self-epochs", "0", "--max-drop", "100",  # the README beside the file says what it lost
    "--licence", "model: Apache-2.0; photos: CC BY 2.0",
    "--attribution", "trained on flower_photos, photos by Flickr users; the LICENSE.txt of that set lists them",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the model file that comes with Flora.")
    parser.add_argument("photos", help="flowers, or a folder of class folders")
    parser.add_argument("--others", action="append", default=[], required=True, help="as in flora train")
    parser.add_argument("--weights", default="imagenet", help="as in flora train")
    parser.add_argument("--work", type=Path, default=Path("runs"), help="folder for the run (default: runs)")
    parser.add_argument("--out", type=Path, default=OUT, help="the model file (default: the one that comes with Flora)")
    asked = parser.parse_args()
    run = asked.work / "bundled"
    others = [word for folder in asked.others for word in ("--others", folder)]
    start = [asked.photos, "--out", str(run), *others, "--weights", asked.weights, *TRAINING]
    if not (run / METRICS).exists():
        code = flora(["train", *(["--resume", str(run)] if is_run(run) else start)])
        if code:
            return code
    return flora(["export", str(run), "-o", str(asked.out), *EXPORT])


if __name__ == "__main__":
    sys.exit(main())
