"""False sightings an hour: what `flora run` would have sighted while a camera looked at other things for half an hour.

    python -m tests.drills.sightings MODEL OTHERS [--flowers PHOTOS] [--minutes 30] [--seed 1]

In:  a model file; OTHERS, a folder of pictures without a flower, at any depth; PHOTOS, a folder of class folders.
Out: a table, or one JSON object: frames named, sightings in all and an hour, those with 0.9 and more; with --flowers a
     second stream, in which 60 flowers pass by: how many were sighted under their name, under another, or missed.

The camera, 640x480 and 10 frames a second, pans and zooms slowly over one picture after another, 3 to 5 seconds each,
cuts or fades to the next, and has a little noise. Its frames go through run_live with its defaults, on the clip's own
clock, as fast as the processor can. A flower is sighted where a sighting lasts through at least a second of the time
that it is shown. Every picture is shown before one is shown again.

--test-of RUN takes of the flowers only the run's test photos, and of OTHERS none that the run was trained or chosen on:
known by the sha256 of each file in the run's manifest.csv.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base.text import aligned
from edge.contract.frame import Frame, is_set
from edge.contract.rejection import UNKNOWN
from edge.contract.result import PictureClassifier
from edge.errors import FloraError, PhotoError
from edge.live.scenes import Scene, Sighted, watch
from edge.live.scenes import table as scene_table
from edge.live.sightings import SHORTEST_S
from edge.model.classifier import Classifier
from edge.photos.folders import labelled_files, photo_paths
from edge.photos.manifest import read_manifest
from edge.photos.run_folder import MANIFEST
from edge.picture.geometry import Picture, read_photo

SIZE_WH, FPS = (640, 480), 10.0
SHORTEST_SHOT_S, LONGEST_SHOT_S, FADE_S = 3.0, 5.0, 0.5
MOST_ZOOM = 1.3  # of the largest window of 4:3 that fits into a picture
MARGIN = 1.25  # pictures are kept so much larger than a frame: zooming in loses little, and moves by less than a pixel
NOISE = 3.0  # grey levels, standard deviation
FLOWERS = 60
MOST_BROKEN = 100  # pictures one after another that cannot be read

Window = NDArray[np.float64]  # (3,): x and y of the centre, and the zoom


@dataclass(frozen=True)
class Planned:
    """One picture of a stream."""

    path: Path
    label: str  # "unknown" for other things


@dataclass(frozen=True)
class Shown:
    """When a picture was there, on the clip's clock."""

    path: Path
    label: str
    began_s: float
    ended_s: float


class Shot:
    """A slow camera movement over one picture."""

    def __init__(self, picture: Picture, frames: int, rng: np.random.Generator) -> None:
        """The picture is brought to one scale at once, so that each frame is a part of it, cheaply resized."""
        height, width = picture.shape[:2]
        self.frames = frames
        scale = MARGIN * max(SIZE_WH[0] / width, SIZE_WH[1] / height)
        size_wh = round(width * scale), round(height * scale)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        self._picture = np.asarray(cv2.resize(picture, size_wh, interpolation=way), np.uint8)
        self._ends = _window(size_wh, rng), _window(size_wh, rng)

    def frame(self, number: int) -> Picture:
        """BGR uint8 (480, 640, 3); beyond its end the shot stands still. Windows are whole pixels of the picture."""
        share = min(1.0, number / max(1, self.frames - 1))
        eased = share * share * (3 - 2 * share)
        x, y, zoom = (1 - eased) * self._ends[0] + eased * self._ends[1]
        width, height = (round(MARGIN * side / zoom) for side in SIZE_WH)
        left, top = max(0, round(x - width / 2)), max(0, round(y - height / 2))
        part = self._picture[top : top + height, left : left + width]
        return np.asarray(cv2.resize(part, SIZE_WH, interpolation=cv2.INTER_LINEAR), np.uint8)


def _window(size_wh: tuple[int, int], rng: np.random.Generator) -> Window:
    """A random window within a picture of this size."""
    zoom = rng.uniform(1.0, MOST_ZOOM)
    half_wh = MARGIN * np.array(SIZE_WH) / zoom / 2
    return np.array([*rng.uniform(half_wh, np.maximum(half_wh, np.array(size_wh) - half_wh)), zoom])


class Noise:
    """A sensor's noise, from one large sample that is shifted at random: a hundredth of the cost of drawing it."""

    def __init__(self, rng: np.random.Generator, room: int = 64) -> None:
        width, height = SIZE_WH
        drawn = np.round(rng.normal(0.0, NOISE, (height + room, width + room, 3)))
        self._up, self._down = np.maximum(drawn, 0).astype(np.uint8), np.maximum(-drawn, 0).astype(np.uint8)
        self._rng, self._room = rng, room

    def add(self, frame: Picture) -> Picture:
        top, left = self._rng.integers(self._room, size=2)
        width, height = SIZE_WH
        part = slice(top, top + height), slice(left, left + width)
        return np.asarray(cv2.subtract(cv2.add(frame, self._up[part]), self._down[part]), np.uint8)


class Stream:
    """A live source of the pictures planned, until they or the seconds are over; each frame is stamped on its clock."""

    is_live = True
    dropped = reopened = 0

    def __init__(self, name: str, plan: Iterator[Planned], seed: int, seconds: float = float("inf")) -> None:
        self.name, self.shown, self.rendering_s = name, list[Shown](), 0.0
        self.warnings: list[str] = []
        self._plan, self._rng = plan, np.random.default_rng(seed)
        self._noise, self._frames = Noise(self._rng), seconds * FPS
        self._number, self._at = 0, 0
        self._shot: Shot | None = None
        self._last: Picture | None = None  # of the shot before, while it fades

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        started_s = time.perf_counter()
        if is_set(stop) or self._number >= self._frames:
            return None
        if self._shot is None or self._at >= self._shot.frames:
            fades = self._shot is not None and bool(self._rng.random() < 0.5)
            self._last = self._shot.frame(self._at) if self._shot and fades else None
            self._shot, self._at = self._next(), 0
        if self._shot is None:
            return None
        picture = self._noise.add(self._faded(self._shot.frame(self._at)))
        frame = Frame(picture, self._number, self._number / FPS, self.name)
        self._at, self._number = self._at + 1, self._number + 1
        self.rendering_s += time.perf_counter() - started_s
        return frame

    def close(self) -> None:
        self._plan = iter(())

    def _faded(self, picture: Picture) -> Picture:
        share = (self._at + 1) / (FADE_S * FPS + 1)
        if self._last is None or share >= 1:
            return picture
        return np.asarray(cv2.addWeighted(picture, share, self._last, 1 - share, 0), np.uint8)

    def _next(self) -> Shot | None:
        broken = 0
        for planned in self._plan:
            try:
                picture = read_photo(planned.path)
            except PhotoError as error:
                self.warnings.append(str(error))
                broken += 1
                if broken == MOST_BROKEN:
                    raise
                continue
            frames = round(FPS * self._rng.uniform(SHORTEST_SHOT_S, LONGEST_SHOT_S))
            began_s = self._number / FPS
            self.shown.append(Shown(planned.path, planned.label, began_s, began_s + frames / FPS))
            return Shot(picture, frames, self._rng)
        return None


def without_end(paths: Sequence[Path], seed: int) -> Iterator[Planned]:
    """All pictures in random order, again and again."""
    rng = np.random.default_rng(seed)
    while True:
        for number in rng.permutation(len(paths)):
            yield Planned(paths[number], UNKNOWN)


def evenly(photos: Sequence[tuple[Path, str]], count: int, seed: int) -> list[Planned]:
    """`count` photos, the classes taking turns; fewer where there are no more."""
    rng, by_class = np.random.default_rng(seed), defaultdict[str, list[Path]](list)
    for path, label in photos:
        by_class[label].append(path)
    shuffled = [[Planned(paths[i], label) for i in rng.permutation(len(paths))] for label, paths in by_class.items()]
    turns = [one for turn in zip_longest(*shuffled) for one in turn if one is not None]
    return turns[:count]


def between(flowers: Sequence[Planned], others: Iterator[Planned]) -> Iterator[Planned]:
    """Each flower after another thing, and one more at the end."""
    for flower in flowers:
        yield next(others)
        yield flower
    yield next(others)


def judged(shown: Sequence[Shown], sightings: Sequence[Sighted]) -> dict[str, int]:
    """How the flowers fared: right, wrong (another name only), missed; right_alone: under no other name as well."""
    found = dict.fromkeys(("flowers", "right", "right_alone", "wrong", "missed"), 0)
    for one in shown:
        if one.label == UNKNOWN:
            continue
        names = {
            seen.label
            for seen in sightings
            if min(seen.ended_s, one.ended_s) - max(seen.began_s, one.began_s) >= SHORTEST_S - 0.5 / FPS
        }
        found["flowers"] += 1
        found["right"] += one.label in names
        found["right_alone"] += names == {one.label}
        found["wrong"] += bool(names) and one.label not in names
        found["missed"] += not names
    return found


def pictures_of(folder: Path, run: Path | None) -> list[Path]:
    """Pictures of other things, without those that a run was trained or chosen on. Raises PhotoError."""
    paths = photo_paths(str(folder))
    if run is not None:
        used = {photo.sha256 for photo in read_manifest(run / MANIFEST) if photo.split != "test"}
        paths = [path for path in paths if _sha256(path) not in used]
    if not paths:
        raise PhotoError(f"{folder}: all its pictures were trained or chosen on; expected others")
    return paths


def flowers_of(folder: Path, run: Path | None, labels: Sequence[str]) -> list[tuple[Path, str]]:
    """Photos of the model's classes, of a run only its test photos. Raises PhotoError."""
    photos = [(path, label) for path, label in labelled_files(folder)[0] if label in labels and label != UNKNOWN]
    if run is not None:
        held = {photo.sha256 for photo in read_manifest(run / MANIFEST) if photo.split == "test"}
        photos = [(path, label) for path, label in photos if _sha256(path) in held]
    if not photos:
        raise PhotoError(f"{folder}: no photos to show; expected class folders such as {labels[0]}/, with test photos")
    return photos


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def drill(model: PictureClassifier, args: argparse.Namespace) -> dict[str, Any]:
    """Both streams through the loop."""
    others = pictures_of(args.others, args.test_of)
    stream = Stream("other things", without_end(others, args.seed), args.seed, 60 * args.minutes)
    found = {"model": model.name, "seed": args.seed, "pictures": len(others), **_watched(model, stream)}
    if args.flowers:
        chosen = evenly(flowers_of(args.flowers, args.test_of, model.labels), FLOWERS, args.seed)
        passing = Stream("flowers", between(chosen, without_end(others, args.seed + 1)), args.seed + 1)
        seen = _watched(model, passing)
        found["flowers"] = judged(passing.shown, seen["scene"].sightings) | {"stream": seen}
    return found


def _watched(model: PictureClassifier, stream: Stream) -> dict[str, Any]:
    started_s = time.perf_counter()
    scene = watch(model, stream, FPS)
    taken_s = time.perf_counter() - started_s
    frame_ms = 1000 * stream.rendering_s / scene.frames
    return {
        "scene": scene, "shots": len(stream.shown), "left_out": len(stream.warnings),
        "rendering_ms": round(frame_ms, 2), "loop_ms": round(1000 * taken_s / scene.frames - frame_ms, 2),
    }  # fmt: skip


def plain(found: Any) -> Any:
    """For JSON."""
    if isinstance(found, Scene):
        return found.to_json()
    return {name: plain(value) for name, value in found.items()} if isinstance(found, dict) else found


def text(found: dict[str, Any]) -> str:
    """For a person."""
    flowers = found.get("flowers")
    streams = [found, *([flowers["stream"]] if flowers else [])]
    lines = [f"{found['model']}, {SIZE_WH[0]}x{SIZE_WH[1]} at {FPS:g} frames a second, seed {found['seed']}"]
    lines += scene_table([one["scene"] for one in streams])
    lines += [
        f"  {one['scene'].name}: {one['shots']} pictures shown, {one['left_out']} left out; "
        f"{one['rendering_ms']:.1f} ms a frame to draw, {one['loop_ms']:.1f} ms to answer"
        for one in streams
    ]
    if flowers:
        heads = ("flowers", "right", "no other name as well", "another name", "missed")
        names = ("flowers", "right", "right_alone", "wrong", "missed")
        lines += ["", *aligned([heads, [str(flowers[name]) for name in names]])]
    return "\n".join(lines)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("others", type=Path, metavar="OTHERS")
    parser.add_argument("--flowers", type=Path, metavar="PHOTOS", help="let 60 flowers pass by as well")
    parser.add_argument("--test-of", type=Path, metavar="RUN", help="show no picture that this run has learned from")
    parser.add_argument("--minutes", type=float, default=30.0, metavar="N", help="of clip time (default: 30)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="which pictures, and how they are shown")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args(arguments)
    if args.minutes * 60 * FPS < 1:
        parser.error(f"--minutes {args.minutes:g}: expected enough for a frame, of which there are {FPS:g} a second")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    args = _arguments(arguments)
    try:
        found = drill(Classifier(args.model), args)
    except FloraError as error:
        print(f"sightings: {error}", file=sys.stderr)
        return 1
    print(json.dumps(plain(found)) if args.json else text(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
