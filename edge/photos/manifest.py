"""The manifest: which photo is in which split, as a run folder keeps it in `manifest.csv`.

In/out: CSV with the columns path, sha256, class, split, width and height in pixels, and root where not all pictures
are of one folder. Training writes it; export and `flora evaluate` read it. Columns may be more, and in any order;
width, height and root may be missing (edge/base/formats.py).
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from edge.base.files import write_atomically
from edge.base.formats import Lasting
from edge.errors import ModelError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

_NEEDED = ("path", "sha256", "class", "split")
_COLUMNS = (*_NEEDED, "width", "height")
_ROOT = "root"  # a column that is there only when it says something: runs without it are as they always were


@dataclass(frozen=True)
class Photo(Lasting):
    """A usable photo and the split it belongs to: one line of the manifest."""

    path: str  # relative to the photo folder or to `root`, "/" between the parts
    sha256: str  # of the file's bytes
    label: str
    split: Split
    width: int  # pixels, EXIF orientation applied; 0 where the manifest lacks it
    height: int
    root: str = ""  # the folder that it is in, if not the run's photo folder; one that is not absolute is in the run

    def located(self, run: Path) -> str:
        """Its path from the photo folder of `run`; an absolute one where it is in another folder."""
        return str((run / self.root / self.path).absolute()) if self.root else self.path


def write_manifest(path: str | Path, photos: Iterable[Photo]) -> None:
    """Write the manifest whole or not at all. Raises OutputError if that is impossible."""
    text, listed = io.StringIO(), list(photos)
    writer = csv.writer(text, lineterminator="\n")
    rooted = [_ROOT] * any(photo.root for photo in listed)
    columns = [*_COLUMNS, *rooted, *dict.fromkeys(name for photo in listed for name in photo.others)]
    writer.writerow(columns)
    for photo in listed:
        known = photo.path, photo.sha256, photo.label, photo.split, photo.width, photo.height
        row = dict(zip(_COLUMNS, known, strict=True)) | {_ROOT: photo.root} | photo.others
        writer.writerow([row.get(name, "") for name in columns])
    write_atomically(Path(path), text.getvalue().encode())


def read_manifest(path: str | Path) -> tuple[Photo, ...]:
    """Read a manifest back, in file order. Raises ModelError for one that is missing, cut short or not a manifest."""
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        raise _broken(path, f"cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise _broken(path, "is not UTF-8 text") from error
    rows = _rows(path, text)
    if not rows or not set(_NEEDED) <= set(rows[0]):
        raise _broken(path, f"does not begin with the line {','.join(_COLUMNS)}")
    if len(rows) == 1:
        raise _broken(path, "lists no photos")
    if not text.endswith("\n"):
        raise _broken(path, "is cut short in its last line")
    try:
        return tuple(_photo(rows[0], row) for row in rows[1:])
    except ValueError as error:
        raise _broken(path, f"has a line that is not a photo ({error})") from error


def manifest_hash(photos: Iterable[Photo]) -> str:
    """Hex sha256 over the sorted (sha256, class, split) of the photos: names and order do not count."""
    triples = sorted((photo.sha256, photo.label, photo.split) for photo in photos)
    return hashlib.sha256("".join("\t".join(triple) + "\n" for triple in triples).encode()).hexdigest()


def _broken(path: str | Path, what: str) -> ModelError:
    return ModelError(f"{path}: the manifest {what}; expected the manifest.csv of a run; train again with: flora train")


def _rows(path: str | Path, text: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise _broken(path, f"is not CSV ({error})") from error


def _photo(columns: list[str], row: list[str]) -> Photo:
    if len(row) != len(columns):
        raise ValueError(f"{len(row)} fields, expected {len(columns)}: {','.join(row)!r}")
    found = dict(zip(columns, row, strict=True))
    path, sha256, label, name = (found.pop(column) for column in _NEEDED)
    if name not in SPLITS or not label or len(bytes.fromhex(sha256)) != hashlib.sha256().digest_size:
        raise ValueError(f"class {label!r}, split {name!r}, sha256 {sha256!r}")
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or not path:
        raise ValueError(f"path {path!r} is outside the photo folder")
    sides, root = (_side(found, "width"), _side(found, "height")), found.pop(_ROOT, "")
    return Photo(path, sha256, label, name, *sides, root, others=found)


def _side(found: dict[str, str], column: str) -> int:
    """Pixels; 0 where there is no such column."""
    side = found.pop(column, None)
    if side is not None and int(side) < 1:
        raise ValueError(f"{column} {side}")
    return int(side or 0)
