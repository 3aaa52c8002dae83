"""Frames of the scene itself: which are kept, how many, and what they say of themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.contract.decision import Decision
from edge.contract.frame import Frame
from edge.errors import OutputError
from edge.picture.geometry import decode
from edge.picture.png import LONGEST_GROUP, group_of, is_train_only, note_of
from edge.picture.region import Roi
from edge.sinks.uncertain.scene import MOST_FRAMES, STILL_FRAMES, SceneLesson, minute_of
from edge.sinks.uncertain.store import UncertainStore
from tests.edge import fakes
from tests.edge.fakes import LABELS, one_line

BEGAN = 1_800_000_000.0  # on a full minute


def scene(seed: int, at: float = 0.0) -> Frame:
    """A frame unlike that of any other seed, captured so many seconds after the first."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return replace(fakes.frame(captured_at=100.0 + at), image_bgr=coarse.repeat(8, axis=0).repeat(8, axis=1))


def sure(at: float = 0.0) -> Decision:
    """The model takes the scene for a flower of which it is sure."""
    return replace(fakes.decision((0.0, 1.0, 0.0), time=BEGAN + at), age_ms=0.0, source="camera 0")


def lesson(tmp_path: Path, seconds: float = 60.0, max_mb: float = 200.0) -> SceneLesson:
    return SceneLesson(tmp_path / "kept", seconds=seconds, max_mb=max_mb)


def learned(found: SceneLesson, seconds: float, *, every_s: float, is_still: bool) -> list[Path]:
    """What is kept of a scene that stands still but for its noise, or is another one each time."""
    noise, kept = np.random.default_rng(1), []
    for number in range(round(seconds / every_s)):
        at = number * every_s
        frame = scene(0 if is_still else number, at)
        shaken = np.clip(frame.image_bgr + noise.normal(0, 5, frame.image_bgr.shape), 0, 255).astype(np.uint8)
        assert not found.is_over(frame)
        kept.append(found.offer(sure(at), replace(frame, image_bgr=shaken)))
    return [path for path in kept if path is not None]


def test_a_frame_is_kept_as_unknown_whatever_the_answer_is(tmp_path: Path) -> None:
    frame = replace(scene(1), roi=Roi(0.25, 0.0, 1.0, 1.0))
    path = lesson(tmp_path).offer(sure(), frame)
    assert path is not None
    assert path.parent == tmp_path / "kept/labelled/unknown"
    assert (decode(path.read_bytes(), "it") == frame.seen_bgr).all()
    assert "--learn-scene" in (tmp_path / "kept/labelled/README.txt").read_text()


def test_it_may_be_measured_on_and_says_of_what_minute_it_is(tmp_path: Path) -> None:
    path = lesson(tmp_path).offer(sure(59.999), scene(1))
    assert path is not None
    assert not is_train_only(path.read_bytes())
    assert group_of(path.read_bytes()) == "camera 0 2027-01-15T08:00"
    note = note_of(path.read_bytes())
    assert note is not None
    assert note["answers"][0] == ["roses", 1.0]


def test_frames_of_one_minute_of_one_source_are_one_group() -> None:
    assert minute_of(sure(0.0)) == minute_of(sure(59.9))
    assert minute_of(sure(0.0)) != minute_of(sure(60.0))
    assert minute_of(sure(0.0)) != minute_of(replace(sure(0.0), source="camera 1"))


def test_a_source_of_any_name_makes_a_group_that_is_read_again(tmp_path: Path) -> None:
    named = replace(sure(), source="x\n\udce9" * 500)
    path = lesson(tmp_path).offer(named, scene(1))
    assert path is not None
    found = group_of(path.read_bytes())
    assert found == minute_of(named)
    assert found.endswith(" 2027-01-15T08:00")
    assert len(found) == LONGEST_GROUP


@pytest.mark.parametrize("seconds", [60.0, 300.0])
def test_of_a_still_scene_a_few_frames_are_kept(tmp_path: Path, seconds: float) -> None:
    assert len(learned(lesson(tmp_path, seconds), seconds, every_s=1.0, is_still=True)) == STILL_FRAMES


def test_of_a_busy_scene_dozens_are_kept_but_no_more_than_two_a_second(tmp_path: Path) -> None:
    assert len(learned(lesson(tmp_path), 10.0, every_s=0.125, is_still=False)) == 20


def test_a_long_lesson_is_spread_over_its_time(tmp_path: Path) -> None:
    found = lesson(tmp_path, 3600.0)
    assert found.offer(sure(), scene(0)) is not None
    assert found.offer(sure(14.9), scene(1, 14.9)) is None
    assert found.offer(sure(15.0), scene(2, 15.0)) is not None


def test_a_lesson_has_a_greatest_number(tmp_path: Path) -> None:
    found = lesson(tmp_path, 600.0)
    found.kept = MOST_FRAMES
    assert found.offer(sure(), scene(0)) is None


def test_the_time_begins_with_the_first_frame(tmp_path: Path) -> None:
    found = lesson(tmp_path)
    assert not found.is_over(scene(0, 1000.0))
    found.offer(sure(1000.0), scene(0, 1000.0))
    assert not found.is_over(scene(0, 1059.9))
    assert found.is_over(scene(0, 1060.0))


def test_frames_have_room_of_their_own_and_are_never_deleted(tmp_path: Path) -> None:
    first = lesson(tmp_path / "one").offer(sure(), scene(0))
    assert first is not None
    size = first.stat().st_size
    found = lesson(tmp_path, max_mb=3.5 * size / 1e6)
    assert len(learned(found, 5.0, every_s=1.0, is_still=False)) <= 3
    kept = sorted((tmp_path / "kept/labelled/unknown").iterdir())
    assert kept
    assert sum(path.stat().st_size for path in kept) <= 3.5 * size
    assert "--keep-mb allows no more" in found.line()


def test_what_earlier_lessons_left_counts(tmp_path: Path) -> None:
    first = lesson(tmp_path).offer(sure(), scene(0))
    assert first is not None
    again = lesson(tmp_path, max_mb=1.5 * first.stat().st_size / 1e6)
    assert again.offer(sure(100.0), scene(1)) is None
    assert again.line() == "no frame of the scene was kept, and --keep-mb allows no more"
    assert first.exists()


def test_what_a_person_labelled_does_not_count(tmp_path: Path) -> None:
    store = UncertainStore(tmp_path / "kept", LABELS)
    path = store.offer(fakes.decision((0.5, 0.4, 0.1)), scene(0))
    assert path is not None
    size = store.label(path.stem, "unknown").stat().st_size
    assert lesson(tmp_path, max_mb=1.5 * size / 1e6).offer(sure(), scene(1)) is not None


def test_frames_like_those_of_an_earlier_lesson_are_not_kept_again(tmp_path: Path) -> None:
    for number in range(4):
        assert lesson(tmp_path).offer(sure(number), scene(number)) is not None
    again = lesson(tmp_path)
    assert again.offer(sure(10.0), scene(9, 10.0)) is not None
    assert [again.offer(sure(11.0 + n), scene(n, 11.0 + n)) for n in range(4)] == [None] * 4


def test_two_frames_of_one_millisecond_have_names_of_their_own(tmp_path: Path) -> None:
    first, second = (lesson(tmp_path).offer(sure(), scene(number)) for number in (1, 2))
    assert first is not None
    assert second is not None
    assert second.stem == f"{first.stem}-2"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    found = lesson(tmp_path)
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(OutputError) as caught:
        found.offer(sure(), scene(1))
    one_line(caught)
    assert found.kept == 0


def test_the_line_says_how_many_and_what_to_do_with_them(tmp_path: Path) -> None:
    found = lesson(tmp_path)
    assert found.line() == "no frame of the scene was kept: there was no picture"
    found.offer(sure(), scene(0))
    assert found.line() == (
        f"kept 1 frame of the scene in {tmp_path}/kept/labelled/unknown; to learn it, copy what is in "
        f"{tmp_path}/kept/labelled into the folder of photos and train again"
    )
    found.offer(sure(1.0), scene(1, 1.0))
    assert "kept 2 frames of" in found.line()
