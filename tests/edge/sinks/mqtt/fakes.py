"""A link without a broker, and what a run says of itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from edge.base.intervals import Percentiles
from edge.contract.health import LIVE, Health
from edge.sinks.mqtt.address import BrokerAddress
from edge.sinks.mqtt.message import Message
from tests.edge.fakes import LABELS


class FakeLink:
    """Keeps what was published; goes up and down when the test says so."""

    on_up: Callable[[], None]
    on_down: Callable[[str], None]
    on_sent: Callable[[int], None]
    on_message: Callable[[bytes], None]

    def __init__(self, address: BrokerAddress, client_id: str, will: Message) -> None:
        self.address, self.client_id, self.will = address, client_id, will
        self.sent: list[Message] = []
        self.subscribed: list[str] = []
        self.opened = 0
        self.closed = 0

    def open(self) -> None:
        self.opened += 1

    def publish(self, message: Message) -> int | None:
        self.sent.append(message)
        return len(self.sent)

    def subscribe(self, topic: str) -> None:
        self.subscribed.append(topic)

    def close(self, timeout_s: float) -> None:
        self.closed += 1
        self.on_down("the connection was lost (Normal disconnection)")

    def take(self) -> list[tuple[str, Any]]:
        """(topic, payload) of what was published since the last time, JSON read."""
        taken, self.sent = self.sent, []
        return [(message.topic, read(message.payload)) for message in taken]


def read(payload: bytes) -> Any:
    return json.loads(payload) if payload.startswith(b"{") else payload.decode()


def health(**changes: Any) -> Health:
    return Health(
        **{
            "time": 1_800_000_000.5,
            "uptime_s": 60.0,
            "state": LIVE,
            "reason": None,
            "model": "flowers.tflite",
            "labels": LABELS,
            "source": "camera 0",
            "picture_age_s": 0.1,
            "fps": 12.5,
            "age_ms": Percentiles(20.0, 30.0, 40.0),
            **changes,
        }
    )


def join_links(client_id: str, timeout_s: float) -> None:
    """Wait for the threads of closed links whose ids begin like this, so that none outlives its test."""
    for thread in threading.enumerate():
        if thread.name.startswith(f"paho-mqtt-client-{client_id}"):
            thread.join(timeout_s)
