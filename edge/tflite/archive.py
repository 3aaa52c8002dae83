"""The zip that may follow a flatbuffer (the TFLite convention for associated files), taken apart with suspicion.

In:  the bytes of a `.tflite` file, from anywhere.
Out: the flatbuffer's bytes, and the entries of the zip by name.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

from edge.base.text import first_line
from edge.errors import ModelError

LARGEST_ENTRY = 1 << 20  # bytes; cards and label lists have a few thousand
MOST_ENTRIES = 16
AGAIN = "copy or export it again"
_ENCRYPTED = 0x1  # of an entry's flags


def appended(flatbuffer: bytes, entries: dict[str, bytes]) -> bytes:
    """The flatbuffer with a zip of `entries` behind it. Stored, not deflated: MediaPipe Tasks reads no other."""
    store = io.BytesIO()
    store.write(flatbuffer)
    with zipfile.ZipFile(store, "a", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)  # a fixed date, so that the same model gives the same bytes
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
    return store.getvalue()


def halves(path: Path, data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Split a file into its flatbuffer and the entries of its zip; a file without a zip has none.

    Raises ModelError for a zip that is damaged or holds what no model file has: a path, a cipher, a bomb.
    """
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return data, {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _require_plain(path, infos)
            entries = {info.filename: archive.read(info) for info in infos}
    except (
        zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, RuntimeError, ValueError, MemoryError,
        OverflowError, NotImplementedError,
    ) as error:  # fmt: skip
        raise ModelError(f"{path}: the zip inside cannot be unpacked ({first_line(error)}); {AGAIN}") from error
    return data[: min((info.header_offset for info in infos), default=len(data))], entries


def _require_plain(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MOST_ENTRIES:
        raise ModelError(f"{path}: the zip inside has {len(entries)} entries; expected at most {MOST_ENTRIES}; {AGAIN}")
    names = [entry.filename for entry in entries]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled:
        raise ModelError(f"{path}: {doubled!r:.60} is in it twice, and which one counts is unclear; {AGAIN}")
    for entry in entries:
        if any(mark in entry.filename for mark in ("/", "\\", "..", "\0")) or not entry.filename:
            raise ModelError(
                f"{path}: the zip inside has a path, {entry.filename!r:.60}; expected plain names; {AGAIN}"
            )
        _require_small(path, entry)


def _require_small(path: Path, entry: zipfile.ZipInfo) -> None:
    is_known = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and not entry.flag_bits & _ENCRYPTED
    if entry.file_size > LARGEST_ENTRY or not is_known:
        raise ModelError(
            f"{path}: {entry.filename!r:.60} inside has {entry.file_size} bytes, compressed by method "
            f"{entry.compress_type}; expected at most {LARGEST_ENTRY}, by method 0 or 8, without a password; {AGAIN}"
        )
