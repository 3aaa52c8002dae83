"""The progress bar, on a pretended terminal and into a pipe, with a clock that the test moves."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable

import pytest

from edge.base import progress
from edge.base.progress import PULSE_S, QUIET_S, Bars, Progress, Pulse
from edge.base.streams import USUAL_COLUMNS, columns_of


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    def __init__(self, columns: int = 80) -> None:
        super().__init__()
        self.columns = columns

    def isatty(self) -> bool:
        return True

    def frames(self) -> list[str]:
        return [frame.rstrip() for frame in self.getvalue().split("\r")[1:]]


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _terminal_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "columns_of", lambda stream: getattr(stream, "columns", 80))


def test_a_pipe_gets_a_line_at_the_start_each_quarter_and_the_end(clock: Clock) -> None:
    pipe = io.StringIO()
    with Progress("reading", 100, pipe, clock) as bar:
        for done in range(1, 101):
            clock.now_s += 1
            bar(done)
    assert pipe.getvalue().splitlines() == [
        "reading: 0/100 in 0:00",
        "reading: 25/100 in 0:25",
        "reading: 50/100 in 0:50",
        "reading: 75/100 in 1:15",
        "reading: 100/100 in 1:40",
    ]


def test_a_pipe_hears_where_the_work_stopped(clock: Clock) -> None:
    def fail_at_37() -> None:
        with Progress("reading", 100, pipe, clock) as bar:
            bar(37, note="bad.jpg")
            raise RuntimeError

    pipe = io.StringIO()
    with pytest.raises(RuntimeError):
        fail_at_37()
    assert pipe.getvalue().splitlines()[-1] == "reading: 37/100 in 0:00  bad.jpg"


def test_work_of_unknown_length_is_counted(clock: Clock) -> None:
    pipe = io.StringIO()
    with Progress("frames", 0, pipe, clock) as bar:
        bar(7)
    assert pipe.getvalue().splitlines() == ["frames: 0 in 0:00", "frames: 7 in 0:00"]


def test_a_terminal_is_redrawn_at_most_ten_times_a_second(clock: Clock) -> None:
    terminal = Terminal()
    with Progress("reading", 1000, terminal, clock) as bar:
        for done in range(1000):
            clock.now_s += 0.001
            bar(done)
    assert 9 <= len(terminal.frames()) <= 12


def test_a_terminal_line_tells_share_elapsed_and_remaining_time(clock: Clock) -> None:
    terminal = Terminal()
    with Progress("reading", 100, terminal, clock) as bar:
        bar(0)
        clock.now_s += 30
        bar(25, note="rose.jpg")
        assert terminal.frames()[-1] == "reading  [######..................]  25/100  0:30, 1:30 left  rose.jpg"


def test_remaining_time_of_resumed_work_ignores_what_was_done_before(clock: Clock) -> None:
    terminal = Terminal()
    with Progress("download", 100, terminal, clock) as bar:
        bar(80)
        clock.now_s += 10
        bar(90)
        assert "0:10, 0:10 left" in terminal.frames()[-1]


def test_a_terminal_line_never_wraps_and_wipes_the_line_before(clock: Clock) -> None:
    terminal = Terminal(columns=30)
    with Progress("reading", 9, terminal, clock) as bar:
        clock.now_s += 1
        bar(1, note="a very long file name that does not fit.jpg")
        clock.now_s += 1
        bar(2)
    lines = terminal.getvalue().rstrip("\n").split("\r")[1:]
    assert {len(line) for line in lines} == {29}


def test_the_last_state_is_drawn_and_the_line_ended_once(clock: Clock) -> None:
    terminal = Terminal()
    with Progress("reading", 3, terminal, clock) as bar:
        bar(3)
        bar.close()
    assert "3/3" in terminal.frames()[-1]
    assert terminal.getvalue().endswith("\n")
    assert terminal.getvalue().count("\n") == 1


def test_a_call_may_correct_the_total(clock: Clock) -> None:
    pipe = io.StringIO()
    with Progress("reading", 0, pipe, clock) as bar:
        bar(2, 4)
    assert "reading: 2/4 in 0:00" in pipe.getvalue()


def test_bytes_are_counted_in_megabytes(clock: Clock) -> None:
    pipe = io.StringIO()
    with Progress("download", 228_800_000, pipe, clock, unit="bytes") as bar:
        bar(114_400_000)
    assert "download: 114.4/228.8 MB in 0:00" in pipe.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3661, "1:01:01")])
def test_times_are_written_as_on_a_clock(seconds: float, text: str) -> None:
    assert progress._clock_text(seconds) == text


def test_a_stream_that_breaks_does_not_break_the_work(clock: Clock) -> None:
    with Progress("reading", 2, Broken(), clock) as bar:
        bar(1)
        bar(2)


def test_a_closed_stream_does_not_break_the_work(clock: Clock) -> None:
    closed = io.StringIO()
    closed.close()
    with Progress("reading", 2, closed, clock) as bar:
        bar(2)


def test_no_stream_at_all_does_not_break_the_work(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with Progress("reading", 2, clock=clock) as bar:
        bar(2)


def test_a_name_that_the_stream_cannot_spell_is_replaced(clock: Clock) -> None:
    raw = io.BytesIO()
    with Progress("reading", 2, io.TextIOWrapper(raw, encoding="ascii"), clock) as bar:
        bar(2, note="gänseblümchen.jpg")
        assert b"g?nsebl?mchen.jpg" in raw.getvalue()


def test_the_bar_goes_to_stderr(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("reading", 2, clock=clock) as bar:
        bar(2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "reading: 2/2" in captured.err


def test_the_width_of_a_stream_without_a_terminal_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with open(os.devnull, "w", encoding="utf-8") as stream:  # noqa: PTH123 - os.devnull is no path of ours
        assert columns_of(stream) == USUAL_COLUMNS


def test_stages_are_bars_one_after_another_with_lines_between() -> None:
    pipe = io.StringIO()
    with Bars(pipe) as stages:
        stages("reading")(2, 4)
        stages.tell("4 photos, 1 left out")
        stages(
            "training",
        )(1, 1)
    lines = [line.partition(" in ")[0] for line in pipe.getvalue().splitlines()]
    assert lines == ["reading: 2/4", "reading: 2/4", "4 photos, 1 left out", "training: 1/1"]


def test_stages_end_the_last_bar_also_after_an_error() -> None:
    def fail() -> None:
        with Bars(terminal) as stages:
            stages("reading")(2, 4)
            raise RuntimeError

    terminal = Terminal()
    with pytest.raises(RuntimeError):
        fail()
    assert terminal.getvalue().endswith("\n")


def heard(stages: Bars, clock: Clock, pipe: io.StringIO, seconds: float) -> list[str]:
    """The lines of work that says nothing of its own for so long, with a pulse as often as one comes."""
    before = len(pipe.getvalue())
    for _ in range(round(seconds / PULSE_S)):
        clock.now_s += PULSE_S
        stages.beat()
    return pipe.getvalue()[before:].splitlines()


@pytest.mark.parametrize(
    ("begun", "said"),
    [
        pytest.param(lambda stages: None, "still at work, 0:04", id="nothing was said yet"),
        pytest.param(lambda stages: stages.tell("1/4  a garden"), "still at work, 0:04", id="after a line"),
        pytest.param(lambda stages: stages("converting"), "converting: begun 0:04 ago", id="no step is done"),
        pytest.param(lambda stages: stages("fit")(3, 9, "note"), "fit: 3/9 in 0:04  note", id="between two steps"),
        pytest.param(lambda stages: (stages("a")(1, 1), stages.close()), "still at work, 0:04", id="after a bar"),
    ],
)
def test_with_a_pulse_no_work_is_silent_for_longer_than_five_seconds(
    begun: Callable[[Bars], object], said: str, clock: Clock
) -> None:
    pipe = io.StringIO()
    stages = Bars(pipe, clock)
    begun(stages)
    lines = heard(stages, clock, pipe, seconds=60)
    assert QUIET_S + PULSE_S <= 5
    assert lines[0] == said
    assert len(lines) == 60 / QUIET_S


def test_a_pulse_adds_nothing_to_work_that_speaks(clock: Clock) -> None:
    pipe = io.StringIO()
    stages = Bars(pipe, clock)
    for done in range(5):
        stages("reading")(done, 4)
        assert heard(stages, clock, pipe, seconds=QUIET_S - PULSE_S) == []


def test_what_a_pulse_says_between_two_lines_counts_from_the_first(clock: Clock) -> None:
    pipe = io.StringIO()
    stages = Bars(pipe, clock)
    stages.tell("3/4  pruned")
    lines = heard(stages, clock, pipe, seconds=12)
    assert lines == ["still at work, 0:04", "still at work, 0:08", "still at work, 0:12"]


def test_on_a_terminal_a_pulse_moves_the_clock_in_the_line(clock: Clock) -> None:
    terminal = Terminal()
    stages = Bars(terminal, clock)
    stages("fitting")(0, 10)
    for _ in range(3):
        clock.now_s += 1
        stages.beat()
    assert [frame.split()[-1] for frame in terminal.frames()] == ["0:01", "0:02", "0:03"]


def test_a_bar_that_is_closed_beats_no_more(clock: Clock) -> None:
    pipe = io.StringIO()
    bar = Progress("reading", 2, pipe, clock)
    bar(2)
    bar.close()
    clock.now_s += 60
    bar.beat()
    assert pipe.getvalue() == "reading: 2/2 in 0:00\n"


def test_a_pulse_on_a_broken_stream_does_not_break_the_work(clock: Clock) -> None:
    stages = Bars(Broken(), clock)
    clock.now_s += 60
    stages.beat()


def test_a_pulse_beats_until_its_context_is_left() -> None:
    beaten, alive = threading.Event(), threading.active_count()
    with Pulse(beaten.set, every_s=1e-4):
        assert beaten.wait(timeout=60)
    assert threading.active_count() == alive
