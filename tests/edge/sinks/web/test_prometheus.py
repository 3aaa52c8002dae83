"""Figures for Prometheus, read back with its own parser."""

from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.base.intervals import Percentiles
from edge.contract.event import NO_PICTURE, SIGHTING, Event
from edge.contract.health import NO_PICTURE as NO_PICTURE_STATE
from edge.contract.health import Health, OutputHealth
from edge.sinks.web.prometheus import MOST_LABELS, prometheus_text
from edge.sinks.web.scene import Scene
from tests.edge.fakes import decision, frame
from tests.edge.sinks.web.serving import health

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
NASTY = 'ro"ses\\ and\nnew lines {x="y"}'


def _read(health_now: Health, scene: Scene) -> Samples:
    text = prometheus_text(health_now, scene, 2, 1)
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation and family.type in ("gauge", "counter") for family in families)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def _scene() -> Scene:
    scene = Scene()
    scene.show(decision((0.125, 0.75, 0.125)), frame())
    return scene


def test_a_run_is_told_in_base_units() -> None:
    found = _read(
        health(
            age_ms=Percentiles(40.0, 50.0, 60.0), memory_mb=84.5, cpu_share=0.25, is_throttled=True, temperature_c=61.5,
            outputs={"mqtt": OutputHealth(lost=3, waiting=2, reason="refused"), "web": OutputHealth()},
        ),
        _scene(),
    )  # fmt: skip
    assert found["flora_live", ()] == 1
    assert found["flora_frames_total", ()] == 120
    assert found["flora_stage_seconds", (("quantile", "0.95"), ("stage", "age"))] == 0.05
    assert found["flora_memory_bytes", ()] == 84.5e6
    assert found["flora_throttled", ()] == 1
    assert found["flora_label_probability", (("label", "roses"),)] == 0.75
    assert found["flora_output_lost_total", (("output", "mqtt"),)] == 3
    assert found["flora_output_failing", (("output", "web"),)] == 0
    assert found["flora_web_viewers", ()] == 2
    assert found["flora_web_viewers_dropped_total", ()] == 1


def test_what_is_not_known_is_left_out() -> None:
    names = {name for name, _ in _read(health(fps=None, picture_age_s=None), Scene())}
    assert names.isdisjoint({"flora_temperature_celsius", "flora_frames_per_second", "flora_answer_unknown"})


def test_without_a_picture_there_is_no_answer() -> None:
    scene = _scene()
    scene.tell(Event(NO_PICTURE, 1.0, "no picture", {"seconds": 4, "reason": "unplugged"}))
    found = _read(health(state=NO_PICTURE_STATE), scene)
    assert found["flora_live", ()] == 0
    assert not [name for name, _ in found if name in ("flora_label_probability", "flora_answer_unknown")]
    assert found["flora_events_total", (("kind", NO_PICTURE),)] == 1


@pytest.mark.parametrize("text", [NASTY, "<img src=x onerror=alert(1)>", "bad\udcff", ""])
def test_any_text_can_be_a_label(text: str) -> None:
    scene = Scene()
    scene.show(decision((0.25, 0.75), labels=("daisy", text)), frame())
    scene.tell(Event(SIGHTING, 1.0, "x", {"label": text, "seconds": 2.5}))
    found = _read(health(model=text, labels=("daisy", text)), scene)
    shown = text.replace("\udcff", "?")
    assert found["flora_label_probability", (("label", shown),)] == 0.75
    assert found["flora_sighting_seconds_total", (("label", shown),)] == 2.5


def test_a_model_of_very_many_labels_is_no_burden() -> None:
    scene, many = Scene(), MOST_LABELS + 1
    scene.show(decision([1 / many] * many, labels=tuple(map(str, range(many)))), frame())
    assert "flora_label_probability" not in prometheus_text(health(), scene, 0, 0)


def test_numbers_that_are_none_are_left_out_and_names_are_told_once() -> None:
    scene = Scene()
    scene.show(decision((float("nan"), 0.75, float("inf"))), frame())
    text = prometheus_text(health(), scene, 0, 0)
    assert not re.search(r" (nan|inf)$", text, re.MULTILINE)
    types = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(types) == len(set(types)) > 10
