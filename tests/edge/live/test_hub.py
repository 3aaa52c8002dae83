"""The hub: who hears what is told, from when on and in which order."""

from __future__ import annotations

from edge.contract.event import NO_PICTURE, OUTPUT_FAILED, SIGHTING, SIGHTING_BEGAN, Event
from edge.live.hub import Hub
from tests.edge.fakes import FakeClassifier, FakeClock, FakeSink, FakeSource, decision

START = 1_800_000_000.0


def hub_with(sink: FakeSink) -> Hub:
    hub = Hub(clock=FakeClock(), wall=lambda: START)
    hub.sinks.attach([sink], in_threads=False)
    return hub


def gap(is_update: bool = False) -> Event:
    return Event(NO_PICTURE, START + 9, "no picture for 4 s", {"reason": "cable"}, is_update)


def see_roses(hub: Hub) -> None:
    for second in range(3):
        hub.sight(decision(time=START + second))


def test_before_sinks_are_attached_the_monitor_alone_hears() -> None:
    hub, sink = Hub(clock=FakeClock(), wall=lambda: START), FakeSink()
    hub.tell(gap())
    hub.sinks.attach([sink], in_threads=False)
    assert sink.told == []
    health = hub.health(FakeClassifier(), FakeSource(FakeClock(), 0))
    assert (health.state, health.reason) == ("no picture", "cable")


def test_all_that_is_told_later_goes_to_the_sinks_in_its_order() -> None:
    sink = FakeSink()
    hub = hub_with(sink)
    hub.tell(gap())
    hub.tell(Event(OUTPUT_FAILED, START, "web: gone"))
    assert [event.kind for event in sink.told] == [NO_PICTURE, OUTPUT_FAILED]


def test_a_gap_ends_what_was_seen_before_it_is_told() -> None:
    sink = FakeSink()
    hub = hub_with(sink)
    see_roses(hub)
    hub.tell(gap())
    assert [event.kind for event in sink.told] == [SIGHTING_BEGAN, SIGHTING, NO_PICTURE]


def test_that_a_gap_goes_on_ends_nothing() -> None:
    sink = FakeSink()
    hub = hub_with(sink)
    see_roses(hub)
    hub.tell(gap(is_update=True))
    assert [event.kind for event in sink.told] == [SIGHTING_BEGAN, NO_PICTURE]


def test_health_is_that_of_the_classifier_and_the_source() -> None:
    health = hub_with(FakeSink()).health(FakeClassifier(), FakeSource(FakeClock(), 0))
    assert (health.model, health.labels) == ("fake.tflite", ("daisy", "roses", "tulips"))
    assert (health.source, health.dropped, health.state) == ("camera 0", 3, "starting")
