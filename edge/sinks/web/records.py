"""The scene and the health as JSON has them: what /api/state answers and /events sends.

Out: objects of JSON types; a number that is not finite becomes null.
"""

from __future__ import annotations

import json
import math
import time
from typing import Any

from edge.contract.decision import Decision
from edge.contract.event import iso_utc
from edge.contract.health import Health
from edge.sinks.web.scene import Numbered, Scene, Shot

BARS = 10  # the most probable labels that a message carries; a model may know a thousand


def shot_record(shot: Shot, labels: int = BARS) -> dict[str, Any]:
    """A decision, with the probabilities of the `labels` most probable labels."""
    decision = shot.decision
    return {
        "serial": shot.serial,
        "time": iso_utc(decision.time),
        "epoch": round(decision.time, 3),
        "source": decision.source,
        "frame": decision.frame,
        "name": decision.name,
        "shown": decision.shown,
        "label": decision.label,
        "probability": number(decision.probability),
        "unknown": decision.is_unknown,
        "held": decision.is_held,
        "top": [[label, number(probability)] for label, probability in decision.top(labels)],
        "latency_ms": number(decision.latency_ms),
        "age_ms": number(decision.age_ms),
        "evidence": decision.result.evidence is not None,
        "nearest": _nearest(decision),
    }


def _nearest(decision: Decision) -> list[Any] | None:
    """[label, probability] of the nearest known class where the answer is unknown."""
    found = decision.nearest if decision.is_unknown else None
    return [found[0], number(found[1])] if found else None


def status_record(scene: Scene, health: Health) -> dict[str, Any]:
    """How the run is doing, and whether there is a picture."""
    stalled = scene.stalled()
    return {
        "health": health.record(),
        "stalled": None if stalled is None else {"seconds": round(stalled[0], 1), "reason": stalled[1]},
        "now": round(time.time(), 3),
    }


def state_record(scene: Scene, health: Health, *, keeps_uncertain: bool) -> dict[str, Any]:
    """Everything that a page needs to begin with."""
    shot = scene.newest
    return status_record(scene, health) | {
        "boot": scene.boot,
        "labels": list(health.labels),
        "decision": shot_record(shot, len(shot.decision.probabilities)) if shot else None,
        "events": [event_record(scene.boot, numbered) for numbered in scene.events()],
        "history": [list(second) for second in scene.history()],
        "uncertain": keeps_uncertain,
    }


def event_record(boot: str, numbered: Numbered) -> dict[str, Any]:
    return {"id": event_id(boot, numbered[0])} | numbered[1]


def event_id(boot: str, number: int) -> str:
    return f"{boot}-{number}"


def event_number(boot: str, text: str) -> int:
    """The number within an id; 0, before all events, for one of another run and for nonsense."""
    run, _, digits = text.partition("-")
    return int(digits) if run == boot and digits.isascii() and digits.isdigit() and len(digits) < 16 else 0


def number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def as_json(record: object) -> str:
    return json.dumps(record, separators=(",", ":"))
