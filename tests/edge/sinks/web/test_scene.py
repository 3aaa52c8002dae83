"""What the page knows of a run: bounded, and never old without saying so."""

from __future__ import annotations

import asyncio
import threading

import pytest

from edge.contract.event import NO_PICTURE, PICTURE_BACK, SIGHTING, SIGHTING_BEGAN, Event
from edge.sinks.web.records import event_number
from edge.sinks.web.scene import EVENTS, HISTORY_S, Scene
from tests.edge.fakes import FakeClock, decision, frame


def _sighting(label: str, seconds: float) -> Event:
    return Event(SIGHTING, 1.0, f"{label} seen", {"label": label, "seconds": seconds})


def test_a_picture_takes_the_place_of_the_one_before() -> None:
    scene = Scene()
    for number in (4, 9):
        scene.show(decision(number=number), frame(number))
    assert scene.newest is not None
    assert (scene.newest.serial, scene.newest.decision.frame) == (2, 9)


def test_history_has_one_entry_a_second_with_the_last_answer_of_it() -> None:
    scene = Scene()
    scene.show(decision((0.125, 0.75, 0.125), time=100.1), frame())
    scene.show(decision((0.875, 0.0625, 0.0625), time=100.9), frame())
    scene.show(decision((0.125, 0.75, 0.125), threshold=0.9, time=101.0), frame())
    assert scene.history() == [(100, "daisy", 0.875), (101, "unknown", 0.75)]


def test_months_take_no_more_memory_than_minutes() -> None:
    scene = Scene()
    for second in range(HISTORY_S + 50):
        scene.show(decision(time=float(second)), frame())
        scene.tell(Event("started", float(second), "x"))
    assert (len(scene.history()), len(scene.events())) == (HISTORY_S, EVENTS)
    assert scene.events()[-1][0] == HISTORY_S + 50  # numbers go on


def test_without_a_picture_the_scene_says_for_how_long_until_there_is_one() -> None:
    clock = FakeClock()
    scene = Scene(clock)
    scene.show(decision(), frame())
    scene.tell(Event(NO_PICTURE, 1.0, "no picture for 2 s", {"seconds": 2.0, "reason": "unplugged"}))
    clock.now += 3
    assert scene.stalled() == (5.0, "unplugged")
    scene.show(decision(), frame())
    assert scene.stalled() is None


def test_the_source_coming_back_ends_the_wait() -> None:
    scene = Scene()
    scene.tell(Event(NO_PICTURE, 1.0, "no picture", {"seconds": 2.0, "reason": "x"}))
    scene.tell(Event(PICTURE_BACK, 2.0, "picture back"))
    assert scene.stalled() is None


def test_updates_move_the_clock_but_are_no_events_of_their_own() -> None:
    clock = FakeClock()
    scene = Scene(clock)
    scene.tell(Event(NO_PICTURE, 1.0, "no picture", {"seconds": 2.0, "reason": "unplugged"}))
    scene.tell(Event(NO_PICTURE, 2.0, "no picture", {"seconds": 3.0, "reason": "reopening"}, is_update=True))
    assert scene.stalled() == (3.0, "reopening")
    assert len(scene.events()) == 1
    assert scene.event_counts == {NO_PICTURE: 1}


def test_events_after_a_number_are_those_that_a_client_missed() -> None:
    scene = Scene()
    for text in ("one", "two", "three"):
        scene.tell(Event("started", 1.0, text))
    assert [(number, record["text"]) for number, record in scene.events(1)] == [(2, "two"), (3, "three")]


def test_sightings_are_added_up_by_label() -> None:
    scene = Scene()
    for event in (Event(SIGHTING_BEGAN, 1.0, "x", {"label": "roses"}), _sighting("roses", 2.5), _sighting("roses", 1)):
        scene.tell(event)
    assert scene.sighting_counts == {"roses": 2}
    assert scene.sighting_seconds == {"roses": 3.5}


@pytest.mark.parametrize(
    ("text", "number"),
    [("{boot}-12", 12), ("other-12", 0), ("", 0), ("{boot}-", 0), ("{boot}--1", 0), ("{boot}-9" + "9" * 20, 0),
     ("{boot}-²", 0)],
)  # fmt: skip
def test_the_id_of_another_run_or_nonsense_is_before_all_events(text: str, number: int) -> None:
    boot = Scene().boot
    assert event_number(boot, text.replace("{boot}", boot)) == number


def test_waiting_for_a_picture_ends_when_one_is_shown_by_another_thread() -> None:
    scene = Scene()

    async def wait() -> int | None:
        threading.Timer(0.05, scene.show, (decision(), frame())).start()
        shot = await scene.newer(0, 10.0)
        return shot.serial if shot else None

    assert asyncio.run(wait()) == 1


def test_waiting_for_a_picture_ends_without_one_in_time_or_when_the_run_is_over() -> None:
    scene = Scene()

    async def wait() -> tuple[object, object]:
        late = await scene.newer(0, 0.01)
        threading.Timer(0.05, scene.close).start()
        return late, await scene.newer(0, 10.0)

    assert asyncio.run(wait()) == (None, None)


def test_showing_needs_no_loop_and_survives_one_that_has_ended() -> None:
    scene = Scene()

    async def leave_a_waiter() -> None:
        await scene.newer(0, 0.001)

    asyncio.run(leave_a_waiter())
    scene.show(decision(), frame())
    assert scene.newest is not None
