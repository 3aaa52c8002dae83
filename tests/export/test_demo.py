"""The demo's story with its four steps as good as done: what it says, in which order, and to whom it hands what."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from export import demo as module
from export.demo import COSTS, EMPTY, EPOCH_COST, PATIENCE, PER_CLASS, USUAL_EPOCHS, demo, forecast, training_config
from export.forecast import GARDEN, TRAINING
from tests.drills.check_demo import longest_silence
from training.garden.parade import NOTHING, ClipScene
from training.garden.planting import SPECIES


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the steps that were done, in order, each at once; a flower takes 10 ms here."""
    steps: list[str] = []
    scenes = [ClipScene("daisy", 0, 8), ClipScene(NOTHING, 9, 12), ClipScene("tulips", 13, 21)]
    seen = {4: (SimpleNamespace(shown="daisy"), None), 17: (SimpleNamespace(shown="roses"), None)}
    shown = {frame: "daisy" if frame < 11 else "unknown" for frame in range(22)}
    watcher = SimpleNamespace(seen=seen, shown=shown)

    def step(name: str, result: Any) -> Any:
        def at_once(*given: Any, **options: Any) -> Any:
            steps.append(name)
            return result

        return at_once

    monkeypatch.setattr(module, "sample_s", lambda: 0.01)
    monkeypatch.setattr(module, "plant", step("plant", 1000))
    monkeypatch.setattr(module, "_train", step("train", None))
    monkeypatch.setattr(module, "_export", step("export", SimpleNamespace(path=Path("garden.tflite"))))
    monkeypatch.setattr(module, "render_clip", step("render", scenes))
    monkeypatch.setattr(module, "_live", step("live", ("summary", watcher)))
    return steps


def test_each_step_first_says_what_comes_and_how_long_it_will_take(done: list[str], tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    demo(tmp_path, 1, 30, lambda title: lambda *given: None, lambda line: told.append((line, len(done))))
    lines = [line for line, _ in told]
    assert lines[0].startswith("four steps, about ")
    assert [line[:3] for line in lines[1:]] == ["1/4", "2/4", "3/4", "4/4"]
    assert all(": about " in line for line in lines[1:])
    assert [before for _, before in told] == [0, 0, 1, 2, 3]
    assert done == ["plant", "train", "export", "render", "live"]


def test_a_scene_is_named_if_its_middle_is(done: list[str], tmp_path: Path) -> None:
    found = demo(tmp_path, 1, 30, lambda title: lambda *given: None, lambda line: None)
    assert (found.named, found.scenes, found.photos) == (1, 2, 1000)
    assert (found.empty_named, found.empty_frames) == (2, 4)


def test_the_garden_costs_a_flower_for_each_picture() -> None:
    assert COSTS[GARDEN] == pytest.approx(PER_CLASS * len(SPECIES) + EMPTY, rel=0.2)


@pytest.mark.parametrize("epochs", [1, 10, USUAL_EPOCHS, 1000])
def test_as_many_epochs_are_foretold_as_are_usual_or_allowed(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "sample_s", lambda: 1.0)
    expected = COSTS[TRAINING] + EPOCH_COST * min(epochs, USUAL_EPOCHS)
    assert forecast(epochs).begin(TRAINING) == pytest.approx(expected)


def test_training_stops_when_validation_says_so() -> None:
    assert training_config(Path("photos"), 1, epochs=100).patience == PATIENCE


def test_a_silence_is_measured_from_the_first_line_to_the_longest_gap() -> None:
    moments, shown = iter([100.0, 101.0, 107.5, 108.0]), list[str]()
    silence = longest_silence(["a\n", "b\n", "c\n", "d\n"], lambda: next(moments), shown.append)
    assert silence == (6.5, "b")
    assert shown[2].split() == ["7.5", "c"]
