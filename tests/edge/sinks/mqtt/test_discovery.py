"""What Home Assistant is told: the entities, as its documentation wants them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import edge
from edge.sinks.mqtt.discovery import EXPIRE_S, Device

IDENTITY = "flora_0123456789ab"


def configs(labels: tuple[str, ...] = ("daisy", "roses"), prefix: str = "flora/window") -> dict[str, dict[str, Any]]:
    """The configuration of each entity by its topic."""
    device = Device(IDENTITY, prefix, "flowers.tflite", labels)
    return {topic: json.loads(payload) for topic, payload in device.entities("homeassistant")}


def config(key: str, **options: Any) -> dict[str, Any]:
    return next(found for topic, found in configs(**options).items() if topic.endswith(f"_{key}/config"))


def test_each_entity_has_a_topic_of_its_own_named_after_its_unique_id() -> None:
    found = configs()
    assert list(found) == [
        f"homeassistant/{component}/{IDENTITY}_{key}/config"
        for component, key in (
            ("sensor", "label"),
            ("sensor", "probability"),
            ("binary_sensor", "picture"),
            ("binary_sensor", "connection"),
            ("sensor", "fps"),
            ("sensor", "age"),
            ("sensor", "temperature"),
        )
    ]
    for topic, entity in found.items():
        assert topic.split("/")[2] == entity["unique_id"]
        assert re.fullmatch("[a-zA-Z0-9_-]+", entity["unique_id"])


def test_all_entities_are_of_one_device_and_say_who_made_them() -> None:
    for entity in configs().values():
        assert entity["device"] == {
            "identifiers": [IDENTITY],
            "name": "Flora window",
            "manufacturer": "Flora",
            "model": "flowers.tflite",
            "sw_version": edge.__version__,
        }
        assert entity["origin"] == {"name": "Flora", "sw_version": edge.__version__}


def test_the_answer_is_one_of_the_labels_or_nothing_known() -> None:
    assert config("label") == {
        **{key: config("fps")[key] for key in ("device", "origin")},
        "unique_id": f"{IDENTITY}_label",
        "name": "Answer",
        "icon": "mdi:flower",
        "device_class": "enum",
        "options": ["daisy", "roses", "nothing known"],
        "state_topic": "flora/window/state",
        "value_template": (
            "{{ (('nothing known' if value_json.unknown else value_json.label) or none | string)[:255] }}"
        ),
        "json_attributes_topic": "flora/window/state",
        "availability_topic": "flora/window/availability",
        "expire_after": EXPIRE_S,
    }


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        pytest.param(("rose", "unknown"), ["rose", "nothing known"], id="a class of other things"),
        pytest.param(tuple(f"{number}" for number in range(1000)), None, id="a thousand labels"),
        pytest.param(("rose", "x" * 256), None, id="a label that is too long"),
    ],
)
def test_labels_that_do_not_make_a_list_are_told_one_at_a_time(
    labels: tuple[str, ...], options: list[str] | None
) -> None:
    found = config("label", labels=labels)
    assert found.get("options") == options
    assert found.get("device_class") == ("enum" if options else None)


def test_the_connection_is_shown_as_off_where_all_others_become_unavailable() -> None:
    found = config("connection")
    assert "availability_topic" not in found
    assert (found["state_topic"], found["payload_on"], found["payload_off"]) == (
        "flora/window/availability",
        "online",
        "offline",
    )
    others = [entity for entity in configs().values() if entity["name"] != "Connection"]
    assert {entity["availability_topic"] for entity in others} == {"flora/window/availability"}


@pytest.mark.parametrize("key", ["picture", "connection", "fps", "age", "temperature"])
def test_how_the_device_does_is_diagnostic(key: str) -> None:
    assert config(key)["entity_category"] == "diagnostic"


@pytest.mark.parametrize(
    ("key", "unit", "template"),
    [
        ("probability", "%", "{{ value_json.probability * 100 if value_json.probability is number else none }}"),
        ("fps", "fps", "{{ value_json.fps if value_json.fps is number else none }}"),
        ("temperature", "°C", "{{ value_json.temperature_c if value_json.temperature_c is number else none }}"),
    ],
)
def test_a_number_has_a_unit_and_is_unknown_while_there_is_none(key: str, unit: str, template: str) -> None:
    found = config(key)
    assert (found["unit_of_measurement"], found["state_class"]) == (unit, "measurement")
    assert found["value_template"] == template


def test_a_payload_is_small_ascii_whatever_the_names() -> None:
    device = Device(IDENTITY, "küche/fenster", "blüten.tflite", ("Gänseblümchen",))
    for _, payload in device.entities("homeassistant"):
        assert payload.isascii()
        assert len(payload) < 2000
