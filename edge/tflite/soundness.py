"""Does every offset in a TFLite flatbuffer stay within the file? The old runtime does not ask: it reads wherever sent.

In:  the flatbuffer's bytes, from anywhere.
Out: nothing, or Damaged for the first table, vector or text that lies outside.

A trial run cannot answer this: whether a read out of bounds crashes depends on what happens to lie there.
Field numbers are those of the published schema (tensorflow/lite/schema/schema.fbs).
"""

from __future__ import annotations

from edge.tflite.flatbuffer import TFLITE, Table, root

TEXT = "text"
OPTIONS, DETAILS, INDICES = UNIONS = ("options", "details", "indices")  # whose kind is the field before
# Of each table: field number -> a number ("<i4"), a text, a vector ("[...]") or a table.
SCHEMA: dict[str, dict[int, str]] = {
    "Model": {
        0: "<I", 1: "[OperatorCode]", 2: "[SubGraph]", 3: TEXT, 4: "[Buffer]", 5: "[<i4]", 6: "[Metadata]",
        7: "[SignatureDef]",
    },
    "OperatorCode": {0: "<b", 1: TEXT, 2: "<i", 3: "<i"},
    "SubGraph": {0: "[Tensor]", 1: "[<i4]", 2: "[<i4]", 3: "[Operator]", 4: TEXT, 5: "<i"},
    "Tensor": {
        0: "[<i4]", 1: "<b", 2: "<I", 3: TEXT, 4: "Quantization", 5: "<b", 6: "Sparsity", 7: "[<i4]", 8: "<b",
        9: "[VariantSubType]", 10: "<I",
    },
    "Quantization": {0: "[<f4]", 1: "[<f4]", 2: "[<f4]", 3: "[<i8]", 4: "<B", 5: DETAILS, 6: "<i"},
    "Sparsity": {0: "[<i4]", 1: "[<i4]", 2: "[Dimension]"},
    "Dimension": {0: "<b", 1: "<i", 2: "<B", 3: INDICES, 4: "<B", 5: INDICES},
    "Indices": {0: "[<i4]"},
    "ShortIndices": {0: "[<u2]"},
    "ByteIndices": {0: "[u1]"},
    "VariantSubType": {0: "[<i4]", 1: "<b", 2: "<b"},
    "Operator": {
        0: "<I", 1: "[<i4]", 2: "[<i4]", 3: "<B", 4: OPTIONS, 5: "[u1]", 6: "<b", 7: "[u1]", 8: "[<i4]", 9: "<Q",
        10: "<Q", 11: "<B", 12: "AnyOptions", 13: "<i",
    },
    "Buffer": {0: "[u1]", 1: "<Q", 2: "<Q"},
    "Metadata": {0: TEXT, 1: "<I"},
    "SignatureDef": {0: "[TensorMap]", 1: "[TensorMap]", 2: TEXT, 4: "<I"},
    "TensorMap": {0: TEXT, 1: "<I"},
    "AnyOptions": dict.fromkeys(range(16), "<B"),  # almost all options are a few numbers
    "ConcatEmbeddingsOptions": {0: "<i", 1: "[<i4]", 2: "[<i4]"},
    "Shape": {0: "[<i4]"},
    "VarHandleOptions": {0: TEXT, 1: TEXT},
    "BucketizeOptions": {0: "[<f4]"},
    "CustomQuantization": {0: "[u1]"},
}  # fmt: skip
# By kind; those of most operators hold nothing but numbers. Reshape and squeeze have a shape.
KINDS = {
    OPTIONS: {3: "ConcatEmbeddingsOptions", 17: "Shape", 30: "Shape", 111: "VarHandleOptions", 115: "BucketizeOptions"},
    DETAILS: {1: "CustomQuantization"},
    INDICES: {1: "Indices", 2: "ShortIndices", 3: "ByteIndices"},
}


def require_sound(flatbuffer: bytes) -> None:
    """Raises edge.tflite.flatbuffer.Damaged unless all that a runtime follows lies within the file."""
    waiting: list[tuple[Table, str]] = [(root(flatbuffer, TFLITE), "Model")]
    while waiting:
        table, kind = waiting.pop()
        for n, what in SCHEMA[kind].items():
            waiting += _followed(table, n, what)


def _followed(table: Table, n: int, what: str) -> list[tuple[Table, str]]:
    """Read one field; the tables that it holds, with their kinds, are still to be read."""
    if what == TEXT:
        table.raw(n)  # that a zero ends it need not be checked: one ends the file's bytes in memory
        return []
    if what.startswith("["):
        item = what[1:-1]
        if item in SCHEMA:
            return [(one, item) for one in table.tables(n)]
        table.scalars(n, item)
        return []
    if what in SCHEMA or what in UNIONS:
        one = table.table(n)
        kind = KINDS[what].get(table.scalar(n - 1, "<B"), "AnyOptions") if what in UNIONS else what
        return [(one, kind)] if one else []
    table.scalar(n, what)
    return []
