"""Messages that must arrive, over a link that comes and goes."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

from edge.sinks.mqtt.outbox import Outbox


class Wire:
    """Takes payloads; numbers them from 1 as MQTT does."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.is_full = False

    def publish(self, payload: bytes) -> int | None:
        if self.is_full:
            return None
        self.taken.append(payload)
        return len(self.taken)


def payloads(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last + 1)]


def outbox(wire: Wire, *, limit: int = 5, in_flight: int = 2) -> Outbox:
    return Outbox(wire.publish, limit=limit, in_flight=in_flight)


def put_all(box: Outbox, first: int, last: int) -> None:
    for payload in payloads(first, last):
        box.put(payload)


def test_what_is_put_while_the_link_is_down_goes_once_it_is_up() -> None:
    wire = Wire()
    box = outbox(wire)
    put_all(box, 1, 2)
    assert wire.taken == []
    assert box.waiting == 2
    box.up()
    assert wire.taken == payloads(1, 2)


def test_only_so_many_go_unconfirmed_and_each_confirmation_lets_the_next_go() -> None:
    wire = Wire()
    box = outbox(wire)
    box.up()
    put_all(box, 1, 5)
    assert wire.taken == payloads(1, 2)
    box.confirm(1)
    assert wire.taken == payloads(1, 3)
    assert box.waiting == 4
    for number in range(2, 6):
        box.confirm(number)
    assert wire.taken == payloads(1, 5)
    assert box.waiting == 0


def test_beyond_the_limit_the_oldest_is_dropped_and_counted() -> None:
    wire = Wire()
    box = outbox(wire, limit=3)
    put_all(box, 1, 5)
    assert (box.waiting, box.lost) == (3, 2)
    box.up()
    box.confirm(1)
    assert wire.taken == payloads(3, 5)


def test_nothing_new_goes_before_the_link_has_repeated_what_it_had() -> None:
    wire = Wire()
    box = outbox(wire)
    box.up()
    put_all(box, 1, 2)
    box.down()
    put_all(box, 3, 4)
    box.up()
    assert wire.taken == payloads(1, 2)
    box.confirm(1)
    assert wire.taken == payloads(1, 2)
    box.confirm(2)
    assert wire.taken == payloads(1, 4)


def test_numbers_of_other_messages_confirm_nothing() -> None:
    wire = Wire()
    box = outbox(wire)
    box.up()
    put_all(box, 1, 3)
    box.confirm(99)
    assert wire.taken == payloads(1, 2)


def test_what_the_link_does_not_take_is_kept_in_its_place() -> None:
    wire = Wire()
    box = outbox(wire)
    box.up()
    wire.is_full = True
    put_all(box, 1, 2)
    wire.is_full = False
    box.pump()
    assert wire.taken == payloads(1, 2)


def test_what_the_link_does_not_take_counts_as_dropped_when_its_place_has_gone() -> None:
    wire = Wire()
    box = outbox(wire, limit=1)

    def full(payload: bytes) -> int | None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(box, "pump", lambda: None)
            box.put(b"newer")
        return None

    box._publish = full
    box.up()
    box.put(b"older")
    assert (box.waiting, box.lost) == (1, 1)


class LastMoment:
    """A lock; something happens in another thread just before it is released for the first time."""

    def __init__(self, happen: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._happen: Callable[[], None] | None = happen

    def acquire(self, blocking: bool) -> bool:
        return self._lock.acquire(blocking)

    def release(self) -> None:
        happen, self._happen = self._happen, None
        if happen:
            happen()
        self._lock.release()


def test_what_is_confirmed_while_another_thread_is_about_to_leave_is_not_overlooked() -> None:
    wire = Wire()
    box = outbox(wire)
    box.up()
    put_all(box, 1, 2)
    box._turn = LastMoment(lambda: box.confirm(1))  # type: ignore[assignment]
    box.put(b"3")
    assert wire.taken == payloads(1, 3)


def test_a_link_that_confirms_from_another_thread_gets_all_in_order() -> None:
    """As paho-mqtt does: it confirms with a lock held that publishing needs."""
    link_lock, taken, to_confirm = threading.RLock(), list[bytes](), list[int]()
    is_over = threading.Event()

    def publish(payload: bytes) -> int:
        with link_lock:
            taken.append(payload)
            to_confirm.append(len(taken))
            return len(taken)

    box = Outbox(publish, limit=10_000, in_flight=3)

    def confirm_all() -> None:
        generator = random.Random(0)
        while not is_over.is_set() or box.waiting:
            with link_lock:
                if to_confirm:
                    box.confirm(to_confirm.pop(0))
            if generator.random() < 0.01:
                box.down()
                box.up()

    box.up()
    thread = threading.Thread(target=confirm_all)
    thread.start()
    put_all(box, 1, 2000)
    is_over.set()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert taken == payloads(1, 2000)
    assert (box.waiting, box.lost) == (0, 0)
