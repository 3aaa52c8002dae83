"""Decisions, events and health to an MQTT broker, and to Home Assistant through it.

Out, below the topic prefix of the address, as JSON but for the last:
  state         {"label": "roses", "probability": 0.97, "unknown": false, "probabilities": {"roses": 0.97, ...},
                 "captured": "2026-11-23T06:50:00.123Z", "age_ms": 7.2, "picture": true, "reason": null}
                With the ten best probabilities, and where the answer is unknown "nearest": {"label", "probability"}.
                Retained; published when the answer shown changes, and at least every `every_s`. Without a picture all
                is null but "reason", and "picture" is false, so that no old answer passes for one about now.
  event         one object for each event as in JSON lines, and its "number", counted from 1 in each run. QoS 1: each
                arrives at least once; a repeated number is one that came twice, a missing one was dropped.
  health        edge.contract.health.Health, retained; once a minute, and when a picture is missing or back.
  availability  "online" or "offline", retained; "offline" is also the last will.

Nothing here waits for the network. While the broker is away the newest 1000 events wait and the rest is left out, since
only its newest value matters; all of it is published when the connection is back. That it went, why, and how many
events were dropped is told through `tell_others`, in the thread that calls the sink.
"""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from edge.contract.decision import Decision
from edge.contract.event import (
    MODEL_CHANGED,
    NO_PICTURE,
    OUTPUT_BACK,
    OUTPUT_FAILED,
    PICTURE_BACK,
    Event,
    Tell,
    iso_utc,
)
from edge.contract.frame import Clock, Frame, Sleep
from edge.contract.health import Health, OutputHealth
from edge.contract.result import nearest_record
from edge.contract.sink import NEWEST
from edge.errors import OutputError, UsageError
from edge.sinks.mqtt.address import BrokerAddress, topic_fault
from edge.sinks.mqtt.discovery import EXPIRE_S, Device
from edge.sinks.mqtt.link import PahoLink
from edge.sinks.mqtt.message import Link, Message
from edge.sinks.mqtt.outbox import Outbox

MOST_EVENTS = 1000  # that wait while the broker is away
MOST_PROBABILITIES = 10  # best first
HEALTH_S = 60.0
GREETING_S = 5.0  # Home Assistant's greeting is not answered more often
FINISH_S, SLICE_S = 3.0, 0.02  # that the events have to go out at the end
GOODBYE_S = 1.0
ONLINE, OFFLINE = b"online", b"offline"


class MqttSink:
    """Publishes below the topic of `url`; see edge.sinks.mqtt.address for its form.

    `discovery` is Home Assistant's discovery prefix, None to tell it nothing. `client_id` must be another one for each
    run on the same broker; by default it comes from the host's name and the topic. Raises UsageError for an address
    that cannot be meant, DependencyError without paho-mqtt; a broker that is not there is no error.
    """

    name = "mqtt"
    backlog = NEWEST
    needs_picture = False

    def __init__(
        self,
        url: str,
        *,
        health: Callable[[], Health],
        tell_others: Tell,
        client_id: str | None = None,
        discovery: str | None = "homeassistant",
        every_s: float = 10.0,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
        sleep: Sleep = time.sleep,
        environment: Mapping[str, str] | None = None,
        new_link: Callable[[BrokerAddress, str, Message], Link] = PahoLink,
    ) -> None:
        self._address = BrokerAddress.parse(url, environment)
        self._discovery = _checked_discovery(discovery)
        if not 0 < every_s <= EXPIRE_S / 2:
            raise UsageError(f"--mqtt-every-s is {every_s:g}; expected more than 0 and at most {EXPIRE_S // 2} seconds")
        client_id = client_id or _usual_client_id(self._address.prefix)
        self._identity = "flora_" + _digest(f"{self._address.prefix}\n{client_id}")
        self._health, self._tell_others, self._every_s = health, tell_others, every_s
        self._clock, self._wall, self._sleep = clock, wall, sleep
        self._events = Outbox(self._publish_event, limit=MOST_EVENTS)
        self._numbered = 0
        self._decision: Decision | None = None  # what is shown; None while there is no picture
        self._reason: str | None = "starting"  # why there is none
        self._told: str | None = None  # the answer that was published last
        self._state_due_at = self._health_due_at = clock()
        self._greeted_at = -GREETING_S + clock()
        self._trouble: str | None = None
        self._news: deque[Event] = deque()  # of the network's thread, for `tell_others`
        self._is_open = self._is_up = self._has_tried = self._is_closed = False
        will = Message(self._topic("availability"), OFFLINE, qos=1, is_retained=True)
        self._link = new_link(self._address, client_id, will)
        self._link.on_up, self._link.on_down = self._up, self._down
        self._link.on_sent, self._link.on_message = self._events.confirm, self._greeted

    @property
    def trouble(self) -> OutputHealth:
        """Events lost and waiting, and why the broker is not reached; from any thread."""
        return OutputHealth(self._events.lost, self._events.waiting, self._trouble)

    def show(self, decision: Decision, frame: Frame) -> None:
        self._open()
        self._decision, self._reason = decision, None
        if decision.shown != self._told:
            self._state_due_at = self._clock()
        self._publish_what_is_due()
        self._pass_on_news()

    def tell(self, event: Event) -> None:
        self._open()
        if event.kind == NO_PICTURE:
            self._decision, self._reason = None, event.text
        if event.kind in (NO_PICTURE, PICTURE_BACK) and not event.is_update:
            self._state_due_at = self._health_due_at = self._clock()
        if not event.is_update:
            self._numbered += 1
            self._events.put(_json({"number": self._numbered, **event.record()}))
        if event.kind == MODEL_CHANGED and self._is_up:
            self._introduce()  # its labels may be others
        self._publish_what_is_due()
        self._pass_on_news()

    def close(self) -> None:
        """Wait for the events to go out, but not long, and say goodbye. Raises OutputError if some have not gone."""
        if self._is_closed:
            return
        deadline = self._clock() + FINISH_S
        while self._events.waiting and self._may_connect() and self._clock() < deadline:
            self._sleep(SLICE_S)
        self._is_closed = True
        self._decision, self._reason = None, "stopped"
        if self._is_up:
            self._publish_state()
            self._publish("availability", OFFLINE, qos=1)
        self._link.close(GOODBYE_S)
        self._pass_on_news()
        if waiting := self._events.waiting:
            raise OutputError(f"{self._address}: events that were not sent before the end: {waiting}")

    def _open(self) -> None:
        """Connect, once the run has begun: only then can anybody be told that there is no broker."""
        if not self._is_open:
            self._is_open = True
            self._link.open()

    def _pass_on_news(self) -> None:
        while self._news:
            self._tell_others(self._news.popleft())

    def _may_connect(self) -> bool:
        return self._is_up or not self._has_tried

    # In the network's thread

    def _up(self) -> None:
        if self._is_closed:
            return
        self._is_up = self._has_tried = True
        self._introduce()
        if self._discovery:
            self._link.subscribe(f"{self._discovery}/status")
        self._events.up()
        if self._trouble is not None:
            self._trouble, lost = None, self._events.lost
            text = f"mqtt works again; {lost} events lost" if lost else "mqtt works again"
            self._news.append(Event(OUTPUT_BACK, self._wall(), text, {"output": self.name, "lost": lost}))

    def _down(self, reason: str) -> None:
        self._is_up, self._has_tried = False, True
        self._events.down()
        if self._trouble is None and not self._is_closed:
            self._fail(f"{self._address}: {reason}; trying again")

    def _fail(self, reason: str) -> None:
        self._trouble = reason
        self._news.append(Event(OUTPUT_FAILED, self._wall(), reason, {"output": self.name, "reason": reason}))

    def _greeted(self, payload: bytes) -> None:
        """Home Assistant has started and wants to know what there is. Anything else on its topic is not for us."""
        now = self._clock()
        if payload == ONLINE and self._is_up and now - self._greeted_at >= GREETING_S:
            self._greeted_at = now
            self._introduce()

    def _introduce(self) -> None:
        """Everything that is retained, with "online" last: what comes before it is about now."""
        self._publish_state()
        health = self._publish_health()
        if self._discovery:
            device = Device(self._identity, self._address.prefix, health.model, health.labels)
            for topic, payload in device.entities(self._discovery):
                self._link.publish(Message(topic, payload, is_retained=True))
        self._publish("availability", ONLINE)
        # The loop's thread may have published something newer meanwhile, which the above has overtaken.
        self._state_due_at = self._health_due_at = self._clock()

    # In either thread

    def _publish_what_is_due(self) -> None:
        if not self._is_up:
            return  # it is all due once the link is up
        now = self._clock()
        if now >= self._state_due_at:
            self._state_due_at = now + self._every_s
            self._publish_state()
        if now >= self._health_due_at:
            self._health_due_at = now + HEALTH_S
            self._publish_health()

    def _publish_state(self) -> None:
        decision, reason = self._decision, self._reason
        self._told = decision.shown if decision else None
        self._publish("state", _json(_answer(decision) if decision else {**NO_ANSWER, "reason": reason}))

    def _publish_health(self) -> Health:
        health = self._health()
        self._publish("health", _json(health.record()))
        return health

    def _publish(self, topic: str, payload: bytes, qos: int = 0) -> None:
        self._link.publish(Message(self._topic(topic), payload, qos, is_retained=True))

    def _publish_event(self, payload: bytes) -> int | None:
        return self._link.publish(Message(self._topic("event"), payload, qos=1))

    def _topic(self, name: str) -> str:
        return f"{self._address.prefix}/{name}"


NO_ANSWER: Mapping[str, Any] = {
    "label": None,
    "probability": None,
    "unknown": None,
    "probabilities": None,
    "captured": None,
    "age_ms": None,
    "picture": False,
}


def _answer(decision: Decision) -> dict[str, Any]:
    return {
        "label": decision.label,
        "probability": round(decision.probability, 6),
        "unknown": decision.is_unknown,
        "probabilities": {label: round(value, 6) for label, value in decision.top(MOST_PROBABILITIES)},
        "captured": iso_utc(decision.captured),
        "age_ms": round(decision.age_ms, 3),
        "picture": True,
        "reason": None,
    } | nearest_record(decision)


def _json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record).encode("ascii")


def _checked_discovery(prefix: str | None) -> str | None:
    if prefix and (fault := topic_fault(prefix)):
        raise UsageError(
            f"--mqtt-discovery: {fault}; expected a topic such as homeassistant, or nothing to turn it off"
        )
    return prefix or None


def _usual_client_id(prefix: str) -> str:
    """At most 23 letters and digits: the only ones that every broker must take."""
    return "flora" + _digest(f"{socket.gethostname()}\n{prefix}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
