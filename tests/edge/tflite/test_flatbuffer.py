"""Flatbuffers are read by field number, and damaged ones are refused, whatever they hold."""

from __future__ import annotations

import struct
from importlib import import_module

import numpy as np
import pytest

from edge.tflite.flatbuffer import MOST_TABLES, MOST_TEXT, Damaged, Table, root

MARK = b"TEST"


def written(number: int = 7, text: str = "Löwenzahn", count: int = 2) -> bytes:
    """Fields: 0 number, 1 ratio, 2 text, 3 numbers, 4 tables of {0: text}, 6 a table; 5 is absent."""
    builder = import_module("flatbuffers").Builder(64)
    name = builder.CreateString(text)
    numbers = builder.CreateNumpyVector(np.array([3, -1, 4], np.int32))
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    child = builder.EndObject()
    builder.StartVector(4, count, 4)
    for _ in range(count):
        builder.PrependUOffsetTRelative(child)
    children = builder.EndVector()
    builder.StartObject(7)
    builder.PrependInt32Slot(0, number, 0)
    builder.PrependFloat32Slot(1, 0.5, 0.0)
    for slot, offset in ((2, name), (3, numbers), (4, children), (6, child)):
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    builder.Finish(builder.EndObject(), MARK)
    return bytes(builder.Output())


def everything(table: Table) -> list[object]:
    child = table.table(6)
    return [
        table.scalar(0, "<i"), table.scalar(1, "<f"), table.string(2), table.scalars(3, "<i4").tolist(),
        [each.string(0) for each in table.tables(4)], child.string(0) if child else None,
    ]  # fmt: skip


def refusal(data: bytes) -> str | None:
    try:
        everything(root(data, MARK))
    except Damaged as error:
        return str(error)
    return None


def test_what_was_written_is_read() -> None:
    table = root(written(), MARK)
    assert everything(table) == [7, 0.5, "Löwenzahn", [3, -1, 4], ["Löwenzahn", "Löwenzahn"], "Löwenzahn"]
    assert (table.has(6), table.raw(2)) == (True, "Löwenzahn".encode())


@pytest.mark.parametrize("n", [5, 7, 5000], ids=["left out", "newer than the file", "beyond any table"])
def test_an_absent_field_gives_its_default(n: int) -> None:
    table = root(written(), MARK)
    assert not table.has(n)
    assert (table.scalar(n, "<i", 42), table.string(n, "none"), table.table(n)) == (42, "none", None)
    assert (table.tables(n), table.scalars(n, "<f4").tolist(), table.raw(n)) == ([], [], b"")


def test_a_vector_is_a_view_that_cannot_be_written_to() -> None:
    assert not root(written(), MARK).scalars(3, "<i4").flags.writeable


def test_text_that_is_not_utf8_is_replaced() -> None:
    data = written(text="abcd").replace(b"abcd", b"a\xff\nd")
    assert root(data, MARK).string(2) == "a\ufffd\nd"


@pytest.mark.parametrize("data", [b"", b"\4\0\0\0TES", written()[:8], b"\4\0\0\0ELSE" + written()[8:]])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Damaged):
        everything(root(data, MARK))


def test_every_cut_is_noticed() -> None:
    data = written()
    for length in range(len(data) - 4):  # the last bytes pad a text
        with pytest.raises(Damaged):
            everything(root(data[:length], MARK))


def test_no_damage_raises_anything_else() -> None:
    data, random = written(), np.random.default_rng(5)
    outcomes = []
    for _ in range(4000):
        mutant = bytearray(data)
        for place in random.integers(0, len(data), random.integers(1, 5)):
            value = random.choice([0, 1, 1 << 31, (1 << 32) - 1, int(random.integers(256))])
            mutant[place : place + 4] = struct.pack("<I", value)
        outcomes.append(refusal(bytes(mutant[: len(data)])))
    refused = [line for line in outcomes if line is not None]
    assert 2000 < len(refused) < 4000
    assert all(len(line.splitlines()) == 1 for line in refused)


def test_offsets_that_all_point_to_one_table_are_counted() -> None:
    assert len(root(written(count=MOST_TABLES - 1), MARK).tables(4)) == MOST_TABLES - 1
    with pytest.raises(Damaged, match="tables"):
        root(written(count=MOST_TABLES), MARK).tables(4)


def test_vectors_that_are_read_again_and_again_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.tflite.flatbuffer.SHARED", 1000)
    table = root(written(), MARK)
    with pytest.raises(Damaged, match="overlap"):
        [table.scalars(3, "<i4") for _ in range(1000)]


def test_a_name_of_a_megabyte_is_no_name() -> None:
    assert len(root(written(text="x" * MOST_TEXT), MARK).string(2)) == MOST_TEXT
    with pytest.raises(Damaged, match="name"):
        root(written(text="x" * (MOST_TEXT + 1)), MARK).string(2)
