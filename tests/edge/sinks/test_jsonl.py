"""JSON lines, to a file and to a stream."""

from __future__ import annotations

import io
import json
import resource
from pathlib import Path

import pytest

from edge.errors import OutputError
from edge.sinks.jsonl import JsonLinesFile, JsonLinesStream, json_line
from tests.edge.fakes import decision, frame


def test_a_line_holds_what_the_issue_asks_for() -> None:
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
    line_bytes = len(json_line(decision())) + 1
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    sink = JsonLinesFile(path)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (line_bytes + 10, limits[1])
    )  # Python ignores the signal that goes with it
    try:
        sink.show(decision(), frame())
        with pytest.raises(OutputError, match="disk is full"):
            sink.show(decision(), frame())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        sink.close()
    assert [json.loads(line)["label"] for line in path.read_text().splitlines()] == ["roses"]


class ClosedPipe(io.StringIO):
    def flush(self) -> None:
        raise BrokenPipeError


def test_a_reader_that_has_gone_is_no_failure() -> None:
    with pytest.raises(BrokenPipeError):
        JsonLinesStream(ClosedPipe()).show(decision(), frame())
