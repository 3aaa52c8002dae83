"""JSON lines, to a file and to a stream."""

from __future__ import annotations

import io
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge.contract.event import NO_PICTURE, Event
from edge.errors import OutputError, UsageError
from edge.sinks.jsonl import JsonLinesFile, JsonLinesStream, json_line
from tests.edge.fakes import decision, frame, one_line

LINE_BYTES = len(json_line(decision())) + 1


def event(*, is_update: bool = False) -> Event:
    return Event(NO_PICTURE, 1_800_000_000.5, "no picture for 4 s", {"seconds": 4.0}, is_update=is_update)


def numbers(path: Path) -> list[int]:
    """The frames in a file of JSON lines; fails on a line that is not whole."""
    text = path.read_text("ascii")
    assert text == "" or text.endswith("\n")
    return [json.loads(line)["frame"] for line in text.splitlines()]


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes: EFBIG. Python ignores the signal that goes with it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_line_holds_all_that_is_known_of_an_answer() -> None:
    record = json.loads(json_line(decision(number=12, threshold=0.9, name="roses/1.jpg")))
    assert record == {
        "time": "2027-01-15T08:00:00.500Z",
        "epoch": 1_800_000_000.5,
        "source": "clip.avi",
        "frame": 12,
        "name": "roses/1.jpg",
        "label": "roses",
        "probability": 0.75,
        "unknown": True,
        "probabilities": {"roses": 0.75, "daisy": 0.125, "tulips": 0.125},
        "latency_ms": 3.5,
        "age_ms": 7.0,
        "captured": "2027-01-15T08:00:00.493Z",
        "nearest": {"label": "roses", "probability": 0.75},
    }
    assert list(record["probabilities"]) == ["roses", "daisy", "tulips"]


def test_a_name_with_any_character_stays_on_one_ascii_line() -> None:
    line = json_line(decision(name="a\nb \udce9 ü.jpg"))
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["name"] == "a\nb \udce9 ü.jpg"


def test_a_file_is_appended_to_and_readable_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"old": 1}\n')
    sink = JsonLinesFile(path)
    for number in range(3):
        sink.show(decision(number=number), frame())
        assert len(path.read_text().splitlines()) == number + 2
    sink.close()
    sink.close()
    assert [json.loads(line).get("frame") for line in path.read_text().splitlines()] == [None, 0, 1, 2]


def test_a_stream_gets_the_same_lines() -> None:
    stdout = io.StringIO()
    sink = JsonLinesStream(stdout)
    sink.show(decision(), frame())
    sink.close()
    assert json.loads(stdout.getvalue())["label"] == "roses"


@pytest.mark.parametrize("place", ["no/such/folder.jsonl", "."], ids=["no folder", "a folder"])
def test_a_path_that_cannot_be_written_is_one_line(tmp_path: Path, place: str) -> None:
    with pytest.raises(OutputError, match=r"cannot be written .*; free some space or choose another path") as caught:
        JsonLinesFile(tmp_path / place)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_line() -> None:
    sink = JsonLinesFile("/dev/full")
    with pytest.raises(OutputError, match=r"^/dev/full: cannot be written .No space left on device."):
        sink.show(decision(), frame())
    sink.close()


def test_a_full_disk_behind_stdout_is_one_line_and_leaves_nothing_to_fail_later() -> None:
    with Path("/dev/full").open("w") as stream:
        sink = JsonLinesStream(stream)
        with pytest.raises(OutputError, match="JSON lines cannot be written to the output"):
            sink.show(decision(), frame())
        sink.close()
        stream.flush()  # would raise again if the rest of the line still waited for the full disk


def test_a_disk_that_fills_within_a_line_keeps_only_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesFile(path)
    with file_size_limit(LINE_BYTES + 10):
        sink.show(decision(number=1), frame())
        with pytest.raises(OutputError, match="disk is full"):
            sink.show(decision(number=2), frame())
    assert numbers(path) == [1]
    sink.show(decision(number=2), frame())  # as the thread of a sink does: the same call again
    sink.close()
    assert numbers(path) == [1, 2]


class ClosedPipe(io.StringIO):
    def flush(self) -> None:
        raise BrokenPipeError


def test_a_reader_that_has_gone_is_no_failure() -> None:
    with pytest.raises(BrokenPipeError):
        JsonLinesStream(ClosedPipe()).show(decision(), frame())


# Events


def test_an_answer_that_stands_because_nothing_moved_says_so() -> None:
    assert "nearest" not in json.loads(json_line(decision()))
    assert "held" not in json.loads(json_line(decision()))
    assert json.loads(json_line(replace(decision(), is_held=True)))["held"] is True


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_events_are_lines_too_but_not_those_that_only_go_on(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with path.open("w") as stream:
        sink = JsonLinesStream(stream) if kind == "stream" else JsonLinesFile(path)
        sink.tell(event())
        sink.tell(event(is_update=True))
        sink.close()
    assert [json.loads(line) for line in path.read_text("ascii").splitlines()] == [
        {
            "event": "no_picture",
            "time": "2027-01-15T08:00:00.500Z",
            "epoch": 1_800_000_000.5,
            "text": "no picture for 4 s",
            "seconds": 4.0,
        }
    ]


def test_no_decision_is_left_out_and_none_keeps_a_picture() -> None:
    for sink in (JsonLinesFile, JsonLinesStream):
        assert (sink.name, sink.needs_picture) == ("jsonl", False)
        assert sink.backlog >= 1000


# Rotation


def rotating(path: Path, lines: int, keep: int = 2) -> JsonLinesFile:
    """So many lines fit into one file."""
    return JsonLinesFile(path, rotate_mb=(lines * LINE_BYTES + 5) / 1e6, keep=keep)


def show_all(sink: JsonLinesFile, first: int, last: int) -> None:
    for number in range(first, last + 1):
        sink.show(decision(number=number), frame())


def in_folder(folder: Path) -> dict[str, list[int]]:
    return {path.name: numbers(path) for path in sorted(folder.iterdir())}


def test_a_file_that_would_grow_too_large_is_renamed_and_the_oldest_goes(tmp_path: Path) -> None:
    sink = rotating(tmp_path / "out.jsonl", lines=2)
    show_all(sink, 1, 4)
    assert in_folder(tmp_path) == {"out.jsonl": [3, 4], "out.jsonl.1": [1, 2]}
    show_all(sink, 5, 9)
    sink.close()
    assert in_folder(tmp_path) == {"out.jsonl": [9], "out.jsonl.1": [7, 8], "out.jsonl.2": [5, 6]}


def test_rotation_goes_on_with_what_an_earlier_run_left(tmp_path: Path) -> None:
    for first in (1, 3):
        sink = rotating(tmp_path / "out.jsonl", lines=3)
        show_all(sink, first, first + 1)
        sink.close()
    assert in_folder(tmp_path) == {"out.jsonl": [4], "out.jsonl.1": [1, 2, 3]}


def test_a_line_longer_than_the_limit_gets_a_file_of_its_own(tmp_path: Path) -> None:
    sink = JsonLinesFile(tmp_path / "out.jsonl", rotate_mb=1e-6)
    show_all(sink, 1, 2)
    sink.close()
    assert in_folder(tmp_path) == {"out.jsonl": [2], "out.jsonl.1": [1]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"": [3], ".1": [1]}, {"": [4], ".1": [3], ".2": [1]}, id="before its first rename"),
        pytest.param({"": [3], ".2": [1]}, {"": [4], ".1": [3], ".2": [1]}, id="between two renames"),
        pytest.param({".1": [3], ".2": [1]}, {"": [4], ".1": [3], ".2": [1]}, id="after its last rename"),
    ],
)
def test_a_rotation_that_was_killed_loses_nothing(
    before: dict[str, list[int]], after: dict[str, list[int]], tmp_path: Path
) -> None:
    for suffix, found in before.items():
        (tmp_path / f"o{suffix}").write_text("".join(f"{json_line(decision(number=n))}\n" for n in found))
    sink = rotating(tmp_path / "o", lines=1)
    sink.show(decision(number=4), frame())
    sink.close()
    assert in_folder(tmp_path) == {f"o{suffix}": found for suffix, found in after.items()}


def test_a_link_is_kept_and_its_file_rotated_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out.jsonl"
    link.symlink_to(tmp_path / "disk" / "real.jsonl")
    sink = rotating(link, lines=1)
    show_all(sink, 1, 2)
    sink.close()
    assert link.is_symlink()
    assert in_folder(tmp_path / "disk") == {"real.jsonl": [2], "real.jsonl.1": [1]}


def test_what_is_no_file_is_not_rotated(tmp_path: Path) -> None:
    sink = rotating(Path(os.devnull), lines=1)
    show_all(sink, 1, 5)
    sink.close()
    assert Path(os.devnull).is_char_device()
    assert not Path(f"{os.devnull}.1").exists()


def test_a_rotation_that_is_not_allowed_is_one_line_and_the_lines_go_on_once_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.jsonl"
    sink = rotating(path, lines=1)
    sink.show(decision(number=1), frame())

    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(OutputError, match=r"cannot be written \(Permission denied\)") as caught:
            sink.show(decision(number=2), frame())
    assert one_line(caught)
    sink.show(decision(number=2), frame())
    sink.close()
    assert in_folder(tmp_path) == {"out.jsonl": [2], "out.jsonl.1": [1]}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param({"rotate_mb": -1.0}, "--jsonl-rotate-mb is -1; expected 0", id="less than nothing"),
        pytest.param({"rotate_mb": float("nan")}, "--jsonl-rotate-mb is nan; expected 0", id="not a number"),
        pytest.param({"rotate_mb": 1.0, "keep": 0}, "--jsonl-keep is 0; expected 1", id="nothing kept"),
    ],
)
def test_impossible_options_are_one_line(options: dict[str, float], problem: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=problem):
        JsonLinesFile(tmp_path / "out.jsonl", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


# What happens to the file meanwhile


def test_a_file_that_was_moved_or_deleted_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesFile(path)
    sink.show(decision(number=1), frame())
    path.rename(tmp_path / "moved.jsonl")
    sink.show(decision(number=2), frame())
    path.unlink()
    sink.show(decision(number=3), frame())
    sink.close()
    assert in_folder(tmp_path) == {"out.jsonl": [3], "moved.jsonl": [1]}


def test_a_file_that_was_replaced_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesFile(path)
    (tmp_path / "other").write_text(json_line(decision(number=1)) + "\n")
    (tmp_path / "other").replace(path)
    sink.show(decision(number=2), frame())
    sink.close()
    assert numbers(path) == [1, 2]


def test_a_disk_that_went_and_came_back_is_written_to_again(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    path = stick / "out.jsonl"
    sink = JsonLinesFile(path)
    sink.show(decision(number=1), frame())
    stick.rename(tmp_path / "unplugged")
    for _ in range(2):
        with pytest.raises(OutputError, match=r"cannot be written \(No such file or directory\)"):
            sink.show(decision(number=2), frame())
    (tmp_path / "unplugged").rename(stick)
    sink.show(decision(number=2), frame())
    sink.close()
    assert numbers(path) == [1, 2]


def test_a_full_disk_that_gets_room_gets_the_same_line_once(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.symlink_to("/dev/full")
    sink = JsonLinesFile(path)
    for _ in range(2):
        with pytest.raises(OutputError, match="No space left on device"):
            sink.show(decision(number=1), frame())
    path.unlink()
    path.symlink_to(tmp_path / "room.jsonl")
    sink.show(decision(number=1), frame())
    sink.close()
    assert numbers(path) == [1]


def test_a_line_that_a_power_cut_tore_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"frame": 1}\n{"fra')
    sink = JsonLinesFile(path)
    sink.show(decision(number=2), frame())
    sink.close()
    lines = path.read_text().splitlines()
    assert lines[:2] == ['{"frame": 1}', '{"fra']
    assert [json.loads(line)["frame"] for line in lines[2:]] == [2]


def test_what_could_not_be_taken_back_does_not_spoil_the_next_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesFile(path)

    def refuse(descriptor: int, size: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch, file_size_limit(10):
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(OutputError, match=r"cannot be written \(Input/output error\)"):
            sink.show(decision(number=1), frame())
    sink.show(decision(number=1), frame())
    sink.close()
    torn, whole = path.read_text().splitlines()
    assert len(torn) == 10
    assert json.loads(whole)["frame"] == 1


# Streams


def test_a_stream_on_a_full_disk_gets_the_rest_of_its_line_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    with path.open("w") as stream:
        sink = JsonLinesStream(stream)
        with file_size_limit(LINE_BYTES + 10):
            sink.show(decision(number=1), frame())
            for _ in range(2):
                with pytest.raises(OutputError, match=r"JSON lines cannot be written to the output \(File too large\)"):
                    sink.show(decision(number=2), frame())
        sink.show(decision(number=2), frame())
        sink.show(decision(number=3), frame())
    assert numbers(path) == [1, 2, 3]


def test_a_torn_line_is_finished_before_another_one(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    with path.open("w") as stream:
        sink = JsonLinesStream(stream)
        with file_size_limit(LINE_BYTES - 10), pytest.raises(OutputError):
            sink.show(decision(number=1), frame())
        sink.show(decision(number=2), frame())
    assert numbers(path) == [1, 2]


def test_what_was_printed_before_stays_before(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    with path.open("w") as stream:
        stream.write("# printed\n")
        JsonLinesStream(stream).show(decision(), frame())
        stream.write("# after\n")
    assert [line[0] for line in path.read_text().splitlines()] == ["#", "{", "#"]


# A run of its own, in which the disk is full again and again

DRILL = """
import resource, sys
from edge.errors import OutputError
from edge.sinks.jsonl import JsonLinesFile
from tests.edge.fakes import decision, frame
sink = JsonLinesFile(sys.argv[1], rotate_mb=float(sys.argv[2]), keep=100)
refused = 0
for number in range(300):
    limit = 700 + 37 * (number % 50)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        sink.show(decision(number=number), frame())
    except OutputError:
        refused += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        sink.show(decision(number=number), frame())
print(refused, flush=True)
import os, signal
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("rotate_mb", ["0", "0.003"], ids=["one file", "rotated"])
def test_lines_stay_whole_and_complete_however_often_the_disk_fills(rotate_mb: str, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    command = [sys.executable, "-c", DRILL, str(path), rotate_mb]
    root = Path(__file__).resolve().parents[3]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -9, done.stderr
    assert int(done.stdout) > 10
    files = sorted(tmp_path.iterdir(), key=lambda file: -int(re.sub(r".*jsonl\.?", "", file.name) or 0))
    assert (len(files) > 1) is (rotate_mb != "0")
    assert [number for file in files for number in numbers(file)] == list(range(300))
