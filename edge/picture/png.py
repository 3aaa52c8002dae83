"""A note inside a PNG: a JSON object in a tEXt chunk, so that a picture and what is known of it cannot be parted.

In:  the bytes of a PNG, a flat JSON object.
Out: the bytes of the same picture with the note, which every program still shows; the note of such bytes, or None.

The note follows the header chunk: it is found without reading the picture (PNG specification, 11.3.4.3). Each reader
asks for the fields that it knows and does without those that are missing; the others stay in the file.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import cv2

KEYWORD = b"Flora"
HEAD_BYTES = 16_384  # of a file that are enough to find the note of any picture that Flora wrote
TRAIN_ONLY = "train_only"  # a note with this is of a photo that must not be measured on
GROUP = "group"  # a note with this is of a photo that belongs into one split with all others of the same text
LONGEST_GROUP = 200  # characters

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_AFTER_HEADER = len(_SIGNATURE) + 25  # the header chunk is always first and has 13 bytes of data
_KIND = b"tEXt"


def with_note(png: bytes, note: dict[str, Any]) -> bytes:
    """`png` with the note in it. ValueError where `png` is none."""
    if not png.startswith(_SIGNATURE) or len(png) < _AFTER_HEADER:
        raise ValueError("not the bytes of a PNG")
    data = KEYWORD + b"\0" + json.dumps(note).encode("ascii")
    checksum = zlib.crc32(_KIND + data)
    chunk = len(data).to_bytes(4, "big") + _KIND + data + checksum.to_bytes(4, "big")
    return png[:_AFTER_HEADER] + chunk + png[_AFTER_HEADER:]


def note_of(data: bytes) -> dict[str, Any] | None:
    """The note in the bytes, or the first HEAD_BYTES, of a file; None where there is none of ours."""
    at = _AFTER_HEADER
    if not data.startswith(_SIGNATURE):
        return None
    while at + 8 <= len(data) and data[at + 4 : at + 8] != b"IDAT":
        begin, end = at + 8, at + 8 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : begin] == _KIND and data[begin:end].startswith(KEYWORD + b"\0"):
            return _parsed(data[begin + len(KEYWORD) + 1 : end])
        at = end + 4
    return None


def is_train_only(data: bytes) -> bool:
    """True for the bytes of a picture that a device kept because its model was unsure."""
    note = note_of(data)
    return note is not None and note.get(TRAIN_ONLY) is True


def group_of(data: bytes) -> str | None:
    """What the bytes of a picture say it belongs to, as in "camera 0 2026-11-30T17:26"; None where they say nothing.

    A note may be a stranger's: anything but a short, printable text counts as nothing.
    """
    group = (note_of(data) or {}).get(GROUP)
    if not isinstance(group, str) or not 0 < len(group) <= LONGEST_GROUP or not group.isprintable():
        return None
    return group


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        note = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return note if isinstance(note, dict) else None


FAST_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, 2)  # 2 is Huffman only: as small, a third faster
