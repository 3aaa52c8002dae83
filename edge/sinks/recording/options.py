"""What a recording is asked for with, and how it is opened; the sink is imported only then."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge.base.options import option
from edge.contract.sink import Opened, Run


@dataclass(frozen=True)
class RecordOptions:
    """Where the run is recorded, and how much of it."""

    record: str | None = option(
        None, "keep the model's own inputs, lossless, with their times, to run them again with --replay", metavar="DIR"
    )
    record_mb: float = option(1000.0, "largest recording", metavar="MB")


def open_record(options: RecordOptions, run: Run) -> Opened | None:
    """None where nothing is to be recorded. Raises UsageError and OutputError."""
    if not options.record:
        return None
    from edge.sinks.recording.journal import header_of
    from edge.sinks.recording.sink import RecordSink

    header = header_of(run.classifier, run.model, run.source, run.settings, run.created)
    lost = partial(run.lost, RecordSink.name)
    sink = RecordSink(Path(options.record), header, max_mb=options.record_mb, tell=run.tell, lost=lost)
    return Opened(sink, wrote=options.record)
