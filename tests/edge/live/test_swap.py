"""A model file replaced while it is in use."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract.event import MODEL_CHANGED, MODEL_REFUSED, Event
from edge.contract.result import Result
from edge.live.swap import ModelWatch, label_changes
from edge.model.classifier import Classifier
from edge.model.golden import GoldenCase
from tests.edge.model import tiny

GERMAN = ("rot", "grün", "blau")
RED = tiny.plain("red")


class Place:
    """A model in use, and what is told of it."""

    def __init__(self, folder: Path) -> None:
        self.path = tiny.write_model(folder / "colours.tflite")
        self.events: list[Event] = []
        self.told = threading.Event()
        self.opened = 0
        self.while_opening: Callable[[], object] = lambda: None
        self.watch = self.new_watch()

    def new_watch(self, *, must_prove: bool = True) -> ModelWatch:
        return ModelWatch(
            self.path,
            self.open,
            Classifier(self.path, threads=1),
            tell=self.tell,
            must_prove=must_prove,
            every_s=0.001,
            wall=lambda: 1_800_000_000.0,
        )

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self.told.set()

    def open(self) -> Classifier:
        self.opened += 1
        self.while_opening()
        return Classifier(self.path, threads=1)

    def drop_in(self, labels: tuple[str, ...] = GERMAN, **changes: Any) -> None:
        """Another file by rename, as a careful person or program does it."""
        tiny.write_model(self.path.with_name("new.tflite"), labels=labels, **changes).replace(self.path)

    def look(self, times: int = 2) -> None:
        for _ in range(times):
            self.watch.look()

    @property
    def label(self) -> str:
        return self.watch(RED).label

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def wrong_case() -> tuple[GoldenCase, ...]:
    """A golden case whose answer the model does not give."""
    return (GoldenCase("scene", 1, tiny.SIZE, tiny.SIZE, {"rot": 0.01, "grün": 0.01, "blau": 0.98}),)


def test_it_stands_for_the_model_in_use(place: Place) -> None:
    result = place.watch(RED)
    assert isinstance(result, Result)
    assert (place.watch.name, place.watch.labels, place.watch.size) == ("colours.tflite", tiny.LABELS, tiny.SIZE)
    assert result.label == "red"


def test_a_file_that_stays_is_not_opened_again(place: Place) -> None:
    place.look(5)
    assert (place.opened, place.events) == (0, [])


def test_a_new_file_takes_over_at_the_second_look(place: Place) -> None:
    place.drop_in()
    place.look(1)
    assert place.label == "red"
    place.look(1)
    assert place.label == "rot"
    assert place.watch.labels == GERMAN
    assert place.kinds == [MODEL_CHANGED]
    assert place.events[0].data == {"model": "colours.tflite", "labels": list(GERMAN)}


def test_two_files_in_turn_both_take_over(place: Place) -> None:
    for labels in (GERMAN, tiny.LABELS):
        place.drop_in(labels)
        place.look()
    assert place.label == "red"
    assert place.kinds == [MODEL_CHANGED] * 2


def test_a_file_that_is_copied_slowly_is_waited_for(place: Place) -> None:
    whole = tiny.write_model(place.path.with_name("new.tflite"), labels=GERMAN).read_bytes()
    for length in range(100, len(whole), 300):
        place.path.write_bytes(whole[:length])
        place.look(1)
    place.path.write_bytes(whole)
    place.look(1)
    assert (place.opened, place.label) == (0, "red")
    place.look(1)
    assert (place.opened, place.label, place.kinds) == (1, "rot", [MODEL_CHANGED])


def test_a_copy_that_pauses_is_refused_and_taken_once_it_is_whole(place: Place) -> None:
    whole = tiny.write_model(place.path.with_name("new.tflite"), labels=GERMAN).read_bytes()
    place.path.write_bytes(whole[:700])
    place.look()
    assert (place.label, place.kinds) == ("red", [MODEL_REFUSED])
    place.path.write_bytes(whole)
    place.look()
    assert (place.label, place.kinds) == ("rot", [MODEL_REFUSED, MODEL_CHANGED])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(b"not a model at all"), "flora export"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "damaged or cut off"),
        (lambda path: path.write_bytes(b""), "flora export"),
        (lambda path: tiny.write_model(path, labels=GERMAN, golden=wrong_case()), "golden cases"),
    ],
    ids=["another file", "cut off", "empty", "wrong answers"],
)
def test_a_bad_file_is_refused_once_and_the_old_model_stays(
    place: Place, spoil: Callable[[Path], object], reason: str
) -> None:
    spoil(place.path)
    place.look(6)
    assert (place.label, place.opened, place.kinds) == ("red", 1, [MODEL_REFUSED])
    event = place.events[0]
    assert event.text.startswith("colours.tflite stays, its new file is refused: ")
    assert reason in event.data["reason"]
    assert "\n" not in event.text


def test_after_a_refusal_the_next_good_file_is_taken(place: Place) -> None:
    place.path.write_bytes(b"not a model at all")
    place.look(4)
    place.drop_in()
    place.look()
    assert (place.label, place.kinds) == ("rot", [MODEL_REFUSED, MODEL_CHANGED])


def test_without_proof_a_file_is_taken_at_its_word(place: Place) -> None:
    place.watch = place.new_watch(must_prove=False)
    place.drop_in(golden=wrong_case())
    place.look()
    assert place.label == "rot"


def test_a_file_that_has_gone_leaves_the_model_in_memory(place: Place) -> None:
    place.path.unlink()
    place.look(4)
    assert (place.label, place.events) == ("red", [])
    place.drop_in()
    place.look()
    assert place.label == "rot"


@pytest.mark.parametrize("is_bad", [False, True], ids=["read while good", "read while bad"])
def test_a_file_that_changes_while_it_is_opened_is_judged_anew(place: Place, is_bad: bool) -> None:
    def change() -> None:
        place.while_opening = lambda: None
        if is_bad:
            place.path.write_bytes(b"half of it")
        else:
            os.utime(place.path, ns=(1, 1))

    place.while_opening = change
    place.drop_in()
    place.look()
    assert (place.label, place.events) == ("red", [])
    place.drop_in()
    place.look()
    assert (place.label, place.kinds) == ("rot", [MODEL_CHANGED])


def test_too_little_memory_for_two_models_is_told(place: Place) -> None:
    def run_out() -> None:
        raise MemoryError

    place.while_opening = run_out
    place.drop_in()
    place.look()
    assert place.label == "red"
    assert "not enough memory for a second model" in place.events[0].text


def test_an_answer_that_is_no_number_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Classifier.__call__

    def call(self: Classifier, frame_bgr: NDArray[np.uint8]) -> Result:
        result = old(self, frame_bgr)
        return Result(result.labels, np.full(3, np.nan, np.float32), 0.0, 0.0)

    place.drop_in()
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "__call__", call)
        place.look()
    assert (place.label, place.kinds) == ("red", [MODEL_REFUSED])


class Loop:
    """Classifies without a pause in a thread of its own."""

    def __init__(self, watch: ModelWatch) -> None:
        self.labels: list[str] = []
        self.failure: Exception | None = None
        self._watch, self._over = watch, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self.labels.append(self._watch(RED).label)
            except Exception as error:  # noqa: BLE001  judged by the test
                self.failure = error
                return

    def end(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def loop(place: Place) -> Iterator[Loop]:
    found = Loop(place.watch)
    yield found
    found.end()


def test_the_loop_misses_no_frame_while_models_come_and_go(place: Place, loop: Loop) -> None:
    place.watch.start()
    for number in range(6):
        place.told.clear()
        place.drop_in(GERMAN if number % 2 == 0 else tiny.LABELS)
        assert place.told.wait(20)
    place.watch.close()
    place.watch.close()
    loop.end()
    assert loop.failure is None
    assert place.kinds == [MODEL_CHANGED] * 6
    assert set(loop.labels) == {"red", "rot"}
    changes = sum(a != b for a, b in zip(loop.labels, loop.labels[1:], strict=False))
    assert changes <= 6


def test_nobody_watches_after_it_was_closed(place: Place) -> None:
    before = set(threading.enumerate())
    place.watch.start()
    place.watch.close()
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (("a", "b"), "same labels"),
        (("b", "a"), "labels in another order"),
        (("a", "b", "c"), "labels added: c"),
        (("a",), "labels gone: b"),
        (("c", "d"), "labels added: c, d; gone: a, b"),
    ],
    ids=str,
)
def test_what_became_of_the_labels_is_said_in_words(after: tuple[str, ...], words: str) -> None:
    assert label_changes(("a", "b"), after) == words
