"""The sinks of `flora run`, any number at once: which were asked for, and how each is opened.

In:  what was typed; what sinks need to know of the run.
Out: sinks, opened one after another; when one fails those before it are closed again.

To add a sink: a file in this folder, or a folder, and a row in SINKS. Its options live in it. What is expensive to
import is imported when the sink is opened: else a run would take a tenth longer to start.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from edge.base.options import add_options, read_options
from edge.contract.sink import Opened, Run
from edge.sinks.clip import ClipOptions, open_clip
from edge.sinks.jsonl import STDOUT, JsonLinesOptions, JsonLinesStream, open_jsonl
from edge.sinks.log import LogSink
from edge.sinks.mqtt.options import MqttOptions, open_mqtt
from edge.sinks.recording.options import RecordOptions, open_record
from edge.sinks.systemd import SystemdOptions, open_systemd
from edge.sinks.terminal import TerminalSink
from edge.sinks.uncertain.options import UncertainOptions, open_uncertain
from edge.sinks.web.options import WebOptions, open_web

Options = TypeVar("Options")


@dataclass(frozen=True)
class SinkRow(Generic[Options]):
    """One kind of sink."""

    options: type[Options]  # a dataclass made with edge.base.options
    open: Callable[[Options, Run], Opened | None]  # None where it is not asked for; raises FloraError
    is_last: bool = False  # it is opened after the others, because it shows what they keep


SINKS: tuple[SinkRow[Any], ...] = (  # in the order of the help
    SinkRow(WebOptions, open_web, is_last=True),
    SinkRow(MqttOptions, open_mqtt),
    SinkRow(JsonLinesOptions, open_jsonl),
    SinkRow(ClipOptions, open_clip),
    SinkRow(RecordOptions, open_record),
    SinkRow(UncertainOptions, open_uncertain),
    SinkRow(SystemdOptions, open_systemd),
)


@dataclass(frozen=True)
class AskedSinks:
    """What was typed: each kind with its options, and whether stdout is for JSON lines."""

    rows: tuple[tuple[SinkRow[Any], Any], ...]
    is_json: bool


def add_sink_options(group: Any) -> None:
    """Give a parser, or a group of one, the options of every kind of sink."""
    group.add_argument("--json", action="store_true", help="the same as --jsonl -")
    for row in SINKS:
        add_options(group, row.options)


def read_sink_options(given: argparse.Namespace) -> AskedSinks:
    """Raises UsageError."""
    return AskedSinks(
        tuple((row, read_options(row.options, given)) for row in SINKS), given.json or given.jsonl == STDOUT
    )


def open_sinks(asked: AskedSinks, run: Run, undo: ExitStack) -> list[Opened]:
    """All that is asked for; each is closed by `undo`, should that be unwound. Raises FloraError.

    The terminal is one of them unless stdout carries JSON: then events go to stderr.
    """
    found: list[Opened] = []
    for row, options in sorted(asked.rows, key=lambda asked_row: asked_row[0].is_last):
        opened = row.open(options, replace(run, others=tuple(one.sink for one in found)))
        if opened is not None:
            undo.callback(opened.sink.close)
            found.append(opened)
    if asked.is_json:
        return [Opened(JsonLinesStream(sys.stdout)), *found, Opened(LogSink(sys.stderr))]
    return [*found, Opened(TerminalSink(sys.stdout, health=run.health))]
