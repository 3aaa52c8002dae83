"""Is this picture file whole? Some OpenCV versions fill what is missing with grey instead of refusing it."""

from __future__ import annotations

import zlib
from pathlib import Path

from edge.errors import PhotoError
from edge.picture.geometry import Picture, decode

LARGEST_FILE = 256 * 2**20  # bytes; beyond this it is a video or an archive, and reading it would only cost memory
_PNG_HEADER = b"\x89PNG\r\n\x1a\n"


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
