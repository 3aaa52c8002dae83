"""Find, check, de-duplicate and split the photos, before anything is trained.

In:  a folder of class folders, PHOTOS/<class>/**/<photo>; pictures are recognised by content, not by suffix.
Out: a Survey of what is usable, with a reason for each file left out; from it a stratified train / validation /
     test split and its manifest (CSV: path, sha256, class, split, width and height in pixels).

One bad file never stops the work; too few good ones do, with a PhotoError.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2

from edge import folder as folders
from edge import geometry
from edge.errors import PhotoError, UsageError
from edge.folder import Rejected
from edge.manifest import SPLITS, Photo, Split
from edge.note import is_train_only

Progress = Callable[[int, int], None]  # (photos done, photos in all)

FRACTIONS = (0.70, 0.15, 0.15)  # of each class, in the order of SPLITS
IMBALANCE = 5.0  # largest class over smallest, above which a warning is due


@dataclass(frozen=True)
class Found:
    """A usable photo that has not been given to a split yet."""

    path: str  # relative to the photo folder, "/" between the parts
    sha256: str  # of the file's bytes
    label: str
    width: int  # pixels, EXIF orientation applied
    height: int
    is_train_only: bool = False  # a device kept it because its model was unsure (edge/uncertain.py)


@dataclass(frozen=True)
class Duplicate:
    """A photo left out because `kept`, in the same class, has the same bytes."""

    path: str
    kept: str


@dataclass(frozen=True)
class Contradiction:
    """One picture filed under several classes: every copy is left out, since only a person knows which is right."""

    sha256: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Survey:
    """What a photo folder holds. Everything is sorted by path, so the same folder gives the same survey."""

    root: Path
    labels: tuple[str, ...]  # sorted
    photos: tuple[Found, ...]
    rejected: tuple[Rejected, ...]
    duplicates: tuple[Duplicate, ...]
    contradictions: tuple[Contradiction, ...]

    @property
    def train_only(self) -> int:
        """How many of the photos a device kept: they never leave the train split."""
        return sum(photo.is_train_only for photo in self.photos)

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """(path, reason) of every file that training does not use."""
        rows = [(entry.path, entry.reason) for entry in self.rejected]
        rows += [(copy.path, f"the same bytes as {copy.kept}") for copy in self.duplicates]
        reason = "the same picture is filed under several classes"
        return rows + [(path, reason) for odd in self.contradictions for path in odd.paths]


def find_photos(root: str | Path, min_per_class: int = 10, progress: Progress | None = None) -> Survey:
    """Survey a folder of class folders: decode every photo, list what cannot be used, and why.

    Raises PhotoError where there is nothing to train on: no such folder, fewer than two classes, or a class with
    fewer than `min_per_class` usable photos, or fewer than three that may be measured on.
    """
    if min_per_class < len(SPLITS):
        raise UsageError(f"min_per_class is {min_per_class}; expected at least {len(SPLITS)}: one photo for each split")
    root = Path(root)
    class_folders, rejected = folders.class_folders(root)
    labels = tuple(folder.name for folder in class_folders)
    entries = [entry for folder in class_folders for entry in folders.files_below(folder, root)]
    files = [entry for entry in entries if isinstance(entry, Path)]
    rejected += [entry for entry in entries if isinstance(entry, Rejected)]
    checked = _check_all(files, root, progress)
    rejected += [entry for entry in checked if isinstance(entry, Rejected)]
    photos, duplicates, contradictions = _without_copies([entry for entry in checked if isinstance(entry, Found)])
    _require_enough(root, labels, photos, rejected, min_per_class)
    by_path = tuple(sorted(rejected, key=lambda entry: entry.path))
    return Survey(root, labels, photos, by_path, duplicates, contradictions)


def split(
    found: Survey | Iterable[Found], seed: int, fractions: tuple[float, float, float] = FRACTIONS
) -> tuple[Photo, ...]:
    """Share the photos of each class out to train, validation and test; sorted by path.

    The share depends on the seed and the photos' bytes alone, so renaming or adding unusable files moves nothing;
    photos with equal bytes stay together, and each class has at least one in every split.

    Photos that a device kept go to train and move no other: chosen by a model's doubt and much alike, in test they
    would measure something else, and in validation they would choose the epoch, the temperature and the threshold.
    """
    if len(fractions) != len(SPLITS) or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UsageError(f"split fractions {fractions}: expected three above 0 that add up to 1, such as {FRACTIONS}")
    photos = found.photos if isinstance(found, Survey) else tuple(found)
    contents: dict[str, set[str]] = defaultdict(set)
    for photo in photos:
        contents[photo.label] |= set() if photo.is_train_only else {photo.sha256}
    where = {label: _cut(label, hashes, seed, fractions) for label, hashes in contents.items()}
    return tuple(
        Photo(photo.path, photo.sha256, photo.label, _split_of(photo, where), photo.width, photo.height)
        for photo in sorted(photos, key=lambda photo: photo.path)
    )


def _split_of(photo: Found, where: Mapping[str, Mapping[str, Split]]) -> Split:
    return "train" if photo.is_train_only else where[photo.label][photo.sha256]


def counts(photos: Iterable[Photo]) -> dict[str, dict[Split, int]]:
    """Number of photos by label, then by split; labels sorted, no split missing."""
    tally = Counter((photo.label, photo.split) for photo in photos)
    labels = sorted({label for label, _ in tally})
    return {label: {name: tally[label, name] for name in SPLITS} for label in labels}


def class_weights(photos: Iterable[Photo]) -> dict[str, float]:
    """Loss weight of each class, inverse to its number of training photos; a training photo weighs 1 on average."""
    train = Counter(photo.label for photo in photos if photo.split == "train")
    return {label: train.total() / (len(train) * number) for label, number in sorted(train.items())}


def imbalance_warning(photos: Iterable[Found | Photo]) -> str | None:
    """One line if the largest class is more than five times the smallest, else None."""
    ranked = Counter(photo.label for photo in photos).most_common()
    if not ranked or ranked[0][1] <= IMBALANCE * ranked[-1][1]:
        return None
    (largest, most), (smallest, fewest) = ranked[0], ranked[-1]
    return (
        f"class {largest} has {most} photos and class {smallest} only {fewest}, more than {IMBALANCE:g} to 1: "
        f"add photos of {smallest}, or read the per-class recall before trusting the top-1"
    )


def _cut(label: str, hashes: set[str], seed: int, fractions: tuple[float, float, float]) -> dict[str, Split]:
    """The split of each photo content of one class: an order drawn by hash, cut in three."""
    if len(hashes) < len(SPLITS):
        raise PhotoError(f"class {label} has {len(hashes)} different photos; expected at least 3, one for each split")
    order = sorted(hashes, key=lambda content: hashlib.sha256(f"{seed}:{content}".encode()).digest())
    room = len(order) - 2  # so that the other two splits keep one each
    validation = min(max(1, round(len(order) * fractions[1])), room)
    test = min(max(1, round(len(order) * fractions[2])), room + 1 - validation)
    train = len(order) - validation - test
    return {
        content: "train" if rank < train else "validation" if rank < train + validation else "test"
        for rank, content in enumerate(order)
    }


def _check_all(files: list[Path], root: Path, progress: Progress | None) -> list[Found | Rejected]:
    """Check every file, in the order given; OpenCV and hashlib release the interpreter, so threads are enough."""
    report = progress or (lambda done, total: None)
    checked: list[Found | Rejected] = []
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        with _quiet_opencv():
            for result in pool.map(lambda file: _check(file, root), files):
                checked.append(result)
                report(len(checked), len(files))
    finally:  # after Ctrl-C the photos still waiting are dropped, not decoded
        pool.shutdown(cancel_futures=True)
    return checked


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's own remarks on bad files off the terminal: the survey has them, one line each."""
    api: Any = cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2  # OpenCV 5, else 4
    level = api.getLogLevel()
    api.setLogLevel(0)
    try:
        yield
    finally:
        api.setLogLevel(level)


def _check(file: Path, root: Path) -> Found | Rejected:
    path = folders.shown(file, root)
    if not folders.is_plain_name(file.relative_to(root).as_posix()):
        return Rejected(path, "its name is not one line of UTF-8; rename it")
    try:
        data = folders.read_whole(file)
        frame = geometry.decode(data, path)
    except PhotoError as error:
        return Rejected(path, str(error).removeprefix(f"{path}: "))
    height, width = frame.shape[:2]
    label = PurePosixPath(path).parts[0]
    return Found(path, hashlib.sha256(data).hexdigest(), label, width, height, is_train_only(data))


def _without_copies(
    found: list[Found],
) -> tuple[tuple[Found, ...], tuple[Duplicate, ...], tuple[Contradiction, ...]]:
    """Keep the first photo by path of each content; content filed under two classes is not kept at all."""
    same: dict[str, list[Found]] = defaultdict(list)
    for photo in sorted(found, key=lambda photo: photo.path):
        same[photo.sha256].append(photo)
    kept: list[Found] = []
    duplicates: list[Duplicate] = []
    contradictions: list[Contradiction] = []
    for content, copies in same.items():
        if len({photo.label for photo in copies}) > 1:
            contradictions.append(Contradiction(content, tuple(photo.path for photo in copies)))
            continue
        kept.append(copies[0])
        duplicates += [Duplicate(photo.path, copies[0].path) for photo in copies[1:]]
    return tuple(kept), tuple(sorted(duplicates, key=lambda copy: copy.path)), tuple(contradictions)


def _require_enough(
    root: Path, labels: tuple[str, ...], photos: tuple[Found, ...], rejected: list[Rejected], least: int
) -> None:
    number = Counter(photo.label for photo in photos)
    short = [f"{label} ({number[label]})" for label in labels if number[label] < least]
    if not short:
        _require_measurable(root, labels, photos)
        return
    example = f"; left out for example {rejected[0].path}: {rejected[0].reason}" if rejected else ""
    raise PhotoError(
        f"{root}: too few usable photos in {', '.join(short)}; expected at least {least} different ones in each class; "
        f"add photos, or take those folders out{example}"
    )


def _require_measurable(root: Path, labels: tuple[str, ...], photos: tuple[Found, ...]) -> None:
    number = Counter(photo.label for photo in photos if not photo.is_train_only)
    short = [f"{label} ({number[label]})" for label in labels if number[label] < len(SPLITS)]
    if short:
        raise PhotoError(
            f"{root}: too few photos to measure on in {', '.join(short)}: those that a device kept are for training "
            f"only; expected at least {len(SPLITS)} others in each class; copy the class folders into the photo folder "
            f"you train on, as in: cp -r {root}/. PHOTOS/"
        )
