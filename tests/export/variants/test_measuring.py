"""Measuring variants: each figure is that of the runtime on the right photos, and the choice comes before the test."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import export.variants.measuring as measuring
from edge.model.interpreter import Interpreter, default_threads
from edge.tflite import anatomy
from export.opening.finished_run import Views
from export.quantising.sparsify import Sparsity
from export.variants.measuring import measure
from export.variants.variant import Made, Variant
from tests.edge.model import tiny

SMALL = 16  # pixels
ZEROS = Sparsity({"a": 0.5}, 0.25)
RGB = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
SHOWN = ("red", "green", "blue", "blue", "red")  # what is in the pictures
TRUTH = np.array([0, 1, 2, 2, 1])  # the last one is labelled wrongly
FLATBUFFER = tiny.flatbuffer()


def views(size: int) -> Views:
    pictures = np.stack([np.full((size, size, 3), RGB[colour], np.uint8) for colour in SHOWN])
    return Views(pictures, TRUTH)


def reference(*classes: int) -> NDArray[np.float32]:
    """Answers (5, 3) of a network that is sure of these classes."""
    return np.eye(3, dtype=np.float32)[list(classes)]


def of_noise(size: int) -> bytes:
    """Another network: it knows nothing, so its answer is always the first class."""
    return tiny.flatbuffer((1, size, size, 3), beta=0.0)


MADE = [
    Made("float32", FLATBUFFER, ZEROS, tiny.SIZE, False),
    Made("int8", FLATBUFFER, ZEROS, tiny.SIZE, True),
    Made("int8_slim", of_noise(SMALL), ZEROS, SMALL, True),
]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Times by name instead of by the clock, no child processes; the threads of each timing are written down."""
    asked: list[tuple[int, ...]] = []
    paces = {"float32": 8.0, "int8": 4.0, "int8_slim": 1.0}

    def time_invokes(interpreters: dict[str, Interpreter], rounds: int) -> dict[str, list[float]]:
        threads = tuple(opened[interpreter] for interpreter in interpreters.values())
        asked.append(threads)
        return {name: [paces[name] / threads[0] + (i == 0) for i in range(rounds)] for name in interpreters}

    opened: dict[Any, int] = {}

    def interpreter(flatbuffer: bytes, name: str, *, threads: int) -> Interpreter:
        found = Interpreter(flatbuffer, name, threads=threads)
        opened[found] = threads
        return found

    monkeypatch.setattr(measuring, "time_invokes", time_invokes)
    monkeypatch.setattr(measuring, "Interpreter", interpreter)
    monkeypatch.setattr(measuring, "peak_mb", lambda flatbuffer, name: float(len(name)))
    return asked


def silent(title: str) -> Any:
    return lambda done, total=0, note="": None


def measured(made: list[Made] = MADE, answers: NDArray[np.float32] | None = None) -> dict[str, Variant]:
    found = reference(0, 1, 2, 2, 0) if answers is None else answers
    return {variant.name: variant for variant in measure(made, views, found, tiny.LABELS, silent)}


@pytest.mark.usefixtures("quick")
def test_accuracy_is_that_of_the_runtime_and_agreement_that_with_the_network() -> None:
    rows = measured(answers=reference(0, 0, 0, 0, 0))
    assert [rows[m.name].validation.top1 for m in MADE] == [0.8, 0.8, 0.2]
    assert [rows[m.name].agreement for m in MADE] == [0.4, 0.4, 1.0]


@pytest.mark.usefixtures("quick")
def test_change_is_paired_with_the_network_on_the_same_photos() -> None:
    change = measured(answers=reference(0, 0, 0, 2, 1))["int8"].change
    assert change is not None
    assert (change.mcnemar.only_a, change.mcnemar.only_b, change.mcnemar.p_value) == (2, 1, 1.0)
    assert change.difference.difference == pytest.approx(0.2)
    assert change.difference.low < 0 < change.difference.high


@pytest.mark.usefixtures("quick")
def test_each_variant_sees_pictures_of_its_own_size_and_each_size_is_read_once() -> None:
    sizes: list[int] = []

    def read(size: int) -> Views:
        sizes.append(size)
        return views(size)

    rows = measure(MADE, read, reference(0, 1, 2, 2, 0), tiny.LABELS, silent)
    assert sizes == [SMALL, tiny.SIZE]
    assert [row.size for row in rows] == [tiny.SIZE, tiny.SIZE, SMALL]


def test_times_are_those_of_one_thread_and_of_all(quick: list[tuple[int, ...]]) -> None:
    rows, threads = measured(), default_threads()
    alone = [(1, 1), (1, 1)]
    assert quick == [*alone, *alone, (threads, threads), (threads, threads), *alone]
    assert [rows[m.name].p50_ms for m in MADE] == [8.0, 4.0, 1.0]
    assert [rows[m.name].all_p50_ms for m in MADE] == [8.0 / threads, 4.0 / threads, 1.0 / threads]
    assert {row.all_threads for row in rows.values()} == {threads}


def test_a_float_file_takes_no_turns_with_a_slim_one(monkeypatch: pytest.MonkeyPatch) -> None:
    together: list[list[str]] = []

    def time_invokes(interpreters: dict[str, Interpreter], rounds: int) -> dict[str, list[float]]:
        together.append(list(interpreters))
        return {name: [1.0] * rounds for name in interpreters}

    monkeypatch.setattr(measuring, "time_invokes", time_invokes)
    monkeypatch.setattr(measuring, "peak_mb", lambda flatbuffer, name: None)
    measured()
    assert together == [["int8", "int8_slim"], ["int8", "float32"]] * 4


def test_of_three_timings_the_quietest_counts_and_not_the_kindest(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the pace of the plain file alone: another moment's greater speed of the slim one is luck."""
    paces = iter([(5.0, 1.0), (4.0, 1.0), (9.0, 9.0), (4.5, 0.5)])  # the third is of all threads

    def time_invokes(interpreters: dict[str, Interpreter], rounds: int) -> dict[str, list[float]]:
        if "int8_slim" not in interpreters:
            return {name: [1.0] * rounds for name in interpreters}
        return {name: [pace] * rounds for name, pace in zip(("int8", "int8_slim"), next(paces), strict=True)}

    monkeypatch.setattr(measuring, "time_invokes", time_invokes)
    monkeypatch.setattr(measuring, "peak_mb", lambda flatbuffer, name: None)
    rows = measured()
    assert (rows["int8"].p50_ms, rows["int8_slim"].p50_ms) == (4.0, 1.0)
    assert rows["int8_slim"].speed
    assert rows["int8_slim"].speed.value == 4.0


def test_a_shape_is_timed_beside_the_plain_file_in_turns_and_the_quietest_moment_of_each_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paces = cycle([(5.0, 1.0), (4.0, 1.5), (9.0, 9.0)])
    clocks: list[Any] = []

    def time_invokes(interpreters: dict[str, Interpreter], rounds: int, clock: Any) -> dict[str, list[float]]:
        clocks.append(clock)
        assert list(interpreters) == ["int8", "int8_slim"]
        return {name: [pace] * rounds for name, pace in zip(interpreters, next(paces), strict=True)}

    monkeypatch.setattr(measuring, "time_invokes", time_invokes)
    assert measuring.speed_beside(FLATBUFFER, of_noise(SMALL)) == 4.0
    assert set(clocks) == {time.thread_time}  # that of the wall makes the shorter of two look faster on a busy machine


def test_a_shape_that_is_really_timed_has_a_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "MOMENTS", 2)
    assert 0.01 < measuring.speed_beside(FLATBUFFER, FLATBUFFER) < 100


def test_p95_looks_at_the_slow_rounds(quick: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "TIMED_INVOKES", 5)
    row = measured()["int8"]
    assert row.p50_ms == 4.0
    assert row.p95_ms == pytest.approx(4.8)
    assert row.all_p95_ms == pytest.approx(4.0 / default_threads() + 0.8)


@pytest.mark.usefixtures("quick")
def test_speed_counts_from_the_plain_integer_file() -> None:
    speeds = [row.speed for row in measured().values()]
    assert [speed.value for speed in speeds if speed] == [0.5, 1.0, 4.0]
    assert all(speed and speed.low <= speed.value <= speed.high for speed in speeds)


@pytest.mark.usefixtures("quick")
def test_without_a_plain_integer_file_there_is_no_speed() -> None:
    assert measured([MADE[0], MADE[2]])["int8_slim"].speed is None


@pytest.mark.usefixtures("quick")
def test_sizes_work_and_zeros_are_those_of_the_file() -> None:
    row = measured()["int8"]
    assert row.bytes == len(FLATBUFFER)
    assert 0 < row.gzip_bytes < row.bytes
    assert row.multiply_adds == anatomy.dissect(FLATBUFFER, "tiny").multiply_adds
    assert (row.sparsity, row.sparsity_by_layer, row.is_integer, row.peak_mb) == (0.25, {"a": 0.5}, True, 4.0)


@pytest.mark.usefixtures("quick")
def test_progress_reaches_its_end_and_names_what_is_measured() -> None:
    told: list[tuple[int, int, str]] = []
    measure(MADE, views, reference(0, 1, 2, 2, 0), tiny.LABELS, lambda title: lambda *step: told.append(step))
    assert [done for done, _, _ in told] == list(range(1, told[-1][1] + 1))
    assert {"int8", "int8, memory", "times, 1 thread"} <= {note for _, _, note in told}


def test_no_test_photo_has_a_say_in_what_is_measured_first(quick: list[tuple[int, ...]]) -> None:
    assert all(row.test is None and row.test_change is None and not row.is_chosen for row in measured().values())


def test_the_chosen_row_is_tested_as_it_is_written(quick: list[tuple[int, ...]]) -> None:
    found = after_choice("int8", of_noise(tiny.SIZE))
    tops = {v.name: v.test.top1 for v in found.variants if v.test}
    assert tops == {"float32": 0.8, "int8": 0.2, "int8_slim": 0.2}
    assert [v.is_chosen for v in found.variants] == [False, True, False]
    assert (found.before.argmax(axis=1) == found.truth).mean() == 0.8
    assert (found.after.argmax(axis=1) == found.truth).mean() == found.scores.top1 == 0.2


def test_test_photos_are_compared_with_the_network_too(quick: list[tuple[int, ...]]) -> None:
    found = after_choice("int8_slim", of_noise(SMALL))
    assert found.float_test.top1 == 0.8
    changes = {v.name: v.test_change for v in found.variants if v.test_change}
    assert {name: change.mcnemar.only_b for name, change in changes.items()} == {
        "float32": 0, "int8": 0, "int8_slim": 3,
    }  # fmt: skip


def test_what_validation_said_stays_as_it_was(quick: list[tuple[int, ...]]) -> None:
    rows = measured()
    found = after_choice("int8", FLATBUFFER)
    assert [replace(v, test=None, test_change=None, is_chosen=False) for v in found.variants] == list(rows.values())


def after_choice(chosen: str, written: bytes) -> measuring.Tested:
    rows, network = list(measured().values()), reference(0, 1, 2, 2, 0)
    return measuring.tested(MADE, rows, chosen, written, views, network, tiny.LABELS, silent)


def test_everything_real_gives_times_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "TIMED_INVOKES", 3)
    row = measured()["int8"]
    assert 0 < row.p50_ms <= row.p95_ms
    assert 0 < row.all_p50_ms <= row.all_p95_ms
    assert row.peak_mb is None or row.peak_mb > 10


@pytest.mark.usefixtures("quick")
def test_a_class_unknown_has_no_say_in_accuracy_agreement_and_change() -> None:
    """Blue is taught as "unknown": two of the five pictures, and a column."""
    labels = ("red", "green", "unknown")
    network = reference(0, 1, 0, 0, 0)  # wrong on both of "unknown", and on the last as the file is
    (row,) = measure(MADE[1:2], views, network, labels, silent)
    assert (row.validation.n, row.validation.top1, row.validation.labels) == (3, 2 / 3, labels[:2])
    assert row.agreement == 1.0
    assert row.change is not None
    assert (row.change.mcnemar.only_a, row.change.mcnemar.only_b) == (0, 0)
    found = measuring.tested(MADE[1:2], [row], "int8", FLATBUFFER, views, network, labels, silent)
    assert (found.float_test.n, found.scores.top1, len(found.after)) == (3, 2 / 3, 5)
    (tested,) = found.variants
    assert tested.test_change is not None
    assert tested.test_change.difference.difference == 0.0
