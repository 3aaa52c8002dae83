"""Threads of sinks: no sink holds the loop or another sink, and what could not be delivered is told."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from edge.contract.decision import Decision
from edge.contract.event import NO_PICTURE, OUTPUT_BACK, OUTPUT_FAILED, SIGHTING, Event
from edge.contract.frame import Frame
from edge.contract.sink import ALL, NEWEST
from edge.errors import OutputError
from edge.sinks.threads import MOST_EVENTS, SinkThreads
from tests.edge.fakes import decision, frame

PATIENCE_S = 10.0  # of a test, for another thread


class HeldSink:
    """Takes nothing until `release` is set; then keeps what it gets, in order."""

    def __init__(self, backlog: int = ALL, *, needs_picture: bool = False, name: str = "held") -> None:
        self.name, self.backlog, self.needs_picture = name, backlog, needs_picture
        self.entered, self.release = threading.Event(), threading.Event()
        self.got: list[int | str] = []
        self.pictures: list[tuple[int, ...]] = []
        self.threads: set[int] = set()

    def show(self, decision: Decision, frame: Frame) -> None:
        self._wait()
        self.got.append(decision.frame)
        self.pictures.append(frame.image_bgr.shape)

    def tell(self, event: Event) -> None:
        self._wait()
        self.got.append(event.text)

    def close(self) -> None:
        self.threads.add(threading.get_ident())

    def _wait(self) -> None:
        self.threads.add(threading.get_ident())
        self.entered.set()
        assert self.release.wait(PATIENCE_S)


class FailingSink(HeldSink):
    """Raises `failures` in turn, then works; `delivered` is set by the second item that it takes."""

    def __init__(self, *failures: Exception, name: str = "failing") -> None:
        super().__init__(name=name)
        self.release.set()
        self.delivered = threading.Event()
        self._failures = list(failures)
        self._taken = 0

    def _wait(self) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self._taken += 1
        if self._taken == 2:  # what is told of the first has been told by now
            self.delivered.set()


def live(*sinks: HeldSink, on_gone: Callable[[], None] = lambda: None, finish_s: float = PATIENCE_S) -> SinkThreads:
    threads = SinkThreads(on_gone=on_gone, wall=lambda: 5.0, retry_s=0.01, finish_s=finish_s)
    threads.attach(sinks, in_threads=True)
    return threads


def event(text: str, kind: str = SIGHTING, *, is_update: bool = False) -> Event:
    return Event(kind, 1.0, text, is_update=is_update)


def show(threads: SinkThreads, *numbers: int) -> None:
    for number in numbers:
        threads.show(decision(number=number), frame(number))


def test_a_sink_that_hangs_holds_neither_the_loop_nor_another_sink() -> None:
    hung, well = HeldSink(), HeldSink(name="well")
    well.release.set()
    threads = live(hung, well)
    show(threads, *range(5))  # returns
    hung.release.set()
    assert threads.close() is None
    assert well.got == hung.got == [0, 1, 2, 3, 4]


def test_of_decisions_that_wait_for_a_view_only_the_newest_is_kept() -> None:
    view = HeldSink(NEWEST)
    threads = live(view)
    show(threads, 0)
    assert view.entered.wait(PATIENCE_S)
    show(threads, 1, 2, 3)
    assert threads.health()["held"].lost == 0  # nothing that anybody asked to keep
    view.release.set()
    threads.close()
    assert view.got == [0, 3]


def test_a_full_backlog_loses_its_oldest_and_counts_them() -> None:
    sink = HeldSink(2)
    threads = live(sink)
    show(threads, 0)
    assert sink.entered.wait(PATIENCE_S)
    show(threads, 1, 2, 3, 4)
    assert (threads.health()["held"].lost, threads.health()["held"].waiting) == (2, 2)
    sink.release.set()
    threads.close()
    assert sink.got == [0, 3, 4]


def test_decisions_and_events_keep_their_order() -> None:
    sink = HeldSink()
    threads = live(sink)
    show(threads, 0)
    threads.tell(event("roses"))
    show(threads, 1)
    sink.release.set()
    threads.close()
    assert sink.got == [0, "roses", 1]


def test_of_updates_of_an_event_only_the_newest_waits() -> None:
    sink = HeldSink()
    threads = live(sink)
    show(threads, 0)
    assert sink.entered.wait(PATIENCE_S)
    threads.tell(event("no picture", NO_PICTURE))
    for seconds in range(1, 4):
        threads.tell(event(f"{seconds} s", NO_PICTURE, is_update=True))
    sink.release.set()
    threads.close()
    assert sink.got == [0, "no picture", "3 s"]


def test_events_are_bounded_too() -> None:
    sink = HeldSink()
    threads = live(sink)
    show(threads, 0)
    assert sink.entered.wait(PATIENCE_S)
    for number in range(MOST_EVENTS + 3):
        threads.tell(event(str(number)))
    assert (threads.health()["held"].lost, threads.health()["held"].waiting) == (3, MOST_EVENTS)
    sink.release.set()
    threads.close()
    assert sink.got[1] == "3"


@pytest.mark.parametrize(("needs_picture", "shape"), [(True, (48, 64, 3)), (False, (1, 1, 3))], ids=["view", "log"])
def test_pictures_wait_only_for_who_needs_them(needs_picture: bool, shape: tuple[int, ...]) -> None:
    sink = HeldSink(needs_picture=needs_picture)
    sink.release.set()
    threads = live(sink)
    show(threads, 0)
    threads.close()
    assert sink.pictures == [shape]


def test_all_calls_to_a_sink_come_from_one_thread() -> None:
    sink = HeldSink()
    sink.release.set()
    threads = live(sink)
    show(threads, 0, 1)
    threads.tell(event("roses"))
    threads.close()
    assert len(sink.threads) == 1
    assert threading.get_ident() not in sink.threads


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(OutputError("answers.jsonl: the disk is full"), "answers.jsonl: the disk is full"), (OSError(5, "I/O"), "I/O")],
    ids=["of a person", "of the system"],
)
def test_a_sink_that_fails_gets_the_same_item_again_and_the_others_hear_of_it(failure: Exception, reason: str) -> None:
    failing, log = FailingSink(failure, failure), HeldSink(name="log")
    log.release.set()
    threads = live(failing, log)
    show(threads, 0, 1)
    assert failing.delivered.wait(PATIENCE_S)
    assert threads.close() is None
    assert failing.got == [0, 1]
    told = [text for text in log.got if isinstance(text, str)]
    assert len(told) == 2  # once that it fails, once that it works again
    assert reason in told[0]
    assert told[1] == "failing works again"


def test_what_the_others_hear_names_the_output() -> None:
    kinds: list[tuple[str, object]] = []

    class Listener(HeldSink):
        def show(self, decision: Decision, frame: Frame) -> None:
            pass

        def tell(self, event: Event) -> None:
            kinds.append((event.kind, event.data.get("output")))

    failing = FailingSink(OutputError("full"))
    threads = live(failing, Listener(name="log"))
    show(threads, 0, 1)
    assert failing.delivered.wait(PATIENCE_S)
    threads.close()
    assert kinds == [(OUTPUT_FAILED, "failing"), (OUTPUT_BACK, "failing")]


def test_a_sink_that_fails_to_the_end_is_an_error_that_says_what_is_lost() -> None:
    failing = FailingSink(*[OutputError("answers.jsonl: the disk is full")] * 1000)
    threads = live(failing)
    show(threads, 0, 1, 2)
    error = threads.close()
    assert str(error) == "answers.jsonl: the disk is full; 3 items for failing are lost"


def test_a_sink_that_never_returns_is_left_behind() -> None:
    hung = HeldSink()
    threads = live(hung, finish_s=0.05)
    show(threads, 0, 1)
    assert hung.entered.wait(PATIENCE_S)
    error = threads.close()
    hung.release.set()
    assert str(error) == "held: did not finish within 0.05 s; 1 items are lost"


def test_a_reader_that_has_gone_ends_the_run_and_is_no_error() -> None:
    gone = threading.Event()
    sink = FailingSink(BrokenPipeError())
    threads = live(sink, on_gone=gone.set)
    show(threads, 0)
    assert gone.wait(PATIENCE_S)
    show(threads, 1)
    assert threads.close() is None
    assert sink.got == []


def test_a_defect_of_a_sink_ends_the_run_and_keeps_its_traceback() -> None:
    gone = threading.Event()
    threads = live(FailingSink(ZeroDivisionError("ours")), on_gone=gone.set)
    show(threads, 0)
    assert gone.wait(PATIENCE_S)
    with pytest.raises(ZeroDivisionError, match="ours"):
        threads.close()


def test_from_files_sinks_are_called_at_once_and_their_failures_raise() -> None:
    sink = FailingSink(OutputError("full"))
    threads = SinkThreads(on_gone=lambda: None)
    threads.attach([sink], in_threads=False)
    with pytest.raises(OutputError, match="full"):
        show(threads, 0)
    show(threads, 1)
    threads.tell(event("roses"))
    assert sink.got == [1, "roses"]
    assert threads.health() == {}
    assert threads.close() is None
    assert sink.threads == {threading.get_ident()}
