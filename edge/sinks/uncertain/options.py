"""What keeping uncertain frames is asked for with, and how the sink is opened; it is imported only then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.base.options import option
from edge.base.text import seconds_of
from edge.contract.sink import Opened, Run
from edge.errors import UsageError

LONGEST_S = 86_400.0


def lesson_s(text: str) -> float:
    """Seconds of "45", "60s", "5m" or "1h". Raises UsageError, one line."""
    seconds = seconds_of(text) or seconds_of(f"{text}s") or 0.0
    if not 0 < seconds <= LONGEST_S:
        raise UsageError(f"--learn-scene {text}: expected a time such as 45, 60s, 5m or 1h, at most 24h")
    return seconds


@dataclass(frozen=True)
class UncertainOptions:
    """Where such frames wait, and how many."""

    keep_uncertain: str | None = option(
        None, "keep frames that the model is unsure about, to name them on the page and train on them", metavar="DIR"
    )
    keep_mb: float = option(200.0, "of them, at most so many megabytes; the oldest go first", metavar="MB")
    keep_per_minute: float = option(6.0, "of them, at most so many a minute", metavar="N")
    learn_scene_s: float | None = option(
        None, "keep instead, for so long from the first picture, as 60s or 5m, frames of the scene without its subject "
        "in DIR/labelled/unknown, to train on what a fixed camera sees when nothing is there",
        metavar="TIME", flag="--learn-scene", read=lesson_s,
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.learn_scene_s is not None and not self.keep_uncertain:
            raise UsageError("--learn-scene: where shall the frames go? add --keep-uncertain DIR")


def open_uncertain(options: UncertainOptions, run: Run) -> Opened | None:
    """None where none are to be kept. Raises UsageError and OutputError."""
    if not options.keep_uncertain:
        return None
    from edge.sinks.uncertain.scene import SceneLesson
    from edge.sinks.uncertain.sink import UncertainSink
    from edge.sinks.uncertain.store import UncertainStore

    folder, labels, seconds = Path(options.keep_uncertain), run.classifier.labels, options.learn_scene_s
    store = UncertainStore(folder, labels, max_mb=options.keep_mb, per_minute=options.keep_per_minute)
    lesson = None if seconds is None else SceneLesson(folder, seconds=seconds, max_mb=options.keep_mb)
    sink = UncertainSink(store, lesson, run.tell)
    return Opened(sink, remark=sink.remark)
