"""The manifest: which photo is in which split, as a run folder keeps it in `manifest.csv`.

In/out: CSV with the columns path, sha256, class, split, width and height in pixels. Training writes it; export
and `flora evaluate` read it.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from edge.base.files import write_atomically
from edge.errors import ModelError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

_COLUMNS = ("path", "sha256", "class", "split", "width", "height")


@dataclass(frozen=True)
class Photo:
    """A usable photo and the split it belongs to: one line of the manifest."""

    path: str  # relative to the photo folder, "/" between the parts
    sha256: str  # of the file's bytes
    label: str
    split: Split
    width: int  # pixels, EXIF orientation applied
    height: int


def write_manifest(path: str | Path, photos: Iterable[Photo]) -> None:
    """Write the manifest whole or not at all. Raises OutputError if that is impossible."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(astuple(photo) for photo in photos)
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
    if not rows or tuple(rows[0]) != _COLUMNS:
        raise _broken(path, f"does not begin with the line {','.join(_COLUMNS)}")
    if len(rows) == 1:
        raise _broken(path, "lists no photos")
    if not text.endswith("\n"):
        raise _broken(path, "is cut short in its last line")
    try:
        return tuple(_photo(row) for row in rows[1:])
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


def _photo(row: list[str]) -> Photo:
    if len(row) != len(_COLUMNS):
        raise ValueError(f"{len(row)} fields, expected {len(_COLUMNS)}: {','.join(row)!r}")
    path, sha256, label, name, width, height = row
    if name not in SPLITS or not label or len(bytes.fromhex(sha256)) != hashlib.sha256().digest_size:
        raise ValueError(f"class {label!r}, split {name!r}, sha256 {sha256!r}")
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or not path:
        raise ValueError(f"path {path!r} is outside the photo folder")
    if min(int(width), int(height)) < 1:
        raise ValueError(f"size {width}x{height}")
    return Photo(path, sha256, label, name, int(width), int(height))
