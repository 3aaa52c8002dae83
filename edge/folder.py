"""Walk a folder of class folders, and tell a whole picture file from one cut short.

In:  PHOTOS/<class>/**/<file>, symbolic links followed, loops included.
Out: the class folders; the files below one, sorted; what could not be listed, with the reason.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import cv2

from edge.errors import PhotoError
from edge.geometry import PHOTO_SUFFIXES, Picture, decode

LARGEST_FILE = 256 * 2**20  # bytes; beyond this it is a video or an archive, and reading it would only cost memory

_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})
_SYSTEM_FOLDERS = frozenset({"__macosx", "@eadir"})  # what macOS archives and Synology shelves leave behind
_SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
_EXPECTED = "expected a folder with one folder of photos per class, such as photos/daisy and photos/rose"
_PNG_HEADER = b"\x89PNG\r\n\x1a\n"


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
        Rejected(shown(photo, root), "lies beside the class folders, so it has no class") for photo in photos
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


def is_plain_name(name: str) -> bool:
    """True if the name can stand in one line of UTF-8 text, as labels and manifests need it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 or letter in "\u2028\u2029" for letter in name)


def shown(path: Path, root: Path) -> str:
    """A path relative to the photo folder, "/" between the parts, fit to be printed in one line."""
    text = path.relative_to(root).as_posix()
    if is_plain_name(text):
        return text
    return text.encode("unicode_escape", "backslashreplace").decode("ascii")


def read_whole(file: Path) -> bytes:
    """The bytes of a regular file that is no wreck. Raises PhotoError with the reason alone."""
    try:
        if not file.is_file():
            raise PhotoError("not a file, or a link to nothing")
        size = file.stat().st_size
        if size > LARGEST_FILE:
            raise PhotoError(f"{size / 2**20:.0f} MiB; expected a photo of at most {LARGEST_FILE // 2**20} MiB")
        data = file.read_bytes()
    except OSError as error:
        raise PhotoError(f"cannot be read ({error.strerror or error})") from error
    fault = damage(data)
    if fault:
        raise PhotoError(fault)
    return data


def checked_photo(path: Path) -> tuple[bytes, Picture]:
    """A photo file's bytes, and the picture they hold, BGR uint8 (H, W, 3).

    Raises PhotoError if it is missing, no picture or cut short: training leaves out the same.
    """
    if not path.exists():
        raise PhotoError(f"{path}: no such file; expected a photo, a folder of photos, or a quoted glob")
    try:
        data = read_whole(path)
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}") from error
    return data, decode(data, str(path))


def damage(data: bytes) -> str | None:
    """What the container says is wrong with an encoded picture, or None.

    Some OpenCV versions fill the missing part of a picture with grey instead of refusing it, so the ends are
    checked here: JPEG end marker (ITU-T T.81, B.1.1.3), PNG chunks and their checksums, length in a WebP header.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return None if _jpeg_ends(data) else "cut short: a JPEG without its end marker"
    if data.startswith(_PNG_HEADER):
        return _png_damage(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data):
        return "cut short: a WebP with less data than its header says"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1"):
        return "a HEIC picture, which OpenCV cannot read; save it as JPEG"
    return None


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
        yield Rejected(shown(folder, root), f"cannot be listed ({error})")
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


def _jpeg_ends(data: bytes) -> bool:
    """True if an end marker follows the first scan; an embedded preview has one too, so the headers are skipped."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xDA:
            break
        at += 1 if data[at + 1] == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) >= 0


def _png_damage(data: bytes) -> str | None:
    at = len(_PNG_HEADER)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return "damaged: a PNG whose checksum is wrong"
        if data[at + 4 : at + 8] == b"IEND":
            return None
        at = end + 4
    return "cut short: a PNG without its end chunk"
