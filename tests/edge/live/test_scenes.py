"""Frames on a clock of their own: counted by hand, and smoothed and sighted as a camera's would be."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.contract.frame import Frame
from edge.contract.result import Result
from edge.errors import SourceError
from edge.live.scenes import Scene, Sighted, table, watch, watch_clip
from edge.picture.geometry import Picture
from edge.picture.video import VideoWriter
from tests.edge.fakes import FakeClassifier, picture, result

FPS = 10.0


class Film:
    """Grey levels, ten a second."""

    name = "film"
    is_live = False
    dropped = reopened = 0
    warnings: Sequence[str] = ()

    def __init__(self, levels: Sequence[int], failure: SourceError | None = None) -> None:
        self._frames = iter([Frame(picture(level), i, i / FPS, "film") for i, level in enumerate(levels)])
        self._failure = failure

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        frame = next(self._frames, None)
        if frame is None and self._failure:
            raise self._failure
        return frame

    def close(self) -> None:
        """Nothing is held."""


def by_level(frame_bgr: Picture) -> Result:
    """Dark: unknown; grey: roses, just so; bright: tulips, surely."""
    level = frame_bgr.mean()
    values = (0.4, 0.3, 0.3) if level < 80 else (0.1, 0.8, 0.1) if level < 160 else (0.0, 0.02, 0.98)
    return result(*values, threshold=0.6)


CLASSIFIER = FakeClassifier(by_level)


def test_frames_and_sightings_are_counted_on_the_films_own_clock() -> None:
    scene = watch(CLASSIFIER, Film([40] * 50 + [120] * 30 + [40] * 50 + [200] * 50), FPS)
    assert (scene.name, scene.frames, scene.seconds) == ("film", 180, 18.0)
    roses, tulips = scene.sightings
    assert (roses.label, tulips.label) == ("roses", "tulips")
    assert 5.0 <= roses.began_s <= 5.6  # smoothing takes its time
    assert 7.9 <= roses.ended_s <= 8.6
    assert (roses.is_sure, tulips.is_sure, scene.sure_sightings) == (False, True, 1)
    assert 70 <= scene.named <= 85
    assert 35 <= scene.named_surely <= 50  # roses never are
    written = scene.to_json()
    assert (written["sightings"], written["sightings_an_hour"], written["sure_sightings_an_hour"]) == (2, 400.0, 200.0)
    assert written["named"] == scene.named / 180
    assert written["sighted"][0]["label"] == "roses"


def test_a_glimpse_is_no_sighting() -> None:
    scene = watch(CLASSIFIER, Film([40] * 30 + [120] * 6 + [40] * 30), FPS)
    assert scene.sightings == ()


def test_the_smoothing_is_that_of_a_camera() -> None:
    """Single frames of tulips are outvoted by those before and after."""
    levels = [120] * 60
    levels[20] = levels[40] = 200
    scene = watch(CLASSIFIER, Film(levels), FPS)
    assert [one.label for one in scene.sightings] == ["roses"]
    assert scene.named_surely == 0


def test_what_the_source_raises_is_raised() -> None:
    with pytest.raises(SourceError, match="gone"):
        watch(CLASSIFIER, Film([40], SourceError("gone")), FPS)


def test_every_frame_of_a_clip_has_its_second(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "clip.avi", fps=20)
    for level in [40] * 20 + [200] * 60:
        writer.add(picture(level))
    writer.close()
    scene = watch_clip(CLASSIFIER, str(tmp_path / "clip.avi"))
    assert (scene.frames, scene.seconds) == (80, 4.0)
    (tulips,) = scene.sightings
    assert tulips.ended_s == pytest.approx(3.95)


def test_a_clip_that_is_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a readable video"):
        watch_clip(CLASSIFIER, str(tmp_path / "gone.avi"))


def test_the_table_has_a_line_a_scene_and_names_what_was_sighted() -> None:
    sighted = (Sighted("roses", 1.0, 3.0, 0.95), Sighted("roses", 5.0, 7.0, 0.7), Sighted("tulips", 8.0, 9.5, 0.8))
    scene = Scene("clip.avi", 200, 20.0, 60, 10, sighted)
    heads, *lines = table([scene, replace(scene, sightings=())])
    assert " ".join(lines[0].split()) == "clip.avi 20.0 200 30.0% 5.0% 3 540.0 1 roses 2, tulips 1"
    assert lines[1].endswith(" -")
    assert heads.index("sightings") == lines[0].index("3  ")


def test_probabilities_of_a_scene_are_smoothed_ones() -> None:
    seen = watch(FakeClassifier(lambda frame_bgr: result(*np.eye(3)[1])), Film([0] * 30), FPS).sightings
    assert [(one.label, one.probability) for one in seen] == [("roses", 1.0)]
