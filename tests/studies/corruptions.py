"""Known photos that are dark, blurred, noisy, compressed or partly out of the frame: who is called unknown, who right?

In:  a .tflite file, and the photos that it is measured on: a run's test photos, or a folder of class folders.
Out: a Markdown table, one line a corruption and strength: share called unknown, share right among those still named,
     each with its 95 % Wilson interval. Photos of a class "unknown" are left out.

Each photo is cut to its centre square, as a device sees it, reduced to 480 pixels where it is larger, as a camera would
deliver it, and spoilt there:

| corruption | 1 | 2 | 3, middle | 4 | 5 | is |
|---|---|---|---|---|---|---|
| dark | 0.7 | 0.5 | 0.35 | 0.25 | 0.15 | what pixel values are multiplied by |
| blur | 0.3 | 0.6 | 1.0 | 1.8 | 3.0 | sigma of a Gaussian, % of the side |
| noise | 5 | 10 | 18 | 28 | 40 | sigma of each value, grey levels |
| JPEG | 60 | 40 | 25 | 15 | 8 | quality |
| out of the frame | 15 | 25 | 35 | 45 | 55 | shifted left or right, % of the side |

At 3 a person still recognises the flower at a glance. What comes in at the other edge of a shifted photo is its mirror
image: mostly more of the background, where black would be an edge that no camera sees. Draws are seeded by photo.

example: python -m tests.studies.corruptions flowers.tflite --run runs/flowers
         python -m tests.studies.corruptions flowers.tflite --photos photos
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from edge.base.intervals import Interval, share
from edge.base.progress import Progress
from edge.contract.rejection import UNKNOWN
from edge.contract.result import PictureClassifier
from edge.errors import FloraError
from edge.evaluation.held_out import Read, from_folder, from_run, pictures
from edge.model.classifier import Classifier
from edge.picture.geometry import Picture

SIDE = 480  # pixels of a camera's short side
UNSPOILT = "as it is"
Spoil = Callable[[Picture, float, np.random.Generator], Picture]


def dark(square: Picture, gain: float, rng: np.random.Generator) -> Picture:
    return np.asarray(cv2.convertScaleAbs(square, alpha=gain), np.uint8)


def blur(square: Picture, percent: float, rng: np.random.Generator) -> Picture:
    sigma = percent / 100 * square.shape[0]
    return np.asarray(cv2.GaussianBlur(square, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.uint8)


def noise(square: Picture, sigma: float, rng: np.random.Generator) -> Picture:
    drawn = rng.standard_normal(square.shape, np.float32) * np.float32(sigma)
    return np.clip(np.round(square + drawn), 0, 255).astype(np.uint8)


def jpeg(square: Picture, quality: float, rng: np.random.Generator) -> Picture:
    _, data = cv2.imencode(".jpg", square, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def out_of_frame(square: Picture, percent: float, rng: np.random.Generator) -> Picture:
    by = round(percent / 100 * square.shape[1])
    if rng.random() < 0.5:
        return np.asarray(cv2.copyMakeBorder(square[:, by:], 0, 0, 0, by, cv2.BORDER_REFLECT_101), np.uint8)
    return np.asarray(cv2.copyMakeBorder(square[:, :-by], 0, 0, by, 0, cv2.BORDER_REFLECT_101), np.uint8)


CORRUPTIONS: dict[str, tuple[Spoil, tuple[float, ...]]] = {
    "dark": (dark, (0.7, 0.5, 0.35, 0.25, 0.15)),
    "blur": (blur, (0.3, 0.6, 1.0, 1.8, 3.0)),
    "noise": (noise, (5, 10, 18, 28, 40)),
    "JPEG": (jpeg, (60, 40, 25, 15, 8)),
    "out of the frame": (out_of_frame, (15, 25, 35, 45, 55)),
}


@dataclass
class Row:
    """One corruption at one strength."""

    name: str
    strength: int = 0  # 1 to 5; 0: none
    photos: int = 0
    unknown: int = 0
    right: int = 0

    def line(self) -> str:
        named = self.photos - self.unknown
        right = _cell(share(self.right, named)) if named else "-"
        strength = {0: "-", 3: "3, middle"}.get(self.strength, str(self.strength))
        return f"| {self.name} | {strength} | {_cell(share(self.unknown, self.photos))} | {right} |"


@dataclass
class Table:
    """All of them, for one model."""

    rows: list[Row] = field(
        default_factory=lambda: [
            Row(UNSPOILT),
            *(Row(name, i + 1) for name, (_, values) in CORRUPTIONS.items() for i in range(len(values))),
        ]
    )

    def add(self, classify: PictureClassifier, picture: Read) -> None:
        """One photo, spoilt in every way."""
        square = camera_square(picture.frame)
        for row in self.rows:
            result = classify(spoilt(square, row, int(picture.sha256[:8], 16)))
            row.photos += 1
            row.unknown += result.is_unknown
            row.right += result.shown == picture.label

    def text(self) -> str:
        heads = "| corruption | strength | called unknown (95 %) | right among those still named (95 %) |"
        return "\n".join([heads, "|---|---|---|---|", *(row.line() for row in self.rows)])


def camera_square(frame: Picture) -> Picture:
    """The centre square (s, s, 3) with s at most 480."""
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = np.ascontiguousarray(frame[top : top + side, left : left + side])
    if side <= SIDE:
        return square
    return np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def spoilt(square: Picture, row: Row, seed: int) -> Picture:
    """As a line of the table has it; the same draws at each strength."""
    if row.strength == 0:
        return square
    spoil, values = CORRUPTIONS[row.name]
    return spoil(square, values[row.strength - 1], np.random.default_rng(seed))


def study(classify: PictureClassifier, photos: Iterable[Read]) -> Table:
    """Every photo of a class that is not "unknown"."""
    table = Table()
    for picture in photos:
        if picture.label != UNKNOWN:
            table.add(classify, picture)
    return table


def _cell(found: Interval) -> str:
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("--run", type=Path, metavar="RUN", help="measure on the test photos of this run")
    parser.add_argument("--photos", metavar="FOLDER", help="class folders; with --run, where its photos are now")
    args = parser.parse_args(arguments)
    if not args.run and not args.photos:
        parser.error("on which photos? give --run RUN or --photos FOLDER")
    try:
        model = Classifier(args.model)
        held = from_run(args.run, "test", args.photos) if args.run else from_folder(Path(args.photos), _tell)
        with Progress("measuring", len(held.paths)) as bar:
            table = study(model, pictures(held, _tell, bar))
    except FloraError as error:
        _tell(f"corruptions: {error}")
        return 1
    if not table.rows[0].photos:
        _tell(f"corruptions: the {held.what} are all of class {UNKNOWN}; expected photos of known classes")
        return 1
    print(f"{model.name} on {table.rows[0].photos} {held.what}\n\n{table.text()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
