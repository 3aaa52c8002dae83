"""Walk a folder of class folders, and tell a whole picture file from one cut short.

In:  PHOTOS/<class>/**/<file>, symbolic links followed, loops included.
Out: the class folders; the files below one, sorted; what could not be listed, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import cv2

from edge.base.text import escaped, is_plain_name
from edge.errors import PhotoError
from edge.picture.geometry import PHOTO_SUFFIXES

_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})
_SYSTEM_FOLDERS = frozenset({"__macosx", "@eadir"})  # what macOS archives and Synology shelves leave behind
_SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
_EXPECTED = "expected a folder with one folder of photos per class, such as photos/daisy and photos/rose"


@dataclass(frozen=True)
class Rejected:
    """A file or folder that was left out, and why."""

    path: str  # relative to the photo folder, "/" between the parts
    reason: str


def class_folders(root: Path) -> tuple[list[Path], list[Rejected]]:
    """The class folders of a photo folder, sorted, and the photos that lie beside them. Raises PhotoError."""
    try:
        if not root.is_dir():
            raise PhotoError(f"{root}: {'not a folder' if root.exists() else 'no such folder'}; {_EXPECTED}")
        entries = _visible(root)
        folders = [entry for entry in entries if entry.is_dir()]
        photos = [entry for entry in entries if entry.is_file() and is_photo_like(entry)]
    except OSError as error:
        raise PhotoError(f"{root}: cannot be listed ({error.strerror or error}); {_EXPECTED}") from error
    _require_classes(root, folders, photos)
    return folders, [
        Rejected(escaped(photo.name), "lies beside the class folders, so it has no class") for photo in photos
    ]


def files_below(folder: Path, root: Path) -> Iterator[Path | Rejected]:
    """Every file below a class folder in sorted order; each real folder is entered once, and never `root` or above."""
    real = root.resolve()
    return _walk(folder, root, {real, *real.parents})


def photo_paths(spec: str) -> list[Path]:
    """The photos that a path, a folder or a glob names, sorted. Raises PhotoError when there is none."""
    path = _expanded(spec)
    if path.is_dir():
        entries = list(_walk(path, path, set()))
        found = [entry for entry in entries if isinstance(entry, Path) and is_photo_like(entry)]
        unlisted = [entry for entry in entries if isinstance(entry, Rejected)]
        if unlisted and not found:
            raise PhotoError(f"{spec}: no photo there; its folder {unlisted[0].path} {unlisted[0].reason}")
    elif path.exists() or not any(wildcard in spec for wildcard in "*?["):
        return [path]
    else:
        matches = glob(str(path), recursive=True)  # noqa: PTH207 - Path.glob raises for patterns such as a**.jpg
        found = sorted(match for match in map(Path, matches) if is_photo_like(match))
    if not found:
        raise PhotoError(f"{spec}: no photo there; expected JPEG, PNG, BMP or WebP files")
    return found


def labelled_files(root: Path) -> tuple[list[tuple[Path, str]], list[Rejected]]:
    """Every file below the class folders of `root` with its class, unread, and what could not be listed."""
    folders, left_out = class_folders(root)
    files: list[tuple[Path, str]] = []
    for folder in folders:
        for entry in files_below(folder, root):
            if isinstance(entry, Rejected):
                left_out.append(entry)
            else:
                files.append((entry, folder.name))
    return files, left_out


def is_photo_like(path: Path) -> bool:
    """True if the suffix or the first bytes promise a picture."""
    if not path.is_file():  # to open a pipe would wait for its writer
        return False
    if path.suffix.lower() in PHOTO_SUFFIXES:
        return True
    try:
        return bool(cv2.haveImageReader(str(path)))
    except cv2.error:  # an empty or unreadable file, to some versions
        return False


def _require_classes(root: Path, folders: list[Path], photos: list[Path]) -> None:
    names = [folder.name for folder in folders]
    if not folders and photos:
        raise PhotoError(f"{root}: {len(photos)} photos but no class folders; {_EXPECTED}")
    if not folders:
        raise PhotoError(f"{root}: no class folders and no photos; {_EXPECTED}")
    unfit = [name for name in names if not is_plain_name(name)]
    if unfit:
        raise PhotoError(f"{root}: class folder {unfit[0]!a} cannot be a label; rename it to plain UTF-8 in one line")
    if {name.lower() for name in names} <= _SPLIT_NAMES:
        raise PhotoError(
            f"{root}: the folders {', '.join(names)} are splits, not classes; give one of them, such as "
            f"{folders[0]}, or merge them: the split is drawn here"
        )
    if len(folders) == 1:
        raise PhotoError(f"{root}: one class only ({names[0]}); expected two or more class folders{_hint(folders[0])}")


def _hint(only: Path) -> str:
    try:
        inner = [entry for entry in _visible(only) if entry.is_dir()]
    except OSError:
        return ""
    return f"; did you mean {only}, which holds {len(inner)} folders?" if len(inner) > 1 else ""


def _visible(folder: Path) -> list[Path]:
    """Sorted entries of a folder, without hidden ones and those that operating systems leave behind."""
    skipped = _SYSTEM_FILES | _SYSTEM_FOLDERS
    return sorted(
        entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.name.lower() not in skipped
    )


def _walk(folder: Path, root: Path, seen: set[Path]) -> Iterator[Path | Rejected]:
    try:
        real = folder.resolve()
        entries = _visible(folder)
        inner = {entry for entry in entries if entry.is_dir()}
    except (OSError, RuntimeError) as error:  # before Python 3.13 resolve() calls a link loop a RuntimeError
        yield Rejected(escaped(folder.relative_to(root).as_posix()), f"cannot be listed ({error})")
        return
    if real in seen:
        return
    seen.add(real)
    for entry in entries:
        if entry in inner:
            yield from _walk(entry, root, seen)
        else:
            yield entry


def _expanded(spec: str) -> Path:
    try:
        return Path(spec).expanduser()
    except RuntimeError:  # ~somebody, who has no home here
        return Path(spec)
