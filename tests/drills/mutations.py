"""A seeded generator of damaged and of hostile model files.

In:  a number and a seed; flatbuffers with their zip entries from elsewhere, if there are any.
Out: one file's bytes, what it was made from and how; and the right answers of the files of ours.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.formats import plain
from edge.model.card import CARD, LABELS, labels_text
from edge.model.interpreter import Interpreter
from edge.picture.geometry import model_input
from edge.tflite.archive import appended
from tests.edge.model import strangers, tiny

Draws = np.random.Generator
Foreign = Sequence[tuple[bytes, dict[str, bytes]]]  # flatbuffer, entries of the zip
SMALL = 2048
SMALL_NUMBERS = (-2, -1, 0, 1, 2, 3, 4, 5, 6, 8, 17, 32, 48, 64, 127, 128, 255, 256, 1024, 4096, 30_000)
DEEP = [
    "bits of the flatbuffer flipped",
    "small numbers changed",
    "odd numbers in the flatbuffer",
]  # what reaches the runtime without a card
DEEPER = 8  # how often each of these is in the urn once more
NEAR = 60_000  # bytes
FOREIGN_SHARE = 0.06  # of all files, when there are any: large ones are slow
ODD_WORDS = (0, 1, 2, 3, 4, 7, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000, 0x1000000)
ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 4096, 10**6, 2**31, 2**63, 10**400, -1e308, 0.5, float("nan"), float("inf"), "", "x",
    "x" * 100_000, "\x1b[31m", "a\nb", "\ud800", [], [[]], [1, 2], ["a", "a"], ["red", "green", "blue"], {}, {"a": {}},
    [{}], {"top1": 1, "low": 0, "high": 1, "photos": -5}, {"score": "margin", "threshold": 2, "coverage": None},
    {"pattern": "x", "seed": 0, "width": 10**9, "height": 10**9, "answers": {}},
    [{"pattern": "stretch", "seed": -1, "width": 0, "height": 0, "answers": {"red": 7}}] * 3,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Mutant:
    origin: str
    mutation: str
    data: bytes


@dataclass(frozen=True, eq=False)
class _Base:
    """A sound file, in parts."""

    origin: str
    flatbuffer: bytes
    entries: dict[str, bytes]

    @property
    def data(self) -> bytes:
        return appended(self.flatbuffer, self.entries) if self.entries else self.flatbuffer


def frame() -> NDArray[np.uint8]:
    """The frame that every file is asked about, BGR uint8 (H, W, 3)."""
    return np.random.default_rng(7).integers(0, 256, (48, 64, 3), np.uint8)


def mutant(index: int, seed: int, foreign: Foreign = ()) -> Mutant:
    """File number `index`: the same for the same numbers and the same files from elsewhere."""
    draws = np.random.default_rng([seed, index])
    if foreign and draws.random() < FOREIGN_SHARE:
        base = _Base("foreign", *foreign[int(draws.integers(len(foreign)))])
    else:
        bases = _bases()
        base = bases[draws.integers(len(bases))]
    has_card = CARD in base.entries
    names = [name for name in MUTATIONS if has_card or name not in NEED_A_CARD]
    if base.entries and not has_card:
        names += DEEP * DEEPER
    name = names[draws.integers(len(names))]
    return Mutant(base.origin, name, MUTATIONS[name](draws, base))


@cache
def right_answers() -> dict[str, NDArray[np.float32]]:
    """Probabilities of `frame()` by sha256 of the flatbuffer: a card is only taken together with one of these."""
    rgb = model_input(frame(), tiny.SIZE)
    ours = [base for base in _bases() if CARD in base.entries]
    answers = [Interpreter(base.flatbuffer, base.origin, threads=1)(rgb) for base in ours]
    return {hashlib.sha256(b.flatbuffer).hexdigest(): answer for b, answer in zip(ours, answers, strict=True)}


@cache
def _bases() -> tuple[_Base, ...]:
    plain = tiny.flatbuffer()
    floating = tiny.flatbuffer(dtype="FLOAT32", output="FLOAT32")
    labels = {strangers.LABELS_FILE: strangers.LABELS_TEXT}
    return (
        _ours("ours", strangers.described(plain, "Flora 1")),
        _ours("ours, float out", strangers.described(tiny.flatbuffer(output="FLOAT32"), "Flora 1")),
        _ours(
            "ours, with a map",
            strangers.described(strangers.with_map("probabilities", "evidence", is_first=False), "Flora 1"),
        ),
        _Base("stranger", plain, labels),
        _Base("stranger, int8, told", strangers.with_metadata(strangers.signed(), strangers.told()), labels),
        _Base("stranger, float, told", strangers.with_metadata(floating, strangers.told()), labels),
        _Base("stranger, logits", strangers.logits(floating), labels),
        _Base("stranger, conv", strangers.convolution(), labels),
        _Base("no labels", plain, {}),
        _Base("card lost", strangers.described(plain, "Flora 1"), {}),
    )


def _ours(origin: str, flatbuffer: bytes) -> _Base:
    card = tiny.card(flatbuffer)
    return _Base(origin, flatbuffer, {CARD: json.dumps(plain(card)).encode(), LABELS: labels_text(card.labels)})


# Bytes, anywhere in the file


def _flip(draws: Draws, base: _Base) -> bytes:
    data = bytearray(base.data)
    for _ in range(draws.integers(1, 9)):
        data[draws.integers(len(data))] ^= 1 << draws.integers(8)
    return bytes(data)


def _flip_flatbuffer(draws: Draws, base: _Base) -> bytes:
    flatbuffer = bytearray(base.flatbuffer)
    for _ in range(draws.integers(1, 4)):
        flatbuffer[_spot(draws, len(flatbuffer))] ^= 1 << draws.integers(8)
    return appended(bytes(flatbuffer), base.entries)


def _spot(draws: Draws, length: int) -> int:
    """A position in a flatbuffer, as often near an end as anywhere: in a large one weights lie between the tables."""
    first, end = ((0, length), (0, min(length, NEAR)), (max(0, length - NEAR), length))[draws.integers(3)]
    return int(draws.integers(first, end))


def _odd_word(draws: Draws, base: _Base) -> bytes:
    """Numbers in the flatbuffer: sizes, shapes, indices, offsets."""
    flatbuffer = bytearray(base.flatbuffer)
    for _ in range(draws.integers(1, 4)):
        word = int(ODD_WORDS[draws.integers(len(ODD_WORDS))])
        struct.pack_into("<I", flatbuffer, _spot(draws, len(flatbuffer) - 4) // 4 * 4, word)
    return appended(bytes(flatbuffer), base.entries)


def _small_number(draws: Draws, base: _Base) -> bytes:
    """Small numbers in the flatbuffer, of which many are shapes, indices and counts: all offsets stay as they are."""
    flatbuffer = bytearray(base.flatbuffer)
    words = np.frombuffer(base.flatbuffer, "<u4", len(flatbuffer) // 4)
    small = np.flatnonzero(words < SMALL)
    near = small[(small < NEAR // 4) | (small > len(words) - NEAR // 4)]
    for _ in range(draws.integers(1, 3)):
        at = int(draws.choice(near)) * 4
        struct.pack_into("<i", flatbuffer, at, SMALL_NUMBERS[draws.integers(len(SMALL_NUMBERS))])
    return appended(bytes(flatbuffer), base.entries)


def _cut(draws: Draws, base: _Base) -> bytes:
    return base.data[: draws.integers(len(base.data))]


def _insert(draws: Draws, base: _Base) -> bytes:
    at = draws.integers(len(base.data))
    return base.data[:at] + draws.bytes(int(draws.integers(1, 65))) + base.data[at:]


def _remove(draws: Draws, base: _Base) -> bytes:
    at = draws.integers(len(base.data))
    return base.data[:at] + base.data[at + draws.integers(1, 65) :]


def _overwrite(draws: Draws, base: _Base) -> bytes:
    at, length = draws.integers(len(base.data)), int(draws.integers(1, 65))
    run = (draws.bytes(length), bytes(length), b"\xff" * length)[draws.integers(3)]
    return base.data[:at] + run + base.data[at + length :]


def _splice(draws: Draws, base: _Base) -> bytes:
    """The head of one file and the tail of another."""
    other = _bases()[draws.integers(len(_bases()))].data
    return base.data[: draws.integers(len(base.data))] + other[draws.integers(len(other)) :]


def _swap_zip(draws: Draws, base: _Base) -> bytes:
    """The flatbuffer of one file with the zip of another."""
    return appended(base.flatbuffer, _bases()[draws.integers(len(_bases()))].entries)


# The zip


def _rezipped(base: _Base, write: Callable[[zipfile.ZipFile], None], *, with_entries: bool = True) -> bytes:
    store = io.BytesIO()
    store.write(base.flatbuffer)
    with zipfile.ZipFile(store, "a", zipfile.ZIP_STORED) as archive:
        for name, content in base.entries.items() if with_entries else ():
            _put(archive, name, content)
        write(archive)
    return store.getvalue()


def _put(archive: zipfile.ZipFile, name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> None:
    archive.writestr(zipfile.ZipInfo(name), content, method)  # with a fixed date


@cache
def _zeros(megabytes: int) -> bytes:
    """A zip entry's worth of nothing."""
    return bytes(megabytes << 20)


def _bomb(draws: Draws, base: _Base) -> bytes:
    name = (*base.entries, LABELS, "more.txt")[draws.integers(len(base.entries) + 2)]
    size = int((2, 32)[draws.integers(2)])

    def write(archive: zipfile.ZipFile) -> None:
        _put(archive, name, _zeros(size), zipfile.ZIP_DEFLATED)

    return _rezipped(base, write, with_entries=False)


def _doubled(draws: Draws, base: _Base) -> bytes:
    names = [*base.entries, LABELS]
    name = names[draws.integers(len(names))]
    placeholder = "x" * len(name)  # zipfile warns of a doubled name
    data = _rezipped(base, lambda archive: _put(archive, placeholder, base.entries.get(name, b"a\nb\nc\n")))
    return data.replace(placeholder.encode(), name.encode())


def _paths(draws: Draws, base: _Base) -> bytes:
    names = (
        "../labels.txt",
        "/etc/labels.txt",
        "a/../../b.txt",
        "..\\x.txt",
        "labels.txt/",
        "C:\\x.txt",
        ".",
        "x" * 60_000,
    )
    return _rezipped(base, lambda archive: _put(archive, names[draws.integers(len(names))], b"a\nb\nc\n"))


def _crowd(draws: Draws, base: _Base) -> bytes:
    def write(archive: zipfile.ZipFile) -> None:
        for number in range(int(draws.integers(10, 3000))):
            _put(archive, f"{number}.txt", b"a\nb\nc\n")

    return _rezipped(base, write)


def _method(draws: Draws, base: _Base) -> bytes:
    method = (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)[draws.integers(3)]

    def write(archive: zipfile.ZipFile) -> None:
        for name, content in base.entries.items():
            _put(archive, name, content, method)

    return _rezipped(base, write, with_entries=False)


def _directory(draws: Draws, base: _Base) -> bytes:
    """Numbers in the zip's own tables: counts, sizes, offsets, flags, methods, checksums."""
    data = bytearray(base.data)
    begin = max(len(base.flatbuffer), data.find(b"PK\x01\x02", len(base.flatbuffer)))
    for _ in range(draws.integers(1, 4)):
        word = int(ODD_WORDS[draws.integers(len(ODD_WORDS))])
        if begin + 4 <= len(data):
            struct.pack_into("<I", data, int(draws.integers(begin, len(data) - 3)), word)
    return bytes(data)


# The card, its checksum right


def _card_value(draws: Draws, base: _Base) -> bytes:
    card = json.loads(base.entries[CARD])
    for _ in range(draws.integers(1, 3)):
        card[list(card)[draws.integers(len(card))]] = ODD_VALUES[draws.integers(len(ODD_VALUES))]
    return _with_card(base, json.dumps(card).encode())


def _card_fields(draws: Draws, base: _Base) -> bytes:
    card = json.loads(base.entries[CARD])
    if draws.random() < 0.5:
        del card[list(card)[draws.integers(len(card))]]
    else:
        card["x" * int(draws.integers(1, 1000))] = 1
    return _with_card(base, json.dumps(card).encode())


def _card_format(draws: Draws, base: _Base) -> bytes:
    versions = (0, 1, 3, 99, "2", 2.5, None, [2], True, 10**30)
    return _with_card(
        base, json.dumps(json.loads(base.entries[CARD]) | {"format": versions[draws.integers(10)]}).encode()
    )


def _card_text(draws: Draws, base: _Base) -> bytes:
    texts = (
        b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe{}", b"[" * 200_000, b'{"format":' * 50_000, b"9" * 100_000,
        b'{"format": ' + b"9" * 100_000 + b"}", b'{"format": 2}', base.entries[CARD] * 2, b" " * 900_000,
    )  # fmt: skip
    return _with_card(base, texts[draws.integers(len(texts))])


def _card_labels(draws: Draws, base: _Base) -> bytes:
    card = json.loads(base.entries[CARD])
    lists = (
        ["red"], ["red", "red", "red"], ["green", "red", "blue"], ["red", "green", "blue", "x"], ["a", "b\n", "c"],
        ["", "b", "c"], [1, 2, 3], [["red"], "green", "blue"], ["red", "green", "\x1b[2J"], [None] * 3,
    )  # fmt: skip
    card["labels"] = lists[draws.integers(len(lists))]
    return _with_card(base, json.dumps(card).encode())


def _with_card(base: _Base, card: bytes) -> bytes:
    return appended(base.flatbuffer, base.entries | {CARD: card})


Mutation = Callable[[Draws, _Base], bytes]
NEED_A_CARD: dict[str, Mutation] = {
    "card: impossible value": _card_value,
    "card: field missing or new": _card_fields,
    "card: another format": _card_format,
    "card: no JSON": _card_text,
    "card: other labels": _card_labels,
}
MUTATIONS: dict[str, Mutation] = {
    "bits flipped": _flip,
    "bits of the flatbuffer flipped": _flip_flatbuffer,
    "odd numbers in the flatbuffer": _odd_word,
    "small numbers changed": _small_number,
    "cut": _cut,
    "bytes inserted": _insert,
    "bytes removed": _remove,
    "run overwritten": _overwrite,
    "spliced": _splice,
    "another file's zip": _swap_zip,
    "zip: bomb": _bomb,
    "zip: doubled entry": _doubled,
    "zip: path": _paths,
    "zip: thousands of entries": _crowd,
    "zip: another method": _method,
    "zip: odd numbers": _directory,
    **NEED_A_CARD,
}
