"""How a live run is doing, as the page, MQTT and Prometheus tell it.

Out: Health, a snapshot; `record` is what /api/state and the MQTT state topic carry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edge.base.intervals import Percentiles

STARTING, LIVE, NO_PICTURE, STOPPED = "starting", "live", "no picture", "stopped"


@dataclass(frozen=True)
class OutputHealth:
    """One sink."""

    lost: int = 0  # decisions that it did not get, because it was too slow or had failed
    waiting: int = 0
    reason: str | None = None  # why it fails just now


@dataclass(frozen=True)
class Health:
    """A snapshot of one run."""

    time: float  # seconds since the epoch
    uptime_s: float
    state: str  # STARTING, LIVE, NO_PICTURE or STOPPED
    reason: str | None  # why there is no picture
    model: str  # file name
    labels: tuple[str, ...]
    source: str
    picture_age_s: float | None  # since the newest frame that was answered was captured; None before the first
    frames: int = 0  # answered
    held: int = 0  # of them, without asking the model, because nothing moved
    dropped: int = 0  # frames that a newer one replaced
    reopened: int = 0  # times that the source was opened again
    fps: float | None = None  # over the last seconds
    changes_per_minute: float | None = None  # of the label shown, "unknown" being one: stability
    wait_ms: Percentiles | None = None
    geometry_ms: Percentiles | None = None
    invoke_ms: Percentiles | None = None
    age_ms: Percentiles | None = None  # capture to answer
    cpu_share: float | None = None  # of one core; 2.0 is two cores
    memory_mb: float | None = None  # resident, 1 MB = 1e6 bytes
    temperature_c: float | None = None
    is_throttled: bool | None = None
    outputs: Mapping[str, OutputHealth] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As JSON has it: percentiles are objects with p50, p95 and p99."""
        found = asdict(self)
        for name in ("wait_ms", "geometry_ms", "invoke_ms", "age_ms"):
            percentiles: Percentiles | None = getattr(self, name)
            found[name] = percentiles._asdict() if percentiles else None
        return found


@dataclass(frozen=True)
class Vitals:
    """How the machine is doing."""

    cpu_share: float | None = None
    memory_mb: float | None = None
    temperature_c: float | None = None
    is_throttled: bool | None = None
