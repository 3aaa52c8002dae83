"""Events: what a program reads of them."""

from __future__ import annotations

import json

import pytest

from edge.contract.event import SIGHTING, Event, iso_utc


def test_an_event_as_json_is_one_flat_object() -> None:
    event = Event(SIGHTING, 1_800_000_000.5, "roses", {"label": "roses", "seconds": 2.0})
    assert json.loads(json.dumps(event.record())) == {
        "event": "sighting", "time": "2027-01-15T08:00:00.500Z", "epoch": 1_800_000_000.5, "text": "roses",
        "label": "roses", "seconds": 2.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("epoch_s", "text"), [(0.0, "1970-01-01T00:00:00.000Z"), (0.9996, "1970-01-01T00:00:00.999Z")], ids=["zero", "cut"]
)
def test_times_are_utc_to_the_millisecond(epoch_s: float, text: str) -> None:
    assert iso_utc(epoch_s) == text
