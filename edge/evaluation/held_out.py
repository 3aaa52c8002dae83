"""Which pictures a model is measured on: a run's held-out photos, a folder of class folders, or unknown things.

In:  a run folder with manifest.csv and config.json, or a folder of pictures.
Out: `HeldOut`, a list of files with their labels; then one `Read` picture after another, BGR uint8 (H, W, 3).

Photos that a model was trained or chosen on prove nothing: they are known by the hash of their bytes and left out.
What a person should hear of goes to the callback `tell`, one line each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.base.progress import Bar, Say
from edge.base.text import first_line
from edge.contract.rejection import UNKNOWN
from edge.errors import ModelError, PhotoError
from edge.photos import run_folder
from edge.photos.damage import checked_photo
from edge.photos.folders import labelled_files, photo_paths
from edge.photos.manifest import manifest_hash, read_manifest
from edge.picture.geometry import Picture


@dataclass(frozen=True)
class HeldOut:
    """The pictures to measure on, and their labels."""

    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    what: str  # as in "6 photos of roses/"
    sha256s: tuple[str, ...] | None = None  # of a run's photos; None: a folder, which may hold what is no photo
    manifest_sha256: str | None = None  # of the run's whole list of photos
    seen: frozenset[str] = frozenset()  # sha256 of photos that prove nothing
    seen_as: str = "that a run among the models was trained or chosen on"


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Read:
    """One picture to measure on."""

    label: str
    sha256: str  # of the file's bytes
    frame: Picture


def from_run(folder: Path, split: str, moved: str | None = None) -> HeldOut:
    """One split of a run's photos; `moved` says where they are now. Raises ModelError or PhotoError."""
    photos = read_manifest(folder / run_folder.MANIFEST)
    members = [photo for photo in photos if photo.split == split]
    if not members:
        raise ModelError(f"{folder / run_folder.MANIFEST}: lists no {split} photos; train again with: flora train")
    root = Path(moved) if moved else _photos_of(folder / run_folder.CONFIG)
    paths = tuple(root / photo.located(folder) for photo in members)
    missing = next((path for path in paths if not path.exists()), None)
    if missing:
        raise PhotoError(f"{missing}: a photo of the run is gone; if the folder has moved give --photos FOLDER")
    return HeldOut(
        paths,
        tuple(photo.label for photo in members),
        f"{split} photos of {folder}",
        tuple(photo.sha256 for photo in members),
        manifest_hash(photos),
    )


def from_folder(folder: Path, tell: Say) -> HeldOut:
    """Every file of a folder of class folders. Raises PhotoError."""
    files, left_out = labelled_files(folder)
    for entry in left_out:
        tell(f"left out {entry.path}: {entry.reason}")
    if not files:
        raise PhotoError(f"{folder}: its class folders hold no photos; expected JPEG, PNG, BMP or WebP files")
    return HeldOut(tuple(path for path, _ in files), tuple(label for _, label in files), f"photos of {folder}")


def of_unknown_things(folder: Path) -> HeldOut:
    """Every picture below a folder, however deep. Raises PhotoError."""
    if not folder.is_dir():
        fault = "not a folder" if folder.exists() else "no such folder"
        raise PhotoError(f"{folder}: {fault}; expected a folder of pictures that show none of the classes")
    paths = tuple(photo_paths(str(folder)))
    return HeldOut(
        paths,
        (UNKNOWN,) * len(paths),
        f"unknown pictures of {folder}",
        seen_as="that are among the photos measured or trained on",
    )


def pictures(held: HeldOut, tell: Say, bar: Bar) -> Iterator[Read]:
    """Each picture that proves something, decoded. Raises PhotoError when that is none, or a run's photo is broken."""
    measured = seen = 0
    for number in range(len(held.paths)):
        picture = _read(held, number, tell)
        bar(number + 1)
        if picture is not None and picture.sha256 in held.seen:
            seen += 1
        elif picture is not None:
            measured += 1
            yield picture
    _require_any(held, measured, seen)
    if seen:
        tell(f"left out {seen} photos {held.seen_as}")


def _photos_of(config: Path) -> Path:
    try:
        return Path(json.loads(config.read_text(encoding="utf-8"))["photos"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{config}: does not say where the photos are ({first_line(error)}); give --photos FOLDER"
        ) from error


def _read(held: HeldOut, number: int, tell: Say) -> Read | None:
    """One picture; None for what is none in somebody's folder. A run's photos were checked: there it is an error."""
    path = held.paths[number]
    try:
        data, frame = checked_photo(path)
    except PhotoError as error:
        if held.sha256s is not None:
            raise
        tell(f"left out {error}")
        return None
    sha256 = hashlib.sha256(data).hexdigest()
    if held.sha256s is not None and sha256 != held.sha256s[number]:
        raise PhotoError(f"{path}: changed since the training; expected the photo that the run's manifest.csv lists")
    return Read(held.labels[number], sha256, frame)


def _require_any(held: HeldOut, measured: int, seen: int) -> None:
    if not measured and seen:
        raise PhotoError(f"all {seen} readable {held.what} are photos {held.seen_as}; expected others")
    if not measured:
        raise PhotoError(
            f"none of the {len(held.paths)} {held.what} can be read; expected JPEG, PNG, BMP or WebP files"
        )
