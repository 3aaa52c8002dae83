"""Recording: what is written, that it is bounded, and that nothing is half done when the disk fails."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract.event import NO_PICTURE, SIGHTING, SIGHTING_BEGAN, STARTED, STOPPED, Event
from edge.contract.frame import Frame
from edge.errors import OutputError, UsageError
from edge.live.replay import read_session
from edge.picture.geometry import Picture, model_input, read_photo
from edge.picture.region import Roi
from edge.sinks.recording.journal import JOURNAL, Header
from edge.sinks.recording.sink import RecordSink
from tests.edge import fakes
from tests.edge.fakes import LABELS, one_line

CREATED = 1_795_428_131.5  # 2026-11-23T10:02:11Z
HEADER = Header("flowers.tflite", "ab" * 32, LABELS, 32, "camera 0", True, CREATED, {"threshold": 0.5})
ENDED = "recording has ended: "


def scene(number: int) -> Frame:
    picture = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
    return replace(fakes.frame(number, captured_at=100 + number / 8), image_bgr=picture)


def show(sink: RecordSink, number: int) -> None:
    sink.show(fakes.decision(number=number), scene(number))


def kinds(folder: Path) -> list[str]:
    return [next(iter(json.loads(line))) for line in (folder / JOURNAL).read_text().splitlines()]


def test_inputs_are_those_of_the_model_bit_by_bit(tmp_path: Path) -> None:
    sink = RecordSink(tmp_path, HEADER)
    frame = replace(scene(1), roi=Roi(0.5, 0.0, 1.0, 1.0))
    sink.show(fakes.decision(), frame)
    sink.close()
    recorded = read_photo(sink.folder / "inputs/0000/0000000.png")
    assert (model_input(recorded, 32) == model_input(frame.seen_bgr, 32)).all()
    assert (recorded[..., ::-1] == model_input(frame.seen_bgr, 32)).all()


def test_journal_says_what_the_run_was_and_every_time_exactly(tmp_path: Path) -> None:
    sink = RecordSink(tmp_path, HEADER)
    decision = replace(fakes.decision(time=0.1 + 0.2), age_ms=1 / 3, is_held=True)
    sink.show(decision, replace(scene(5), captured_at=2 / 3))
    sink.close()
    session = read_session(tmp_path)
    assert session.header == HEADER
    assert session.threshold == 0.5
    (answer,) = session.answers
    assert (answer.time, answer.age_ms, answer.captured_at, answer.held) == (0.1 + 0.2, 1 / 3, 2 / 3, True)
    assert (answer.shown, answer.probability, answer.frame, answer.name) == ("roses", 0.75, 5, "clip.avi")


def test_events_are_recorded_but_not_what_comes_of_the_decisions_again(tmp_path: Path) -> None:
    sink = RecordSink(tmp_path, HEADER)
    for kind in (STARTED, SIGHTING_BEGAN, SIGHTING, NO_PICTURE):
        sink.tell(Event(kind, 1.0, kind, {"seconds": 1.5}))
    sink.tell(Event(NO_PICTURE, 2.0, "still none", is_update=True))
    sink.close()
    lines = [json.loads(line) for line in (sink.folder / JOURNAL).read_text().splitlines()]
    assert [line["event"]["kind"] for line in lines[1:]] == [STARTED, NO_PICTURE]
    assert lines[2]["event"] == {"kind": NO_PICTURE, "time": 1.0, "text": NO_PICTURE, "data": {"seconds": 1.5}}


def test_every_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    sinks = [RecordSink(tmp_path / "rec", HEADER) for _ in range(3)]
    names = [sink.folder.name for sink in sinks]
    assert names == ["2026-11-23T100211Z", "2026-11-23T100211Z-2", "2026-11-23T100211Z-3"]
    for sink in sinks:
        sink.close()


def test_a_run_in_which_nothing_happened_leaves_nothing(tmp_path: Path) -> None:
    sink = RecordSink(tmp_path / "rec", HEADER)
    sink.tell(Event(STARTED, 1.0, "watching"))
    sink.tell(Event(STOPPED, 1.0, "stopped"))
    sink.close()
    sink.close()
    assert list((tmp_path / "rec").iterdir()) == []


def test_clip_plays_as_fast_as_it_went_at_five_pictures_a_second(tmp_path: Path) -> None:
    sink = RecordSink(tmp_path, HEADER)
    for number in range(32):  # four seconds at eight a second
        show(sink, number)
    sink.close()
    capture = cv2.VideoCapture(str(sink.folder / "clip.avi"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 20
    assert capture.get(cv2.CAP_PROP_FPS) == 5
    capture.release()


def test_clip_of_files_holds_every_picture(tmp_path: Path) -> None:
    sink = RecordSink(tmp_path, replace(HEADER, is_live=False))
    for number in range(7):
        show(sink, number)
    sink.close()
    capture = cv2.VideoCapture(str(sink.folder / "clip.avi"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 7
    capture.release()


def test_recording_ends_with_one_event_when_it_is_full_and_what_is_there_replays(tmp_path: Path) -> None:
    told: list[Event] = []
    sink = RecordSink(tmp_path, HEADER, max_mb=0.5, tell=told.append)
    for number in range(60):
        show(sink, number)
        sink.tell(Event(NO_PICTURE, 1.0, "no picture"))
    used = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert 400_000 < used < 600_000  # what OpenCV has yet to write of the clip is not counted
    (event,) = told
    assert event.text == f"{ENDED}{tmp_path} holds 0.5 MB; for more: --record-mb"
    assert event.data["output"] == "record"
    assert 3 < len(read_session(tmp_path).answers) < 60
    assert (sink.folder / "clip.avi").exists()
    sink.close()


def test_recordings_of_earlier_runs_count(tmp_path: Path) -> None:
    (tmp_path / "rec/earlier").mkdir(parents=True)
    (tmp_path / "rec/earlier/clip.avi").write_bytes(b"x" * 200_000)
    told: list[Event] = []
    sink = RecordSink(tmp_path / "rec", HEADER, max_mb=0.1, tell=told.append)
    show(sink, 0)
    sink.close()
    assert len(told) == 1
    assert [path.name for path in (tmp_path / "rec").iterdir()] == ["earlier"]


def test_room_is_left_on_the_disk(tmp_path: Path) -> None:
    told: list[Event] = []
    room = iter([200e6, 100e6, 99e6])
    sink = RecordSink(tmp_path, HEADER, tell=told.append, free_bytes=lambda folder: int(next(room)))
    for number in range(5):
        show(sink, number)
    assert len(read_session(tmp_path).answers) == 2
    assert told[0].text.startswith(f"{ENDED}less than 100 MB are free on the disk of {tmp_path}")


def test_decisions_that_never_got_here_are_noted_before_the_next(tmp_path: Path) -> None:
    lost = iter([0, 2, 2, 5])
    sink = RecordSink(tmp_path, HEADER, lost=lambda: next(lost))
    for number in range(4):
        show(sink, number)
    sink.close()
    assert kinds(sink.folder) == ["session", "answer", "lost", "answer", "answer", "lost", "answer"]
    assert read_session(tmp_path).damage() == [
        f"{sink.folder}: 5 decisions were not recorded; from there on the replay differs"
    ]


def test_after_a_full_disk_the_same_call_does_it_all_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    sink = RecordSink(tmp_path, HEADER)
    show(sink, 0)
    monkeypatch.setattr(Path, "write_bytes", fails)
    for _ in range(2):
        with pytest.raises(OutputError, match="No space left") as caught:
            show(sink, 1)
        one_line(caught)
    monkeypatch.undo()
    show(sink, 1)
    sink.close()
    assert [answer.frame for answer in read_session(tmp_path).answers] == [0, 1]
    assert not list(tmp_path.rglob(".*.tmp"))


class _Torn:
    """A file on a disk that fills up within a line."""

    def __init__(self, file: object, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: bytes) -> int:
        part = data[: self._room]
        self._room = len(data)
        return int(self._file.write(part))  # type: ignore[attr-defined]

    def fileno(self) -> int:
        return int(self._file.fileno())  # type: ignore[attr-defined]

    def close(self) -> None:
        self._file.close()  # type: ignore[attr-defined]


def test_a_line_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = RecordSink(tmp_path, HEADER)
    show(sink, 0)
    monkeypatch.setattr(sink._journal, "_file", _Torn(sink._journal._file, 30))
    before = (sink.folder / JOURNAL).read_bytes()
    with pytest.raises(OutputError, match="the disk is full"):
        show(sink, 1)
    assert (sink.folder / JOURNAL).read_bytes() == before
    show(sink, 1)
    sink.close()
    assert [answer.frame for answer in read_session(tmp_path).answers] == [0, 1]


def test_a_clip_that_fails_leaves_the_recording_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: object, picture_bgr: Picture) -> None:
        raise OutputError("the clip could not be written whole")

    sink = RecordSink(tmp_path, HEADER)
    monkeypatch.setattr("edge.picture.video.VideoWriter.add", fails)
    for number in range(3):
        show(sink, number)
    sink.close()
    assert len(read_session(tmp_path).answers) == 3
    assert sorted(path.name for path in sink.folder.iterdir()) == ["inputs", JOURNAL]


@pytest.mark.parametrize("max_mb", [0, -1, float("inf"), float("nan")])
def test_a_limit_that_is_none_is_refused(tmp_path: Path, max_mb: float) -> None:
    with pytest.raises(UsageError, match="--record-mb is"):
        RecordSink(tmp_path, HEADER, max_mb=max_mb)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "rec").write_text("a file")
    with pytest.raises(OutputError) as caught:
        RecordSink(tmp_path / "rec", HEADER)
    assert str(tmp_path / "rec") in one_line(caught)


def test_pictures_are_spread_over_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sinks.recording.sink.PER_FOLDER", 2)
    sink = RecordSink(tmp_path, HEADER)
    for number in range(5):
        show(sink, number)
    sink.close()
    assert sorted(path.name for path in (sink.folder / "inputs").iterdir()) == ["0000", "0001", "0002"]
    assert len(read_session(tmp_path).answers) == 5
