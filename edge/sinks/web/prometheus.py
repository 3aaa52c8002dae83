"""Figures of a run in Prometheus' text format, version 0.0.4.

In:  Health, Scene and what the server counts.
Out: text; a figure that is not known is left out. Units are Prometheus' base units: seconds, bytes, ratios.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edge.contract.health import LIVE, Health
from edge.sinks.web.scene import Scene

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_LABELS = 50  # of one model; beyond this a series for each would be a burden on whoever scrapes
STAGES = ("wait", "geometry", "invoke", "age")

Labels = Mapping[str, str]
Sample = tuple[Labels, float | None]


@dataclass(frozen=True)
class Metric:
    """One name with its samples."""

    name: str
    kind: str  # gauge or counter
    help: str
    samples: tuple[Sample, ...]

    def lines(self) -> Iterator[str]:
        """Nothing if no sample is known."""
        known = [(labels, value) for labels, value in self.samples if value is not None and math.isfinite(value)]
        if known:
            yield f"# HELP {self.name} {self.help}"
            yield f"# TYPE {self.name} {self.kind}"
        for labels, value in known:
            yield f"{self.name}{_labels(labels)} {value!r}"


def prometheus_text(health: Health, scene: Scene, viewers: int, viewers_dropped: int) -> str:
    """The page that Prometheus scrapes."""
    metrics = (
        *_run(health, scene),
        *_frames(health),
        *_answers(health, scene),
        *_machine(health),
        *_outputs(health),
        _gauge("flora_web_viewers", "Open streams of pictures and events.", viewers),
        _counter("flora_web_viewers_dropped_total", "Viewers dropped because they did not read.", viewers_dropped),
    )
    return "".join(f"{line}\n" for metric in metrics for line in metric.lines())


def _run(health: Health, scene: Scene) -> Iterator[Metric]:
    is_live = health.state == LIVE and scene.stalled() is None
    info = {"model": health.model, "source": health.source}
    counts = tuple(({"kind": kind}, float(count)) for kind, count in sorted(scene.event_counts.items()))
    yield Metric("flora_info", "gauge", "Model and source of this run.", ((info, 1.0),))
    yield _gauge("flora_live", "1 while pictures come, else 0.", float(is_live))
    yield _gauge("flora_uptime_seconds", "Since the run began.", health.uptime_s)
    yield _gauge("flora_picture_age_seconds", "Since the newest answered frame was captured.", health.picture_age_s)
    yield Metric("flora_events_total", "counter", "Things that happened, by kind.", counts)


def _frames(health: Health) -> Iterator[Metric]:
    times = tuple(
        ({"stage": stage, "quantile": quantile}, milliseconds / 1000)
        for stage in STAGES
        if (found := getattr(health, f"{stage}_ms")) is not None
        for quantile, milliseconds in zip(("0.5", "0.95", "0.99"), found, strict=True)
    )
    yield _counter("flora_frames_total", "Frames answered.", health.frames)
    yield _counter("flora_frames_held_total", "Frames answered without the model: nothing moved.", health.held)
    yield _counter("flora_frames_dropped_total", "Frames that a newer one replaced.", health.dropped)
    yield _counter("flora_source_reopened_total", "Times that the source was opened again.", health.reopened)
    yield _gauge("flora_frames_per_second", "Over the last seconds.", health.fps)
    yield Metric("flora_stage_seconds", "gauge", "Time of a stage; age is capture to answer.", times)


def _answers(health: Health, scene: Scene) -> Iterator[Metric]:
    shot = None if scene.stalled() else scene.newest  # an old answer is none
    decision = shot.decision if shot else None
    ranked = decision.top(len(decision.probabilities)) if decision else []
    if len(ranked) <= MOST_LABELS:
        samples = tuple(({"label": label}, probability) for label, probability in sorted(ranked))
        yield Metric("flora_label_probability", "gauge", "Of the newest frame, after smoothing.", samples)
    unknown = float(decision.is_unknown) if decision else None
    yield _gauge("flora_answer_unknown", "1 while the answer is unknown, else 0.", unknown)
    yield _gauge("flora_label_changes_per_minute", "Of the label shown: stability.", health.changes_per_minute)
    counts = tuple(({"label": label}, float(count)) for label, count in sorted(scene.sighting_counts.items()))
    seconds = tuple(({"label": label}, float(total)) for label, total in sorted(scene.sighting_seconds.items()))
    yield Metric("flora_sightings_total", "counter", "Sightings that have ended, by label.", counts)
    yield Metric("flora_sighting_seconds_total", "counter", "Length of the sightings that have ended.", seconds)


def _machine(health: Health) -> Iterator[Metric]:
    memory = None if health.memory_mb is None else health.memory_mb * 1e6
    throttled = None if health.is_throttled is None else float(health.is_throttled)
    yield _gauge("flora_cpu_cores", "Cores in use by this process.", health.cpu_share)
    yield _gauge("flora_memory_bytes", "Resident memory of this process.", memory)
    yield _gauge("flora_temperature_celsius", "Of the processor.", health.temperature_c)
    yield _gauge("flora_throttled", "1 while the board lowers its clock, else 0.", throttled)


def _outputs(health: Health) -> Iterator[Metric]:
    outputs = [({"output": name}, output) for name, output in sorted(health.outputs.items())]
    lost = tuple((labels, float(output.lost)) for labels, output in outputs)
    waiting = tuple((labels, float(output.waiting)) for labels, output in outputs)
    failing = tuple((labels, float(output.reason is not None)) for labels, output in outputs)
    yield Metric("flora_output_lost_total", "counter", "Decisions that an output did not get.", lost)
    yield Metric("flora_output_waiting", "gauge", "Decisions that wait for an output.", waiting)
    yield Metric("flora_output_failing", "gauge", "1 while an output fails, else 0.", failing)


def _gauge(name: str, help: str, value: float | None) -> Metric:
    return Metric(name, "gauge", help, (({}, value),))


def _counter(name: str, help: str, value: float) -> Metric:
    return Metric(name, "counter", help, (({}, float(value)),))


def _labels(labels: Labels) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    # A surrogate stands for a byte that was no text, as in the name of a file, and cannot be sent.
    text = value.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
