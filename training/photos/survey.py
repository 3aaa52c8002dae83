"""Find, check, de-duplicate and split the photos, before anything is trained.

In:  a folder of class folders, PHOTOS/<class>/**/<photo>; folders of pictures that show none of the classes. Pictures
     are recognised by content, not by suffix.
Out: a Survey of what is usable, with a reason for each file left out; from it a stratified train / validation /
     test split and its manifest (CSV: path, sha256, class, split, width and height in pixels).

One bad file never stops the work; too few good ones do, with a PhotoError.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from edge.base import text
from edge.base.progress import Bar, no_bar
from edge.contract.rejection import UNKNOWN
from edge.errors import PhotoError, UsageError
from edge.photos import damage, folders
from edge.photos.folders import Rejected
from edge.photos.manifest import SPLITS
from edge.picture import geometry
from edge.picture.png import group_of, is_train_only
from edge.picture.video import opencv_quiet
from training.photos.views import in_threads


@dataclass(frozen=True)
class Found:
    """A usable photo that has not been given to a split yet."""

    path: str  # relative to the photo folder or to `root`, "/" between the parts
    sha256: str  # of the file's bytes
    label: str
    width: int  # pixels, EXIF orientation applied
    height: int
    is_train_only: bool = False  # a device kept it because its model was unsure (edge/sinks/uncertain/store.py)
    root: str = ""  # the folder that it is in, if not the photo folder
    group: str = ""  # photos of one group stay in one split: frames of one minute, pictures of one kind of thing


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


def find_photos(
    root: str | Path, min_per_class: int = 10, bar: Bar = no_bar, *, unknown_folder: str = UNKNOWN
) -> Survey:
    """Survey a folder of class folders: decode every photo, list what cannot be used, and why.

    What is in `unknown_folder` shows none of the classes. Raises PhotoError where there is nothing to train on: no such
    folder, fewer than two classes, or a class with fewer than `min_per_class` usable photos, or fewer than three that
    may be measured on.
    """
    if min_per_class < len(SPLITS):
        raise UsageError(f"min_per_class is {min_per_class}; expected at least {len(SPLITS)}: one photo for each split")
    root = Path(root)
    class_folders, rejected = folders.class_folders(root)
    labels = tuple(sorted({_label(folder.name, unknown_folder) for folder in class_folders}))
    entries = [entry for folder in class_folders for entry in folders.files_below(folder, root)]
    files = [entry for entry in entries if isinstance(entry, Path)]
    rejected += [entry for entry in entries if isinstance(entry, Rejected)]
    checked = _check_all(files, root, bar)
    rejected += [entry for entry in checked if isinstance(entry, Rejected)]
    found = [replace(entry, label=_label(entry.label, unknown_folder)) for entry in checked if isinstance(entry, Found)]
    photos, duplicates, contradictions = _without_copies(found)
    _require_enough(root, labels, photos, rejected, min_per_class)
    by_path = tuple(sorted(rejected, key=lambda entry: entry.path))
    return Survey(root, labels, photos, by_path, duplicates, contradictions)


def find_others(root: Path, bar: Bar = no_bar) -> tuple[tuple[Found, ...], tuple[Rejected, ...]]:
    """Pictures below a folder that show none of the classes, and what there cannot be used.

    Those of one folder below `root` are a group: pictures of one kind of thing are alike. Raises PhotoError where there
    are none.
    """
    if not root.is_dir():
        fault = "not a folder" if root.exists() else "no such folder"
        raise PhotoError(f"{root}: {fault}; expected a folder of pictures that show none of the classes")
    entries = list(folders.files_below(root, root.parent))
    checked = _check_all([entry for entry in entries if isinstance(entry, Path)], root, bar)
    found = [_of_others(entry, root) for entry in checked if isinstance(entry, Found)]
    if not found:
        raise PhotoError(f"{root}: no picture in it that can be used; expected JPEG, PNG, BMP or WebP files")
    unlisted = [(root.parent, entry) for entry in entries if isinstance(entry, Rejected)]
    unfit = [(root, entry) for entry in checked if isinstance(entry, Rejected)]
    return tuple(found), tuple(replace(entry, path=f"{where}/{entry.path}") for where, entry in (*unlisted, *unfit))


def _of_others(picture: Found, root: Path) -> Found:
    folder = PurePosixPath(picture.path).parent.as_posix()
    group = picture.group or ("" if folder == "." else f"{root}/{folder}")
    return replace(picture, label=UNKNOWN, root=str(root.absolute()), group=group)


def with_others(survey: Survey, others: Sequence[Found], rejected: Sequence[Rejected]) -> Survey:
    """The survey with pictures of none of the classes; a picture that is among the photos of a class is none."""
    known = {photo.sha256 for photo in survey.photos if photo.label != UNKNOWN}
    strange = [picture for picture in others if picture.sha256 not in known]
    reason = "it is among the photos of the classes"
    refused = [Rejected(f"{one.root}/{one.path}", reason) for one in others if one.sha256 in known]
    own = [photo for photo in survey.photos if photo.label == UNKNOWN]
    taken, duplicates, _ = _without_copies([*own, *strange])
    kept = [photo for photo in survey.photos if photo.label != UNKNOWN]
    return replace(
        survey, labels=tuple(sorted({*survey.labels, UNKNOWN})), photos=(*kept, *taken),
        rejected=(*survey.rejected, *rejected, *refused), duplicates=(*survey.duplicates, *duplicates),
    )  # fmt: skip


def _label(folder: str, unknown_folder: str) -> str:
    return UNKNOWN if folder == unknown_folder else folder


def _check_all(files: list[Path], root: Path, bar: Bar) -> list[Found | Rejected]:
    """Check every file, in the order given; what OpenCV has to say of bad ones the survey tells, one line each."""
    checked: list[Found | Rejected] = []
    with opencv_quiet():
        for result in in_threads(lambda file: _check(file, root), files):
            checked.append(result)
            bar(len(checked), len(files))
    return checked


def _check(file: Path, root: Path) -> Found | Rejected:
    path = file.relative_to(root).as_posix()
    if not text.is_plain_name(path):
        return Rejected(text.escaped(path), "its name is not one line of UTF-8; rename it")
    try:
        data = damage.read_whole(file)
        frame = geometry.decode(data, path)
    except PhotoError as error:
        return Rejected(path, str(error).removeprefix(f"{path}: "))
    height, width = frame.shape[:2]
    label = PurePosixPath(path).parts[0]
    sha256, group = hashlib.sha256(data).hexdigest(), group_of(data) or ""
    return Found(path, sha256, label, width, height, is_train_only(data), group=group)


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
    short = [f"{label} ({number[label]})" for label in labels if number[label] < least and label != UNKNOWN]
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
    measured = [label for label in labels if label != UNKNOWN]  # of that, whatever there is helps
    short = [f"{label} ({number[label]})" for label in measured if number[label] < len(SPLITS)]
    if short:
        raise PhotoError(
            f"{root}: too few photos to measure on in {', '.join(short)}: those that a device kept are for training "
            f"only; expected at least {len(SPLITS)} others in each class; copy the class folders into the photo folder "
            f"you train on, as in: cp -r {root}/. PHOTOS/"
        )
