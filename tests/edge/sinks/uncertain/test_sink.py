"""Where a frame goes: to the lesson while it lasts, to the store after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.contract.event import SCENE_LEARNED, Event
from edge.sinks.uncertain.scene import SceneLesson
from edge.sinks.uncertain.sink import UncertainSink
from edge.sinks.uncertain.store import UncertainStore
from tests.edge.fakes import LABELS, FakeClock
from tests.edge.sinks.uncertain.test_scene import scene
from tests.edge.sinks.uncertain.test_store import unsure


@pytest.fixture
def store(tmp_path: Path) -> UncertainStore:
    return UncertainStore(tmp_path / "kept", LABELS, clock=FakeClock())


def test_without_a_lesson_every_frame_is_offered_and_only_the_newest_asked_for(store: UncertainStore) -> None:
    sink = UncertainSink(store)
    assert (sink.name, sink.backlog, sink.needs_picture) == ("keep-uncertain", 1, True)
    sink.show(unsure(), scene(1))
    sink.close()
    sink.close()
    assert store.count() == 1
    assert sink.remark() is None


def test_while_it_learns_there_is_nothing_to_ask_and_after_it_one_event(store: UncertainStore, tmp_path: Path) -> None:
    told: list[Event] = []
    sink = UncertainSink(store, SceneLesson(tmp_path / "kept", seconds=3.0, max_mb=200), told.append)
    for number in range(3):
        sink.show(unsure(number), scene(number, float(number)))
    assert (store.count(), told) == (0, [])
    for number in range(3, 6):
        sink.show(unsure(number), scene(number, float(number)))
    assert store.count() == 1  # the rate of the store has not changed
    assert [event.kind for event in told] == [SCENE_LEARNED]
    assert told[0].text.startswith(f"kept 3 frames of the scene in {tmp_path}/kept/labelled/unknown; to learn it, copy")
    assert told[0].data == {"kept": 3, "folder": f"{tmp_path}/kept/labelled/unknown"}
    assert len(list((tmp_path / "kept/labelled/unknown").iterdir())) == 3
    assert sink.remark() is None


def test_a_lesson_that_the_end_of_the_run_broke_off_is_told_then(store: UncertainStore, tmp_path: Path) -> None:
    sink = UncertainSink(store, SceneLesson(tmp_path / "kept", seconds=3.0, max_mb=200), None)
    sink.show(unsure(), scene(1))
    sink.close()
    assert str(sink.remark()).startswith("the run ended before its lesson: kept 1 frame of the scene in")
