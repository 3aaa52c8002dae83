"""Read a flatbuffer by field number, whatever its bytes: model files come from anywhere.

In:  bytes, and for each value its field number and type in the published schema.
Out: numbers, text, NumPy views of vectors, and tables to go on from; a field that is absent gives its default.

Every offset and length is checked against the bytes that are there, and all that is read is counted, since offsets may
point to the same place a million times. Whatever does not hold raises Damaged.
The format: https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TFLITE = b"TFL3"  # bytes 4 to 8 of every TFLite flatbuffer
MOST_TABLES = 1 << 15  # MobileNetV2 has 900; reading so many takes about a second
MOST_TEXT = 1 << 20  # bytes of one string
SHARED = 1 << 26  # bytes that may be read beyond the file's own size: parts are shared, but not endlessly


class Damaged(ValueError):
    """The bytes are not what a flatbuffer of this schema can be. Callers turn it into an error that names the file."""


@dataclass
class _Source:
    """The bytes, and how much may still be read of them."""

    data: bytes
    tables_left: int
    bytes_left: int

    def number(self, form: str, position: int) -> Any:
        if position < 0 or position + struct.calcsize(form) > len(self.data):
            raise Damaged(f"an offset points to byte {position} of {len(self.data)}")
        return struct.unpack_from(form, self.data, position)[0]

    def follow(self, position: int) -> int:
        """Where the offset at `position` points to."""
        return int(position + self.number("<I", position))

    def vector(self, position: int, item_bytes: int) -> tuple[int, int]:
        """First byte and length of the vector at `position`."""
        length = int(self.number("<I", position))
        if position + 4 + length * item_bytes > len(self.data):
            raise Damaged(f"a vector of {length} items begins at byte {position} of {len(self.data)}")
        self.bytes_left -= 4 + length * item_bytes
        if self.bytes_left < 0:
            raise Damaged("its vectors overlap")
        return position + 4, length


class Table:
    """One table of a flatbuffer; `n` is always a field number, counted from 0 in the order of the schema."""

    def __init__(self, source: _Source, position: int) -> None:
        source.tables_left -= 1
        if source.tables_left < 0:
            raise Damaged(f"it has more than {MOST_TABLES} tables")
        self._source, self._position = source, position
        self._vtable = position - source.number("<i", position)
        self._vtable_bytes = source.number("<H", self._vtable)

    def has(self, n: int) -> bool:
        return self._field(n) is not None

    def scalar(self, n: int, form: str, default: Any = 0) -> Any:
        """A number; `form` is that of `struct`, as "<i" or "<f"."""
        field = self._field(n)
        return default if field is None else self._source.number(form, field)

    def table(self, n: int) -> Table | None:
        """A table, or the value of a union (whose kind is the field before)."""
        field = self._field(n)
        return None if field is None else Table(self._source, self._source.follow(field))

    def tables(self, n: int) -> list[Table]:
        first, length = self._vector(n, 4)
        return [Table(self._source, self._source.follow(first + 4 * i)) for i in range(length)]

    def scalars(self, n: int, dtype: str) -> NDArray[Any]:
        """A vector of numbers as a view that cannot be written to; `dtype` is NumPy's, as "<i4" or "u1"."""
        first, length = self._vector(n, np.dtype(dtype).itemsize)
        return np.frombuffer(self._source.data, dtype, length, first) if length else np.empty(0, dtype)

    def raw(self, n: int) -> bytes:
        """A vector of bytes, copied."""
        first, length = self._vector(n, 1)
        return self._source.data[first : first + length]

    def string(self, n: int, default: str = "") -> str:
        """Text; what is not UTF-8 in it becomes the replacement character. It may hold line breaks and escapes."""
        if not self.has(n):
            return default
        first, length = self._vector(n, 1)
        if length > MOST_TEXT:
            raise Damaged(f"a name of {length} bytes begins at byte {first}")
        return self._source.data[first : first + length].decode(errors="replace")

    def _field(self, n: int) -> int | None:
        """Position of a field, None when it is absent."""
        entry = 4 + 2 * n
        if entry + 2 > self._vtable_bytes:
            return None
        offset = self._source.number("<H", self._vtable + entry)
        return self._position + offset if offset else None

    def _vector(self, n: int, item_bytes: int) -> tuple[int, int]:
        field = self._field(n)
        return (0, 0) if field is None else self._source.vector(self._source.follow(field), item_bytes)


def root(data: bytes, identifier: bytes) -> Table:
    """The outermost table. Raises Damaged unless bytes 4 to 8 are the schema's identifier, as b"TFL3" or b"M001"."""
    if data[4:8] != identifier:
        raise Damaged(f"bytes 4 to 8 are not {identifier.decode()}")
    source = _Source(data, MOST_TABLES, len(data) + SHARED)
    return Table(source, source.follow(0))
