"""What keeping uncertain frames is asked for with, and how the sink is opened; it is imported only then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.base.options import option
from edge.contract.sink import Opened, Run


@dataclass(frozen=True)
class UncertainOptions:
    """Where such frames wait, and how many."""

    keep_uncertain: str | None = option(
        None, "keep frames that the model is unsure about, to name them on the page and train on them", metavar="DIR"
    )
    keep_mb: float = option(200.0, "of them, at most so many megabytes; the oldest go first", metavar="MB")
    keep_per_minute: float = option(6.0, "of them, at most so many a minute", metavar="N")


def open_uncertain(options: UncertainOptions, run: Run) -> Opened | None:
    """None where none are to be kept. Raises UsageError and OutputError."""
    if not options.keep_uncertain:
        return None
    from edge.sinks.uncertain.sink import UncertainSink
    from edge.sinks.uncertain.store import UncertainStore

    folder, labels = Path(options.keep_uncertain), run.classifier.labels
    return Opened(
        UncertainSink(UncertainStore(folder, labels, max_mb=options.keep_mb, per_minute=options.keep_per_minute))
    )
