"""A recorded session replays to the same decisions, byte for byte; what is no session is refused in one line."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.contract.event import NO_PICTURE, REOPENING, Event
from edge.contract.frame import Frame
from edge.contract.sink import Sink
from edge.errors import FloraError, SourceError, UsageError
from edge.live.hub import Hub
from edge.live.loop import Live, LiveConfig, run_live
from edge.live.monitor import LiveSummary
from edge.live.replay import Comparison, Session, _after, read_session
from edge.model.classifier import Classifier
from edge.sinks.jsonl import JsonLinesFile
from edge.sinks.recording.journal import JOURNAL, Header, entry_line, parse_entry
from edge.sinks.recording.sink import RecordSink
from edge.sources.camera import CameraOptions
from edge.sources.opening import open_source
from tests.edge.fakes import one_line
from tests.edge.model import tiny
from tests.edge.sinks.recording.sessions import Recorded, record


def replayed(
    session: Session, model: Path, out: Path, *, config: LiveConfig | None = None, sinks: tuple[Sink, ...] = ()
) -> tuple[bytes, LiveSummary]:
    """The JSON lines of a replay, and its summary."""
    hub = Hub(clock=session.clock, wall=session.wall)
    classifier = session.timed(Classifier(model, threshold=session.threshold))
    live = Live(
        hub, classifier, session.source(hub.tell), [JsonLinesFile(out), *sinks],
        session.config(config or LiveConfig()), gate=session.gate,
    )  # fmt: skip
    summary = live.run()
    return out.read_bytes(), summary


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def copied(recorded: Recorded, tmp_path: Path) -> Path:
    """A session that may be spoilt."""
    shutil.copytree(recorded.folder, tmp_path / "session")
    return tmp_path / "session"


def every_other(frame: Frame) -> bool:
    return frame.number % 2 == 0


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({}, id="as it comes"),
        pytest.param({"config": LiveConfig(smoothing_s=0.0)}, id="without smoothing"),
        pytest.param({"config": LiveConfig(smoothing_s=3.0, hysteresis=0.3)}, id="with much smoothing"),
        pytest.param({"config": LiveConfig(max_fps=4.0)}, id="at four frames a second"),
        pytest.param({"config": LiveConfig(roi="0.25,0,1,1")}, id="within a region"),
        pytest.param({"threshold": 0.6}, id="with another threshold"),
        pytest.param({"gate": every_other}, id="held while nothing moved"),
        pytest.param({"failure": SourceError("camera 0: no picture for 60 s")}, id="ended by an error"),
    ],
)
def test_replay_writes_the_same_json_lines_byte_for_byte(tmp_path: Path, how: dict[str, Any]) -> None:
    live = record(tmp_path, **how)
    lines, summary = replayed(read_session(live.folder), live.model, tmp_path / "replayed.jsonl")
    assert lines == live.lines
    assert str(summary.error) == str(live.summary.error)


def test_recorded_times_come_back_to_the_last_bit() -> None:
    """Where an age is right but for its last bit, a rounded number in the JSON lines may differ."""
    random = np.random.default_rng(11)
    for captured_at, age_s in random.uniform((0, 0), (1, 3), (20_000, 2)).tolist():
        age_ms = (captured_at + age_s - captured_at) * 1000
        assert (_after(captured_at, age_ms) - captured_at) * 1000 == age_ms


def test_the_recorded_run_was_worth_replaying(recorded: Recorded) -> None:
    """It stalled, it was sighted, it changed its mind; or the tests above would prove little."""
    kinds = [json.loads(line).get("event", "answer") for line in recorded.lines.splitlines()]
    assert kinds.count("answer") == 40
    assert kinds.count(NO_PICTURE) == kinds.count(REOPENING) == 3
    assert "sighting" in kinds
    assert recorded.summary.label_changes > 2


def test_replay_sums_up_as_the_run_did(recorded: Recorded, tmp_path: Path) -> None:
    _, summary = replayed(read_session(recorded.folder), recorded.model, tmp_path / "replayed.jsonl")
    assert (summary.frames, summary.dropped, summary.reopened) == (40, recorded.summary.dropped, 3)
    assert summary.lines()[:2] == recorded.summary.lines()[:2]
    assert summary.age_ms == recorded.summary.age_ms
    assert summary.wait_ms is not None
    assert recorded.summary.wait_ms is not None
    assert summary.wait_ms.p50 == pytest.approx(recorded.summary.wait_ms.p50)


def test_replay_does_not_wait(recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"slept {seconds} s"))
    session = read_session(recorded.folder)
    _, summary = replayed(session, recorded.model, tmp_path / "replayed.jsonl", config=LiveConfig(max_fps=1.0))
    assert summary.frames == 40


def test_a_session_replays_again_and_again(recorded: Recorded, tmp_path: Path) -> None:
    session = read_session(recorded.folder)
    first, _ = replayed(session, recorded.model, tmp_path / "1.jsonl")
    again, _ = replayed(session, recorded.model, tmp_path / "2.jsonl")
    assert first == again == recorded.lines


def test_what_is_given_goes_before_what_was_recorded(recorded: Recorded, tmp_path: Path) -> None:
    session = read_session(recorded.folder)
    lines, _ = replayed(session, recorded.model, tmp_path / "1.jsonl", config=LiveConfig(smoothing_s=0.0))
    assert lines != recorded.lines
    assert session.config(LiveConfig(hysteresis=0.4)).hysteresis == 0.4
    with pytest.raises(UsageError, match="--roi cannot be used with --replay"):
        session.config(LiveConfig(roi="0,0,1,0.5"))


def test_another_model_answers_anew(recorded: Recorded, tmp_path: Path) -> None:
    other = tiny.write_model(tmp_path / "other.tflite", labels=("ruby", "emerald", "sapphire"))
    session = read_session(recorded.folder)
    comparison = Comparison(session)
    lines, _ = replayed(session, other, tmp_path / "replayed.jsonl", sinks=(comparison,))
    answers = [json.loads(line) for line in lines.splitlines() if b'"label"' in line and b'"event"' not in line]
    assert {answer["label"] for answer in answers} == {"ruby", "emerald"}
    assert [answer["latency_ms"] for answer in answers] == [
        json.loads(line)["latency_ms"] for line in recorded.lines.splitlines() if b'"event"' not in line
    ]
    assert comparison.line() == "0 of 40 answers are as they were recorded with colours.tflite"
    remark = session.remark(other)
    assert remark is not None
    assert remark.startswith("recorded with colours.tflite (")
    assert remark.endswith("); other.tflite answers anew")
    assert session.remark(recorded.model) is None


def test_comparison_counts_the_answers_that_are_the_same(recorded: Recorded, tmp_path: Path) -> None:
    session = read_session(recorded.folder)
    same, other = Comparison(session), Comparison(session)
    replayed(session, recorded.model, tmp_path / "1.jsonl", sinks=(same,))
    replayed(session, recorded.model, tmp_path / "2.jsonl", config=LiveConfig(smoothing_s=0.0), sinks=(other,))
    assert (same.same, same.answers) == (40, 40)
    assert 25 < other.same < 40


def test_a_real_source_replays_too(tmp_path: Path) -> None:
    """The test pattern on the machine's own clocks."""
    model = tiny.write_model(tmp_path / "colours.tflite")
    classifier = Classifier(model)
    source = open_source("test", CameraOptions((64, 48)))
    header = Header("colours.tflite", None, classifier.labels, 32, source.name, source.is_live, time.time())
    sinks: list[Sink] = [JsonLinesFile(tmp_path / "live.jsonl"), RecordSink(tmp_path / "rec", header)]
    run_live(classifier, source, sinks, config=LiveConfig(frames=8))
    lines, _ = replayed(read_session(tmp_path / "rec"), model, tmp_path / "replayed.jsonl")
    assert lines == (tmp_path / "live.jsonl").read_bytes()
    assert lines.count(b"\n") == 10


# --- sessions that are damaged ----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_run_killed_at_any_moment_replays_as_far_as_it_got(
    recorded: Recorded, copied: Path, tmp_path: Path, share: float
) -> None:
    journal = copied / JOURNAL
    data = journal.read_bytes()
    journal.write_bytes(data[: int(len(data) * share)])
    lines, summary = replayed(read_session(copied), recorded.model, tmp_path / "replayed.jsonl")
    assert 0 < summary.frames <= 40
    answers = [line for line in lines.splitlines() if b'"event"' not in line]
    assert answers == [line for line in recorded.lines.splitlines() if b'"event"' not in line][: summary.frames]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path.unlink(), id="missing"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-20]), id="cut"),
    ],
)
def test_pictures_that_a_power_cut_left_unwritten_are_left_out(
    recorded: Recorded, copied: Path, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    for number in (38, 39):
        spoil(copied / f"inputs/0000/{number:07}.png")
    session = read_session(copied)
    _, summary = replayed(session, recorded.model, tmp_path / "replayed.jsonl")
    assert summary.frames == 38
    assert len(summary.warnings) == 1
    assert "whose pictures were not written whole" in summary.warnings[0]


def test_a_damaged_picture_in_the_middle_ends_the_replay_with_one_line(
    recorded: Recorded, copied: Path, tmp_path: Path
) -> None:
    path = copied / "inputs/0000/0000005.png"
    path.write_bytes(path.read_bytes()[:-20])
    _, summary = replayed(read_session(copied), recorded.model, tmp_path / "replayed.jsonl")
    assert summary.frames == 5
    assert str(path) in str(summary.error)
    assert "\n" not in str(summary.error)


def test_a_picture_of_another_size_is_not_even_decoded(recorded: Recorded, copied: Path, tmp_path: Path) -> None:
    path = copied / "inputs/0000/0000005.png"
    data = bytearray(path.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    path.write_bytes(bytes(data[:29]) + zlib.crc32(data[12:29]).to_bytes(4, "big") + bytes(data[33:]))
    _, summary = replayed(read_session(copied), recorded.model, tmp_path / "replayed.jsonl")
    assert "not the PNG of 32x32 pixels" in str(summary.error)


def test_decisions_that_were_not_recorded_are_told(recorded: Recorded, copied: Path, tmp_path: Path) -> None:
    lines = (copied / JOURNAL).read_text().splitlines(keepends=True)
    (copied / JOURNAL).write_text("".join([*lines[:5], '{"lost": 3}\n', *lines[5:]]))
    _, summary = replayed(read_session(copied), recorded.model, tmp_path / "replayed.jsonl")
    assert summary.warnings == (f"{copied}: 3 decisions were not recorded; from there on the replay differs",)


def changed(line: int, key: str, **changes: Any) -> Callable[[list[str]], list[str]]:
    def change(lines: list[str]) -> list[str]:
        content = json.loads(lines[line])
        content[key] = content[key] | changes
        return [*lines[:line], json.dumps(content) + "\n", *lines[line + 1 :]]

    return change


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda lines: [], "not JSON", id="empty"),
        pytest.param(lambda lines: ["{}\n"], "not one JSON object with one key", id="no header"),
        pytest.param(lambda lines: ["[" * 100_000 + "\n"], "nested too deeply", id="nested"),
        pytest.param(lambda lines: lines[1:], "does not begin with what the session was", id="header gone"),
        pytest.param(lambda lines: lines[:1], "holds no answer", id="no answers"),
        pytest.param(changed(0, "session", format=2), "is of format 2, this Flora reads format 1", id="newer format"),
        pytest.param(changed(0, "session", size=0), "its size", id="size"),
        pytest.param(changed(0, "session", labels="roses"), "labels is 'roses'", id="labels"),
        pytest.param(changed(0, "session", settings=None), "settings is None", id="settings"),
        pytest.param(changed(2, "answer", file="../../secret.png"), "cannot be", id="outside the folder"),
        pytest.param(changed(2, "answer", file="/etc/passwd"), "cannot be", id="absolute"),
        pytest.param(changed(2, "answer", age_ms="7"), "age_ms is '7'", id="text for a number"),
        pytest.param(changed(2, "answer", age_ms=float("nan")), "NaN is no number", id="not a number"),
        pytest.param(changed(2, "answer", time=1e400), "Infinity is no number", id="infinite"),
        pytest.param(changed(2, "answer", frame=-1), "its number -1", id="negative"),
        pytest.param(changed(2, "answer", held=0), "held is 0", id="number for a truth"),
        pytest.param(changed(1, "event", data=[]), "data is []", id="event"),
        pytest.param(lambda lines: [*lines[:3], "\n", *lines[3:]], "line 4 is damaged", id="blank line"),
        pytest.param(lambda lines: [*lines[:3], '{"lost": "much"}\n'], "line 4 is damaged", id="no number lost"),
    ],
)
def test_a_session_that_is_none_is_refused_in_one_line(
    copied: Path, spoil: Callable[[list[str]], list[str]], said: str
) -> None:
    lines = (copied / JOURNAL).read_text().splitlines(keepends=True)
    (copied / JOURNAL).write_text("".join(spoil(lines)))
    with pytest.raises(SourceError) as caught:
        read_session(copied)
    assert said in one_line(caught)
    assert len(str(caught.value)) < 500 + len(str(copied))


def test_what_is_not_known_of_a_recording_is_told_once_and_changes_no_answer(
    recorded: Recorded, copied: Path, tmp_path: Path
) -> None:
    lines = (copied / JOURNAL).read_text().splitlines(keepends=True)
    for line in range(len(lines)):
        (key,) = json.loads(lines[line])
        lines = changed(line, key, mood=[line])(lines)
    lines = changed(0, "session", format="1.4")(lines)
    (copied / JOURNAL).write_text("".join([lines[0], '{"weather": "rain"}\n', *lines[1:], '{"weather": "sun"}\n']))
    replayed_lines, summary = replayed(read_session(copied), recorded.model, tmp_path / "replayed.jsonl")
    assert replayed_lines == recorded.lines
    assert summary.warnings == (
        f"{copied / JOURNAL}: holds what this Flora does not know and leaves as it is: "
        "session.mood, weather, event.mood, answer.mood",
    )


def test_what_is_missing_of_a_recording_has_its_default(copied: Path) -> None:
    lines = (copied / JOURNAL).read_text().splitlines(keepends=True)
    needed = {"session": {"size"}, "answer": {"file", "frame", "captured_at", "time", "age_ms"}}
    contents = [json.loads(line) for line in lines if '"event"' not in line]
    contents = [{key: {name: value[name] for name in needed[key]}} for one in contents for key, value in one.items()]
    (copied / JOURNAL).write_text("".join(json.dumps(one) + "\n" for one in contents))
    session = read_session(copied)
    assert session.header == Header("a model without a name", None, (), 32, "a recording", False, 0.0)
    assert (session.answers[0].shown, session.answers[0].invoke_ms, session.answers[0].held) == ("", 0.0, False)
    assert len(session.answers) == 40


def test_what_is_kept_of_an_entry_is_written_again() -> None:
    for line in (
        '{"event": {"kind": "stopped", "time": 1.5, "text": "end", "data": {}, "mood": [1]}}\n',
        '{"lost": 3}\n',
        '{"weather": "rain"}\n',
    ):
        assert entry_line(parse_entry(line)) == line


def test_garbage_never_comes_through_as_a_traceback(copied: Path) -> None:
    """Bytes flipped, cut out and doubled at random: a session, or an error of ours."""
    random, journal = np.random.default_rng(7), copied / JOURNAL
    data = journal.read_bytes()
    for _ in range(300):
        spoilt = bytearray(data)
        at, length = int(random.integers(len(data))), int(random.integers(1, 40))
        spoilt[at : at + length] = [b"", random.bytes(length), spoilt[at : at + 2 * length]][random.integers(3)]
        journal.write_bytes(bytes(spoilt))
        with contextlib.suppress(FloraError):
            read_session(copied).config(LiveConfig())


def test_the_only_session_of_a_folder_is_found_and_of_several_none(recorded: Recorded, tmp_path: Path) -> None:
    shutil.copytree(recorded.folder, tmp_path / "rec/one")
    assert read_session(tmp_path / "rec").folder == tmp_path / "rec/one"
    shutil.copytree(recorded.folder, tmp_path / "rec/two")
    with pytest.raises(SourceError, match="holds 2 sessions") as caught:
        read_session(tmp_path / "rec")
    assert str(tmp_path / "rec/two") in one_line(caught)


@pytest.mark.parametrize("name", ["nothing", "file", "empty"])
def test_a_folder_without_a_session_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="expected a folder that flora run --record wrote") as caught:
        read_session(tmp_path / name)
    one_line(caught)


def test_settings_of_the_wrong_kind_are_refused(recorded: Recorded) -> None:
    session = read_session(recorded.folder)
    session.header = replace(session.header, settings={"smoothing_s": "long"})
    with pytest.raises(SourceError, match="'long'"):
        session.config(LiveConfig())


def test_events_come_at_their_place_with_the_time_of_day_in_step(recorded: Recorded) -> None:
    session = read_session(recorded.folder)
    told: list[tuple[int, Event, float]] = []
    seen: list[Frame] = []
    source = session.source(lambda event: told.append((len(seen), event, session.wall())))
    while (frame := source.read()) is not None:
        seen.append(frame)
    assert [at for at, event, _ in told if event.kind == NO_PICTURE] == [10, 20, 30]
    assert all(event.time == wall for _, event, wall in told)
    assert source.read() is None
