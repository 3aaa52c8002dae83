"""The outputs of `flora run`, any number at once: which were asked for, and how each is opened.

In:  OutputConfig; what sinks need to know of the run.
Out: Sinks, opened one after another; when one fails those before it are closed again.

A sink is imported when it is asked for: without that a run would take half as long again to start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge.base.options import option
from edge.contract.event import Event
from edge.contract.health import Health
from edge.contract.sink import Sink
from edge.sinks.jsonl import JsonLinesFile, JsonLinesStream
from edge.sinks.log import LogSink
from edge.sinks.systemd import SystemdSink
from edge.sinks.terminal import TerminalSink

if TYPE_CHECKING:
    from edge.sinks.recording.journal import Header

CLIP_FPS = 15.0
STDOUT = "-"


@dataclass(frozen=True)
class OutputConfig:
    """Where answers go, besides the terminal."""

    web: str | None = option(
        None, "a page with the live picture, at http://HOST:PORT; on this machine alone unless a HOST is given",
        metavar="[HOST:]PORT",
    )  # fmt: skip
    web_token: str | None = option(
        None, "what the page asks for from other machines; better in the variable FLORA_WEB_TOKEN (default: a new one)",
        metavar="TOKEN",
    )  # fmt: skip
    mqtt: str | None = option(
        None, "answers, events and health to a broker, found by Home Assistant: mqtt://[USER@]HOST[:PORT]/TOPIC; the "
        "password is in the variable FLORA_MQTT_PASSWORD", metavar="URL",
    )  # fmt: skip
    mqtt_discovery: str = option(
        "homeassistant", "where Home Assistant looks for what is there; empty: it is not told", metavar="PREFIX"
    )
    mqtt_every_s: float = option(10.0, "the state goes out when the answer changes, and this often")
    jsonl: str | None = option(
        None, "append one JSON object per decision and per event to PATH; - is stdout", metavar="PATH"
    )
    jsonl_rotate_mb: float = option(0.0, "begin a new file after so many megabytes; 0 never", metavar="MB")
    jsonl_keep: int = option(5, "that many old files of it are kept", metavar="N")
    clip: str | None = option(None, "write the annotated frames to an .avi file", metavar="PATH")
    record: str | None = option(
        None, "keep the model's own inputs, lossless, with their times, to run them again with --replay", metavar="DIR"
    )
    record_mb: float = option(1000.0, "largest recording", metavar="MB")
    keep_uncertain: str | None = option(
        None, "keep frames that the model is unsure about, to name them on the page and train on them", metavar="DIR"
    )
    keep_mb: float = option(200.0, "of them, at most so many megabytes; the oldest go first", metavar="MB")
    keep_per_minute: float = option(6.0, "of them, at most so many a minute", metavar="N")


@dataclass(frozen=True)
class Run:
    """What sinks need to know of the run that they serve."""

    labels: tuple[str, ...]
    header: Callable[[], Header]  # of a recording
    health: Callable[[], Health]
    current_labels: Callable[[], tuple[str, ...]]  # another model may have taken over
    tell: Callable[[Event], None]
    lost: Callable[[str], int]  # decisions that the sink of that name did not get


def open_sinks(config: OutputConfig, run: Run, undo: ExitStack, *, is_json: bool = False) -> list[Sink]:
    """All that `config` asks for; each is closed by `undo`, should that be unwound. Raises FloraError.

    The terminal is one of them unless stdout carries JSON: then events go to stderr.
    """
    sinks: list[Sink] = []
    is_json = is_json or config.jsonl == STDOUT
    for sink in _asked_for(config, run):
        undo.callback(sink.close)
        sinks.append(sink)
    if is_json:
        return [JsonLinesStream(sys.stdout), *sinks, LogSink(sys.stderr)]
    return [*sinks, TerminalSink(sys.stdout, health=run.health)]


def _asked_for(config: OutputConfig, run: Run) -> Iterator[Sink]:
    """One after another, so that whoever takes them can close what is open when the next one fails."""
    if config.jsonl and config.jsonl != STDOUT:
        yield JsonLinesFile(config.jsonl, rotate_mb=config.jsonl_rotate_mb, keep=config.jsonl_keep)
    if config.clip:
        from edge.sinks.clip import ClipSink

        yield ClipSink(config.clip, CLIP_FPS)
    if config.record:
        from edge.sinks.recording.sink import RecordSink

        lost = partial(run.lost, RecordSink.name)
        yield RecordSink(Path(config.record), run.header(), max_mb=config.record_mb, tell=run.tell, lost=lost)
    store = None
    if config.keep_uncertain:
        from edge.sinks.uncertain.sink import UncertainSink
        from edge.sinks.uncertain.store import UncertainStore

        store = UncertainStore(
            Path(config.keep_uncertain), run.labels, max_mb=config.keep_mb, per_minute=config.keep_per_minute
        )
        yield UncertainSink(store)
    if config.mqtt:
        from edge.sinks.mqtt.sink import MqttSink

        yield MqttSink(
            config.mqtt, health=run.health, tell_others=run.tell, discovery=config.mqtt_discovery or None,
            every_s=config.mqtt_every_s,
        )  # fmt: skip
    if config.web:
        from edge.sinks.web.sink import WebSink

        yield WebSink(config.web, health=run.health, labels=run.current_labels, store=store, token=config.web_token)
    if service := SystemdSink.from_environment(os.environ):
        yield service
