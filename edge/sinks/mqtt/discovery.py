"""What tells Home Assistant which entities this device has.

In:  the topic prefix, an identity, the labels, the model's file name.
Out: (topic, payload) pairs, to be published retained; an empty payload on such a topic removes the entity again.

The format is Home Assistant's MQTT discovery, as its documentation of the `mqtt`, `sensor.mqtt` and
`binary_sensor.mqtt` integrations had it in 2026:
* one retained JSON object for each entity on <discovery prefix>/<component>/<object id>/config, the object id of
  [a-zA-Z0-9_-] and best equal to the `unique_id`. A single topic for the whole device exists since 2024.12; the one for
  each entity is understood by every release, and by openHAB, and is not going away.
* entities with the same `device.identifiers` are one device; `origin.name` says what program is behind it.
* `availability_topic` carries "online" or "offline"; an entity without one is always shown as available, so the
  sensor for the connection has none and shows "off" instead.
* a template that renders "None" makes a sensor's state "unknown", so the answer of that name is shown as another word;
  an `enum` sensor has `options`, and no unit; `expire_after` is in whole seconds; a diagnostic entity has
  `entity_category: diagnostic`.
* the state of an entity is at most 255 characters.
* on its start Home Assistant publishes "online" on <discovery prefix>/status.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import edge
from edge.contract.rejection import NOTHING_KNOWN, said

MOST_OPTIONS = 100  # labels; the thousand of ImageNet are told one at a time
LONGEST_STATE = 255  # characters
EXPIRE_S = 300  # a value that nothing has renewed for so long is not shown any more


@dataclass(frozen=True)
class Device:
    """This device, as Home Assistant is to know it."""

    identity: str  # of [a-zA-Z0-9_-], the same after every start
    prefix: str  # topic
    model: str  # file name
    labels: Sequence[str]

    def entities(self, discovery: str) -> Iterator[tuple[str, bytes]]:
        """(topic, JSON) of every entity, below the discovery prefix."""
        for component, key, config in (*self._answer(), *self._connections(), *self._diagnostics()):
            unique_id = f"{self.identity}_{key}"
            record = {"unique_id": unique_id, **config, "device": self._device(), "origin": _origin()}
            yield f"{discovery}/{component}/{unique_id}/config", json.dumps(record).encode("ascii")

    def _answer(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        state = f"{self.prefix}/state"
        shown = f"('{NOTHING_KNOWN}' if value_json.unknown else value_json.label) or none | string"
        label: dict[str, Any] = {
            "name": "Answer",
            "icon": "mdi:flower",
            "value_template": f"{{{{ ({shown})[:{LONGEST_STATE}] }}}}",
            "json_attributes_topic": state,
        }
        options = list(dict.fromkeys((*map(said, self.labels), NOTHING_KNOWN)))
        if len(options) <= MOST_OPTIONS and all(0 < len(option) <= LONGEST_STATE for option in options):
            label |= {"device_class": "enum", "options": options}
        probability: dict[str, Any] = {
            "name": "Probability",
            "icon": "mdi:percent",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "suggested_display_precision": 0,
            "value_template": _number("value_json.probability", "* 100"),
        }
        for key, config in (("label", label), ("probability", probability)):
            yield "sensor", key, config | self._fresh(state)

    def _connections(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        picture = {
            "name": "Picture",
            "device_class": "connectivity",
            "value_template": "{{ 'ON' if value_json.picture else 'OFF' }}",
        }
        yield "binary_sensor", "picture", picture | self._fresh(f"{self.prefix}/state") | _DIAGNOSTIC
        connection = {
            "name": "Connection",
            "device_class": "connectivity",
            "state_topic": f"{self.prefix}/availability",
            "payload_on": "online",
            "payload_off": "offline",
        }
        yield "binary_sensor", "connection", connection | _DIAGNOSTIC

    def _diagnostics(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        age = "(value_json.age_ms or {}).get('p95')"
        for key, name, unit, device_class, value in (
            ("fps", "Frames per second", "fps", None, "value_json.fps"),
            ("age", "Age of answers (p95)", "ms", "duration", age),
            ("temperature", "Temperature", "°C", "temperature", "value_json.temperature_c"),
        ):
            config = {
                "name": name,
                "unit_of_measurement": unit,
                "state_class": "measurement",
                "suggested_display_precision": 1,
                "value_template": _number(value),
            }
            config |= {"device_class": device_class} if device_class else {}
            yield "sensor", key, config | self._fresh(f"{self.prefix}/health") | _DIAGNOSTIC

    def _fresh(self, topic: str) -> dict[str, Any]:
        """From this topic, and only as long as it is about now."""
        return {
            "state_topic": topic,
            "availability_topic": f"{self.prefix}/availability",
            "expire_after": EXPIRE_S,
        }

    def _device(self) -> dict[str, Any]:
        return {
            "identifiers": [self.identity],
            "name": f"Flora {self.prefix.removeprefix('flora/')}",
            "manufacturer": "Flora",
            "model": self.model,
            "sw_version": edge.__version__,
        }


_DIAGNOSTIC = {"entity_category": "diagnostic"}


def _origin() -> dict[str, Any]:
    return {"name": "Flora", "sw_version": edge.__version__}


def _number(value: str, change: str = "") -> str:
    """A template that renders a number, or None where there is none yet."""
    return f"{{{{ {value} {change} if {value} is number else none }}}}".replace("  ", " ")
