"""Sightings: what was in front of the camera, from when to when."""

from __future__ import annotations

import pytest

from edge.contract.event import SIGHTING, SIGHTING_BEGAN, Event
from edge.live.sightings import Sightings
from tests.edge.fakes import decision

ROSES, TULIPS, UNSURE = (0.1, 0.8, 0.1), (0.0, 0.1, 0.9), (0.4, 0.3, 0.3)
START = 1_800_000_000.0


def seen(*scene: tuple[float, tuple[float, float, float]], shortest_s: float = 1.0) -> list[Event]:
    """The events of frames captured at these seconds."""
    sightings, events = Sightings(shortest_s), []
    for at, values in scene:
        one = decision(values, threshold=0.5, time=START + at + 0.007)  # 7 ms old when answered
        events += sightings.add(one)
    return events + sightings.end()


def test_a_label_held_for_a_second_begins_and_ends() -> None:
    events = seen((0.0, ROSES), (0.5, ROSES), (1.0, ROSES), (1.5, TULIPS))
    assert [event.kind for event in events] == [SIGHTING_BEGAN, SIGHTING]
    data = events[1].data
    assert (data["label"], data["seconds"], data["probability"]) == ("roses", 1.0, 0.8)
    assert data["from"] == "2027-01-15T08:00:00.000Z"
    assert data["to"] == "2027-01-15T08:00:01.000Z"


def test_it_says_so_in_one_line() -> None:
    text = seen(*((second, ROSES) for second in (0, 1, 2)))[-1].text
    assert text.startswith("roses from ")
    assert text.endswith(", 0.80")


@pytest.mark.parametrize(
    "scene",
    [
        ((0.0, ROSES), (0.9, ROSES), (1.0, TULIPS)),
        ((0.0, UNSURE), (1.0, UNSURE), (1.9, UNSURE)),
        ((0.0, ROSES), (0.5, UNSURE), (1.0, ROSES), (1.5, UNSURE)),
        ((0.0, ROSES), (5.0, ROSES)),
    ],
    ids=["too short", "unknown", "broken by unknown", "a gap"],
)
def test_what_is_not_held_for_a_second_is_no_sighting(scene: tuple[tuple[float, tuple[float, float, float]]]) -> None:
    assert seen(*scene) == []


def test_a_gap_ends_a_sighting_at_its_last_picture() -> None:
    events = seen((0.0, ROSES), (1.0, ROSES), (9.0, ROSES), (10.0, ROSES))
    assert [event.data.get("seconds") for event in events] == [None, 1.0, None, 1.0]


def test_labels_in_turn_are_sightings_in_turn() -> None:
    events = seen((0.0, ROSES), (1.0, ROSES), (2.0, TULIPS), (3.0, TULIPS))
    assert [event.data["label"] for event in events if event.kind == SIGHTING] == ["roses", "tulips"]


def test_the_probability_is_the_mean_over_its_frames() -> None:
    events = seen((0.0, (0.1, 0.7, 0.2)), (0.5, (0.1, 0.9, 0.0)), (1.0, (0.1, 0.8, 0.1)))
    assert events[-1].data["probability"] == pytest.approx(0.8)
