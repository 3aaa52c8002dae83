"""The terminal view: a panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re
import unicodedata
from collections import deque
from pathlib import Path

import pytest

from edge.errors import OutputError
from edge.sinks.terminal import COLUMNS, TerminalSink, plain_line, printable, rate
from edge.smoothing import Decision
from tests.edge.fakes import FakeClock, decision, frame


class Terminal(io.StringIO):
    """A terminal that understands the three controls of the panel; `screen` is what a person sees."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True

    @property
    def screen(self) -> list[str]:
        lines, row = [""], 0
        for control, text in re.findall(r"(?:\x1b\[(\d*[FK]))|([^\x1b]+)", self.getvalue()):
            if control.endswith("F"):
                row -= int(control[:-1])
            for piece in re.findall(r"[^\n]+|\n", text):
                if piece == "\n":
                    row += 1
                    lines += [""] * (row + 1 - len(lines))
                else:
                    lines[row] = piece
        return lines

    @property
    def redraws(self) -> int:
        return self.getvalue().count("frame ")


def panel_of(decisions: list[Decision], *, step_s: float = 0.2, encoding: str = "utf-8") -> Terminal:
    terminal, clock = Terminal(encoding), FakeClock()
    sink = TerminalSink(terminal, is_panel=True, clock=clock)
    for each in decisions:
        sink.show(each, frame())
        clock.now += step_s
    sink.close()
    return terminal


def plain_of(decisions: list[Decision], every: int = 100) -> list[str]:
    stream = io.StringIO()
    sink = TerminalSink(stream, every=every)
    for each in decisions:
        sink.show(each, frame())
    sink.close()
    return stream.getvalue().splitlines()


def columns_of(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) == "W" else 1 for character in line)


def test_the_panel_shows_label_bars_rate_stages_and_age() -> None:
    screen = "\n".join(panel_of([decision(number=number) for number in range(6)]).screen)
    assert "roses  0.75" in screen
    assert re.search(r"roses +█{18} +0\.75", screen)
    assert re.search(r"tulips +█{3} +0\.12", screen)
    assert "5.0 frames/s   age 7 ms" in screen
    assert "wait 30.0  geometry 0.5  invoke 3.0 ms" in screen
    assert "frame 5" in screen


def test_the_panel_is_redrawn_in_place() -> None:
    once, often = panel_of([decision()]), panel_of([decision(number=number) for number in range(5)])
    assert len(often.screen) == len(once.screen)


def test_the_panel_is_redrawn_at_most_ten_times_a_second_and_ends_with_the_last_frame() -> None:
    terminal = panel_of([decision(number=number) for number in range(100)], step_s=0.01)
    assert terminal.redraws == 11
    assert "frame 99" in terminal.screen[0]


@pytest.mark.parametrize("label", ["x" * 200, "バラ" * 40], ids=["long", "wide characters"])
def test_the_panel_never_wraps(label: str) -> None:
    terminal = panel_of([decision(labels=("daisy", label, "tulips"), name="n" * 300)])
    assert max(columns_of(line) for line in terminal.screen) <= COLUMNS


def test_an_unknown_answer_names_the_nearest_label() -> None:
    assert any("unknown (nearest: roses)" in line for line in panel_of([decision(threshold=0.9)]).screen)
    assert "unknown (nearest: roses) 0.75" in plain_of([decision(threshold=0.9)])[0]


def test_an_ascii_terminal_gets_ascii_bars() -> None:
    text = panel_of([decision(labels=("daisy", "Röschen", "tulips"))], encoding="ascii").getvalue()
    assert text.isascii()
    assert "#" * 18 in text


def test_names_cannot_steer_the_terminal() -> None:
    assert printable("\x1b[2Jroses\n") == "?[2Jroses?"
    assert "\x1b" not in plain_line(decision(name="\x1b[2J"))
    evil = panel_of([decision(labels=("daisy", "\x1b[2J", "tulips"), name="\x1b[2J")]).getvalue()
    assert "\x1b[2J" not in evil


def test_a_pipe_gets_one_line_for_each_change_of_the_answer() -> None:
    roses, tulips = decision(), decision((0.1, 0.1, 0.8))
    lines = plain_of([roses, roses, tulips, tulips, roses])
    assert [line.split()[4] for line in lines] == ["roses", "tulips", "roses"]


def test_a_pipe_gets_a_sign_of_life_every_so_often() -> None:
    lines = plain_of([decision(number=number) for number in range(25)], every=10)
    assert [line.split()[3] for line in lines] == ["0:", "10:", "20:"]


def test_a_pipe_gets_a_line_for_each_photo() -> None:
    assert len(plain_of([decision(name=f"{number}.jpg") for number in range(4)])) == 4


def test_a_plain_line_says_what_when_and_at_what_cost() -> None:
    line = plain_line(decision(number=12))
    assert re.fullmatch(r"\d\d:\d\d:\d\d  clip\.avi frame 12: roses 0\.75  \[3\.5 ms, age 7 ms\]", line)


@pytest.mark.parametrize(("term", "is_panel"), [("xterm", True), ("dumb", False)])
def test_a_dumb_terminal_gets_plain_lines(term: str, is_panel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    terminal = Terminal()
    TerminalSink(terminal).show(decision(), frame())
    assert ("\x1b" in terminal.getvalue()) == is_panel


@pytest.mark.parametrize(
    ("stamps", "expected"), [([], None), ([1.0], None), ([1.0, 1.0], None), ([1.0, 1.5, 2.0], 2.0)], ids=str
)
def test_a_rate_counts_intervals(stamps: list[float], expected: float | None) -> None:
    assert rate(deque(stamps)) == expected


@pytest.mark.parametrize("is_panel", [True, False], ids=["panel", "plain"])
def test_a_full_disk_is_one_line_and_closing_does_not_fail_again(is_panel: bool) -> None:
    with Path("/dev/full").open("w") as stream:
        sink = TerminalSink(stream, is_panel=is_panel)
        with pytest.raises(OutputError, match=r"terminal view cannot be written .No space left on device."):
            sink.show(decision(), frame())
        sink.close()


class ClosedPipe(io.StringIO):
    def flush(self) -> None:
        raise BrokenPipeError


def test_a_reader_that_has_gone_is_no_failure() -> None:
    sink = TerminalSink(ClosedPipe(), is_panel=False)
    with pytest.raises(BrokenPipeError):
        sink.show(decision(), frame())
    sink.close()
