"""What a run is made of: opened in order, and closed again when a part of it cannot be had."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge.contract.event import NO_PICTURE, Event, Tell
from edge.contract.frame import Source
from edge.contract.sink import Run, Sink
from edge.errors import OutputError, SourceError
from edge.live.assembly import Parts, run_recording, run_source
from edge.live.loop import LiveConfig
from edge.live.replay import read_session
from edge.model.classifier import Classifier
from tests.edge.fakes import FakeClassifier, FakeClock, FakeSink, FakeSource
from tests.edge.model import tiny
from tests.edge.sinks.recording.sessions import record


class Opened:
    """The parts of a run over fakes; `order` has what was opened and closed, as it came."""

    def __init__(self, *, is_live: bool = False, sinks_fail: bool = False) -> None:
        self.source, self.sink = FakeSource(FakeClock(), 3, is_live=is_live), FakeSink()
        self.order: list[str] = []
        self.said: list[str] = []
        self.runs: list[Run] = []
        self.threads = 0  # while the sinks were opened
        self._sinks_fail = sinks_fail

    def open_source(self, tell: Tell) -> Source:
        tell(Event(NO_PICTURE, 1.0, "no picture for 4 s", {"reason": "cable"}))
        self.order.append("source")
        return self.source

    def open_sinks(self, run: Run, undo: ExitStack) -> Sequence[Sink]:
        self.order.append("sinks")
        self.threads = threading.active_count()
        self.runs.append(run)
        undo.callback(self.order.append, "sinks undone")
        if self._sinks_fail:
            raise OutputError("answers.jsonl: cannot be written")
        return [self.sink]

    def parts(self, model: Path = Path("fake.tflite"), classifier: Classifier | None = None) -> Parts:
        return Parts(
            model=model, classifier=classifier or FakeClassifier(), config=LiveConfig(), settings={"threshold": None},
            open_sinks=self.open_sinks, has_window=False, stop=threading.Event(), say=self.said.append,
        )  # fmt: skip


def test_the_source_is_opened_before_the_sinks_and_both_make_the_run() -> None:
    opened = Opened()
    summary = run_source(opened.parts(), opened.open_source)
    assert opened.order == ["source", "sinks", "sinks undone"]
    assert (summary.frames, len(opened.sink.shown)) == (3, 3)
    assert opened.source.closed == 2  # by the loop, and by whoever has opened it


def test_a_source_that_is_not_there_leaves_no_sink_behind() -> None:
    opened = Opened()

    def fail(tell: Tell) -> Source:
        raise SourceError("camera 7: no such device")

    with pytest.raises(SourceError, match="camera 7"):
        run_source(opened.parts(), fail)
    assert opened.order == []


def test_a_sink_that_cannot_be_opened_closes_the_source() -> None:
    opened = Opened(sinks_fail=True)
    with pytest.raises(OutputError, match="cannot be written"):
        run_source(opened.parts(), opened.open_source)
    assert opened.source.closed == 1


def test_what_the_source_tells_while_it_opens_is_known_to_the_health_of_the_sinks() -> None:
    opened = Opened(sinks_fail=True)
    with pytest.raises(OutputError):
        run_source(opened.parts(), opened.open_source)
    health = opened.runs[0].health()
    assert (health.state, health.reason, health.model) == ("no picture", "cable", "fake.tflite")


@pytest.mark.parametrize(("is_live", "watchers"), [(True, 1), (False, 0)], ids=["camera", "file"])
def test_the_model_of_a_live_run_is_watched_until_the_run_ends(is_live: bool, watchers: int, tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "colours.tflite")
    before, opened = threading.active_count(), Opened(is_live=is_live, sinks_fail=True)
    with pytest.raises(OutputError):
        run_source(opened.parts(model, Classifier(model)), opened.open_source, reopen=lambda: Classifier(model))
    assert opened.threads == before + watchers
    assert threading.active_count() == before


def test_a_recording_is_run_again_and_compared(tmp_path: Path) -> None:
    recorded = record(tmp_path)
    opened = Opened()
    summary = run_recording(opened.parts(recorded.model, Classifier(recorded.model)), read_session(recorded.folder))
    assert (summary.frames, len(opened.sink.shown)) == (40, 40)
    assert opened.said == ["40 of 40 answers are as they were recorded with colours.tflite"]


def test_another_model_over_a_recording_is_told_first(tmp_path: Path) -> None:
    recorded = record(tmp_path)
    other = tiny.write_model(tmp_path / "other.tflite", labels=("ruby", "emerald", "sapphire"))
    opened = Opened()
    run_recording(opened.parts(other, Classifier(other)), read_session(recorded.folder))
    assert opened.said[0].endswith("; other.tflite answers anew")
    assert opened.said[1].startswith("0 of 40 answers")
