"""What the broker is asked for with, and how the sink is opened; it is imported only then."""

from __future__ import annotations

from dataclasses import dataclass

from edge.base.options import option
from edge.contract.sink import Opened, Run


@dataclass(frozen=True)
class MqttOptions:
    """Which broker is told, and how often."""

    mqtt: str | None = option(
        None, "answers, events and health to a broker, found by Home Assistant: mqtt://[USER@]HOST[:PORT]/TOPIC; the "
        "password is in the variable FLORA_MQTT_PASSWORD", metavar="URL",
    )  # fmt: skip
    mqtt_discovery: str = option(
        "homeassistant", "where Home Assistant looks for what is there; empty: it is not told", metavar="PREFIX"
    )
    mqtt_every_s: float = option(10.0, "the state goes out when the answer changes, and this often")


def open_mqtt(options: MqttOptions, run: Run) -> Opened | None:
    """None where no broker is named. Raises UsageError and DependencyError."""
    if not options.mqtt:
        return None
    from edge.sinks.mqtt.sink import MqttSink

    sink = MqttSink(
        options.mqtt, health=run.health, tell_others=run.tell, discovery=options.mqtt_discovery or None,
        every_s=options.mqtt_every_s,
    )  # fmt: skip
    return Opened(sink)
