"""What goes to an MQTT broker and when, with a link that is none."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from edge.contract.event import MODEL_CHANGED, NO_PICTURE, OUTPUT_BACK, OUTPUT_FAILED, PICTURE_BACK, SIGHTING, Event
from edge.contract.health import OutputHealth
from edge.errors import DependencyError, OutputError, UsageError
from edge.sinks.mqtt.message import Message
from edge.sinks.mqtt.sink import FINISH_S, GREETING_S, HEALTH_S, MOST_EVENTS, MqttSink
from tests.edge.fakes import FakeClock, decision, frame, one_line
from tests.edge.sinks.mqtt.fakes import FakeLink, health

URL = "mqtt://broker/flora/window"
ROSES, DAISY = (0.125, 0.75, 0.125), (0.75, 0.125, 0.125)


class Bench:
    """A sink, its link, its clock, and what it told the others."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.told: list[Event] = []
        self.health = health()
        self.links: list[FakeLink] = []
        self.sink = MqttSink(
            URL,
            health=lambda: self.health,
            tell_others=self.told.append,
            clock=self.clock,
            wall=lambda: 1_800_000_000.5,
            sleep=self.clock.sleep,
            environment={},
            new_link=self._new_link,
            **{"discovery": None, "client_id": "pi", **options},
        )

    def _new_link(self, *arguments: Any) -> FakeLink:
        self.links.append(FakeLink(*arguments))
        return self.links[-1]

    @property
    def link(self) -> FakeLink:
        return self.links[-1]

    def up(self) -> Bench:
        """Connected, and what is published at once taken away."""
        self.sink._open()
        self.link.on_up()
        self.sink._publish_what_is_due()
        self.link.take()
        return self

    def show(self, values: tuple[float, ...] = ROSES, **options: Any) -> list[tuple[str, Any]]:
        self.sink.show(decision(values, **options), frame())
        return self.link.take()

    def tell(self, event: Event) -> list[tuple[str, Any]]:
        self.sink.tell(event)
        return self.link.take()


def event(kind: str = SIGHTING, *, is_update: bool = False, **data: Any) -> Event:
    return Event(kind, 1_800_000_000.5, f"{kind} happened", data, is_update=is_update)


def topics(messages: list[tuple[str, Any]]) -> list[str]:
    return [topic.removeprefix("flora/window/") for topic, _ in messages]


# The state


def test_the_state_is_the_answer_in_json() -> None:
    assert Bench().up().show(ROSES, threshold=0.9) == [
        (
            "flora/window/state",
            {
                "label": "roses",
                "probability": 0.75,
                "unknown": True,
                "probabilities": {"roses": 0.75, "daisy": 0.125, "tulips": 0.125},
                "captured": "2027-01-15T08:00:00.493Z",
                "age_ms": 7.0,
                "picture": True,
                "reason": None,
                "nearest": {"label": "roses", "probability": 0.75},
            },
        )
    ]


def test_the_state_is_retained_and_may_be_lost_for_only_its_newest_value_matters() -> None:
    bench = Bench().up()
    bench.sink.show(decision(), frame())
    assert [(message.qos, message.is_retained) for message in bench.link.sent] == [(0, True)]


def test_the_state_comes_when_the_answer_changes_and_every_so_often() -> None:
    bench = Bench(every_s=10.0).up()
    assert topics(bench.show(ROSES)) == ["state"]
    bench.clock.now += 9.9
    assert bench.show(ROSES) == []
    assert topics(bench.show(DAISY)) == ["state"]
    bench.clock.now += 9.9
    assert bench.show(DAISY) == []
    assert topics(bench.show(DAISY, threshold=0.9)) == ["state"]
    bench.clock.now += 10
    assert topics(bench.show(DAISY, threshold=0.9)) == ["state"]


def test_the_nearest_known_class_is_told_only_where_the_answer_is_unknown() -> None:
    assert "nearest" not in Bench().up().show(ROSES)[0][1]
    found = Bench().up().show((0.75, 0.0625, 0.1875), labels=("unknown", "roses", "tulips"))[0][1]
    assert (found["label"], found["unknown"]) == ("unknown", True)
    assert found["nearest"] == {"label": "tulips", "probability": 0.1875}


def test_of_many_labels_the_ten_most_probable_are_told() -> None:
    labels = tuple(f"label {number}" for number in range(30))
    values = tuple((number + 1) / 465 for number in range(30))
    (_, state), *_ = Bench().up().show(values, labels=labels)
    assert list(state["probabilities"]) == [f"label {number}" for number in range(29, 19, -1)]


def test_without_a_picture_no_answer_is_left_standing() -> None:
    bench = Bench(every_s=10.0).up()
    bench.show()
    sent = bench.tell(event(NO_PICTURE, seconds=4.0))
    assert topics(sent) == ["event", "state", "health"]
    assert sent[1][1] == {
        "label": None,
        "probability": None,
        "unknown": None,
        "probabilities": None,
        "captured": None,
        "age_ms": None,
        "picture": False,
        "reason": "no_picture happened",
    }


def test_while_the_picture_is_missing_the_state_is_renewed_like_any_other() -> None:
    bench = Bench(every_s=10.0).up()
    bench.tell(event(NO_PICTURE))
    assert bench.tell(event(NO_PICTURE, is_update=True)) == []
    bench.clock.now += 10
    assert topics(bench.tell(event(NO_PICTURE, is_update=True))) == ["state"]


def test_the_first_answer_after_a_gap_is_told_at_once_though_it_is_the_old_one() -> None:
    bench = Bench().up()
    bench.show(ROSES)
    bench.tell(event(NO_PICTURE))
    assert topics(bench.tell(event(PICTURE_BACK))) == ["event", "state", "health"]
    (topic, state), *_ = bench.show(ROSES)
    assert (topic, state["label"]) == ("flora/window/state", "roses")


# Health


def test_health_comes_once_a_minute() -> None:
    bench = Bench(every_s=100.0).up()
    bench.show()
    bench.clock.now += HEALTH_S - 0.1
    assert bench.show() == []
    bench.clock.now += 0.1
    ((topic, found),) = bench.show()
    assert topic == "flora/window/health"
    assert found == {**health().record(), "labels": list(health().labels)}


# Events


def test_an_event_is_what_json_lines_have_with_a_number() -> None:
    bench = Bench().up()
    bench.tell(event())
    assert bench.tell(event(label="roses")) == [
        (
            "flora/window/event",
            {
                "number": 2,
                "event": "sighting",
                "time": "2027-01-15T08:00:00.500Z",
                "epoch": 1_800_000_000.5,
                "text": "sighting happened",
                "label": "roses",
            },
        )
    ]


def test_an_event_is_confirmed_and_not_retained() -> None:
    bench = Bench().up()
    bench.sink.tell(event())
    assert [(message.qos, message.is_retained) for message in bench.link.sent] == [(1, False)]


def test_events_wait_for_the_broker_and_the_oldest_beyond_the_bound_are_counted_and_told() -> None:
    bench = Bench()
    for _ in range(MOST_EVENTS + 3):
        assert bench.tell(event()) == []
    bench.link.on_down("no broker answers")
    assert bench.sink.trouble == OutputHealth(3, MOST_EVENTS, f"mqtt://broker:1883/flora/window: {DOWN}")
    bench.link.on_up()
    numbers = []
    while arrived := [message for message in bench.link.sent if message.topic.endswith("event")]:
        numbers += [payload["number"] for topic, payload in bench.link.take() if topic.endswith("event")]
        for number in range(1, len(arrived) + 20):
            bench.link.on_sent(number)
    assert numbers == list(range(4, MOST_EVENTS + 4))
    assert bench.sink.trouble == OutputHealth(3, 0, None)
    bench.show()
    assert [told.record()["event"] for told in bench.told] == [OUTPUT_FAILED, OUTPUT_BACK]
    assert bench.told[1].data == {"output": "mqtt", "lost": 3}
    assert bench.told[1].text == "mqtt works again; 3 events lost"


DOWN = "no broker answers; trying again"

# The connection


def test_nothing_connects_before_the_run_begins() -> None:
    bench = Bench()
    assert bench.link.opened == 0
    bench.show()
    bench.tell(event())
    assert bench.link.opened == 1


def test_while_the_broker_is_away_only_events_are_kept() -> None:
    bench = Bench()
    assert bench.show() == []
    assert bench.tell(event()) == []
    bench.link.on_up()
    sent = bench.link.take()
    assert topics(sent) == ["state", "health", "availability", "event"]
    assert sent[0][1]["label"] == "roses"
    assert sent[2][1] == "online"


def test_a_broker_that_holds_the_answer_of_an_earlier_run_is_told_before_it_hears_online() -> None:
    bench = Bench()
    bench.tell(event())
    bench.link.on_up()
    (topic, state), *_ = bench.link.take()
    assert topic == "flora/window/state"
    assert (state["label"], state["picture"], state["reason"]) == (None, False, "starting")


def test_what_changed_while_the_connection_was_made_is_told_right_after() -> None:
    bench = Bench(every_s=100.0).up()
    bench.show()
    bench.link.on_down("gone")
    bench.link.on_up()
    bench.link.take()
    assert topics(bench.show()) == ["state", "health"]
    assert bench.show() == []


def test_an_outage_is_told_once_with_its_reason_and_so_is_its_end() -> None:
    bench = Bench().up()
    for reason in ("the connection was lost", "no broker answers", "no broker answers"):
        bench.link.on_down(reason)
    assert bench.told == []  # the network's thread leaves it to the one that may call the other sinks
    bench.show()
    reason = "mqtt://broker:1883/flora/window: the connection was lost; trying again"
    assert [(told.kind, told.text, told.data) for told in bench.told] == [
        (OUTPUT_FAILED, reason, {"output": "mqtt", "reason": reason})
    ]
    bench.link.on_up()
    bench.tell(event(NO_PICTURE, is_update=True))
    assert [(told.kind, told.text) for told in bench.told[1:]] == [(OUTPUT_BACK, "mqtt works again")]


def test_the_first_connection_is_no_news() -> None:
    bench = Bench().up()
    bench.show()
    assert bench.told == []


def test_its_own_outage_is_an_event_for_the_broker_too_once_it_is_back() -> None:
    bench = Bench()

    def tell_all(event: Event) -> None:  # as from files, where all sinks are called in the loop's thread
        bench.told.append(event)
        bench.sink.tell(event)

    bench.sink._tell_others = tell_all
    bench.sink.show(decision(), frame())
    bench.link.on_down("no broker answers")
    bench.sink.show(decision(), frame())
    bench.link.on_up()
    bench.sink.show(decision(), frame())
    kinds = [payload["event"] for topic, payload in bench.link.take() if topic.endswith("event")]
    assert kinds == [told.kind for told in bench.told] == [OUTPUT_FAILED, OUTPUT_BACK]


def test_the_last_will_says_offline_and_is_retained() -> None:
    assert Bench().link.will == Message("flora/window/availability", b"offline", 1, True)


# Home Assistant


def test_home_assistant_is_told_before_online_and_again_when_it_starts() -> None:
    bench = Bench(discovery="homeassistant")
    bench.show()
    bench.link.on_up()
    assert bench.link.subscribed == ["homeassistant/status"]
    first = bench.link.take()
    configs = [topic for topic, _ in first if topic.startswith("homeassistant/")]
    assert len(configs) == 7
    assert first[-1] == ("flora/window/availability", "online")
    bench.link.on_message(b"online")
    assert [topic for topic, _ in bench.link.take()] == [topic for topic, _ in first]


def test_all_of_it_is_retained() -> None:
    bench = Bench(discovery="homeassistant")
    bench.show()
    bench.link.on_up()
    assert all(message.is_retained for message in bench.link.sent)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"offline",
        b"Online",
        b"online\0",
        b"\xff\xfe",
        b'{"state": "online"}',
        bytes(range(256)),
        b"online" * 10_000,
    ],
    ids=lambda payload: ascii(payload)[:20],
)
def test_other_bytes_on_its_topic_are_ignored(payload: bytes) -> None:
    bench = Bench(discovery="homeassistant").up()
    bench.clock.now += 100
    bench.link.on_message(payload)
    assert bench.link.take() == []


def test_greetings_that_follow_each_other_are_answered_once() -> None:
    bench = Bench(discovery="homeassistant").up()
    for _ in range(100):
        bench.link.on_message(b"online")
    assert topics(bench.link.take()).count("availability") == 1
    bench.clock.now += GREETING_S
    bench.link.on_message(b"online")
    assert topics(bench.link.take()).count("availability") == 1


def test_a_model_with_other_labels_is_introduced_again() -> None:
    bench = Bench(discovery="homeassistant").up()
    bench.health = health(labels=("oak",))
    sent = dict(bench.tell(event(MODEL_CHANGED)))
    label = next(config for topic, config in sent.items() if topic.endswith("_label/config"))
    assert label["options"] == ["oak", "nothing known"]


@pytest.mark.parametrize("discovery", [None, ""], ids=["None", "empty"])
def test_home_assistant_may_be_left_out(discovery: str | None) -> None:
    bench = Bench(discovery=discovery)
    bench.show()
    bench.link.on_up()
    assert bench.link.subscribed == []
    assert topics(bench.link.take()) == ["state", "health", "availability"]


def test_two_devices_on_a_broker_are_two() -> None:
    names = {(Bench(client_id=client_id).sink._identity) for client_id in ("pi", "laptop")}
    assert len(names) == 2
    assert Bench().sink._identity in names


def test_the_usual_client_id_is_one_that_every_broker_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "garden pi ü")
    found = Bench(client_id=None).link.client_id
    assert found == Bench(client_id=None).link.client_id
    assert found.isascii()
    assert found.isalnum()
    assert len(found) <= 23


# The end


def test_the_end_is_said_and_no_answer_left_standing() -> None:
    bench = Bench().up()
    bench.show()
    bench.sink.close()
    bench.sink.close()
    (_, state), goodbye = bench.link.take()
    assert (state["label"], state["picture"], state["reason"]) == (None, False, "stopped")
    assert goodbye == ("flora/window/availability", "offline")
    assert bench.link.closed == 1
    assert bench.told == []


def test_the_end_waits_for_events_on_their_way_but_not_long() -> None:
    bench = Bench().up()
    bench.tell(event())
    with pytest.raises(OutputError, match="broker:1883/flora/window: events that were not sent before the end: 1"):
        bench.sink.close()
    assert sum(bench.clock.slept) == pytest.approx(FINISH_S, abs=0.05)
    assert bench.link.closed == 1
    bench.sink.close()


def test_the_end_does_not_wait_for_a_broker_that_is_away() -> None:
    bench = Bench()
    bench.tell(event())
    bench.link.on_down("no broker answers")
    with pytest.raises(OutputError, match="not sent before the end: 1"):
        bench.sink.close()
    assert bench.clock.slept == []
    assert bench.link.sent == []


def test_the_end_waits_for_a_first_connection_that_is_still_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.tell(event())

    def sleep(seconds: float) -> None:
        bench.clock.now += seconds
        if not bench.link.sent:
            bench.link.on_up()
            for number in range(1, 10):
                bench.link.on_sent(number)

    monkeypatch.setattr(bench.sink, "_sleep", sleep)
    bench.sink.close()
    assert "event" in topics(bench.link.take())
    assert bench.told == []


# What cannot be


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param({"discovery": "home/#"}, "--mqtt-discovery: the topic holds [+] or #", id="wildcard"),
        pytest.param({"discovery": "home\nassistant"}, "--mqtt-discovery: the topic holds char", id="line break"),
        pytest.param({"every_s": 0.0}, "--mqtt-every-s is 0; expected more than 0", id="no time at all"),
        pytest.param({"every_s": 1000.0}, "--mqtt-every-s is 1000; expected .* at most 150", id="shown as expired"),
    ],
)
def test_impossible_options_are_one_line(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        Bench(**options)
    assert one_line(caught)


@pytest.mark.parametrize("module", ["paho.mqtt.client", "paho.mqtt.enums"], ids=["no package", "an old package"])
def test_a_missing_package_is_one_line_that_names_the_extra(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DependencyError) as caught:
        MqttSink(URL, health=health, tell_others=print, environment={})
    line = "paho-mqtt 2.2 or newer is not installed; --mqtt needs it: pip install 'flora-edge[mqtt]'"
    assert one_line(caught) == line
