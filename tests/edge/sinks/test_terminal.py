"""The terminal view: a panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.contract.decision import Decision
from edge.contract.event import NO_PICTURE, PICTURE_BACK, SIGHTING, SIGHTING_BEGAN, Event
from edge.contract.health import LIVE, Health
from edge.errors import OutputError
from edge.sinks.terminal import COLUMNS, EVENTS, TerminalSink, event_line, plain_line, rate
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


Health_ = Callable[[], Health] | None


def feed(sink: TerminalSink, items: Sequence[Decision | Event], clock: FakeClock, step_s: float) -> None:
    for each in items:
        if isinstance(each, Event):
            sink.tell(each)
        else:
            sink.show(each, frame())
        clock.now += step_s
    sink.close()


def panel_of(
    items: Sequence[Decision | Event], *, step_s: float = 0.2, encoding: str = "utf-8", health: Health_ = None
) -> Terminal:
    terminal, clock = Terminal(encoding), FakeClock()
    feed(TerminalSink(terminal, is_panel=True, health=health, clock=clock), items, clock, step_s)
    return terminal


def plain_of(items: Sequence[Decision | Event], *, every_s: float = 100.0, health: Health_ = None) -> list[str]:
    stream, clock = io.StringIO(), FakeClock()
    feed(TerminalSink(stream, every_s=every_s, health=health, clock=clock), items, clock, 1.0)
    return stream.getvalue().splitlines()


def gap(seconds: int, *, is_update: bool = False) -> Event:
    text = f"camera 0: no picture for {seconds} s, it delivers no frames"
    return Event(NO_PICTURE, 1_800_000_000.0 + seconds, text, {"seconds": seconds}, is_update)


def sighting(number: int) -> Event:
    return Event(SIGHTING, 1_800_000_000.0, f"roses number {number}")


def health_now(**changes: Any) -> Health:
    fields: dict[str, Any] = {
        "time": 1_800_000_000.0,
        "uptime_s": 60.0,
        "state": LIVE,
        "reason": None,
        "model": "m.tflite",
        "labels": (),
        "source": "camera 0",
        "picture_age_s": 0.1,
        "fps": 29.97,
        "cpu_share": 0.453,
        "memory_mb": 210.2,
        "temperature_c": 61.4,
    }
    return Health(**(fields | changes))


def columns_of(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) == "W" else 1 for character in line)


def test_the_panel_shows_label_bars_rate_stages_and_age() -> None:
    screen = "\n".join(panel_of([decision(number=number) for number in range(6)]).screen)
    assert "roses 0.75" in screen
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
    screen, plain = panel_of([decision(threshold=0.9)]).screen, plain_of([decision(threshold=0.9)])[0]
    assert "nothing known (nearest: roses 0.75)" in screen[1]
    assert ": nothing known (nearest: roses 0.75)  [" in plain
    assert "unknown" not in "\n".join([*screen, plain])


def test_a_class_of_other_things_is_nothing_known_in_the_bars_too() -> None:
    taught = decision((0.75, 0.0625, 0.1875), labels=("unknown", "roses", "tulips"))
    text = "\n".join([*panel_of([taught]).screen, *plain_of([taught])])
    assert "nothing known (nearest: tulips 0.19)" in text
    assert re.search(r"^  nothing known +█{18} +0\.75", text, re.MULTILINE)
    assert "unknown" not in text


def test_an_ascii_terminal_gets_ascii_bars() -> None:
    text = panel_of([decision(labels=("daisy", "Röschen", "tulips"))], encoding="ascii").getvalue()
    assert text.isascii()
    assert "#" * 18 in text


def test_names_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in plain_line(decision(name="\x1b[2J"))
    evil = panel_of([decision(labels=("daisy", "\x1b[2J", "tulips"), name="\x1b[2J")]).getvalue()
    assert "\x1b[2J" not in evil


def test_a_pipe_gets_one_line_for_each_change_of_the_answer() -> None:
    roses, tulips = decision(), decision((0.1, 0.1, 0.8))
    lines = plain_of([roses, roses, tulips, tulips, roses])
    assert [line.split()[4] for line in lines] == ["roses", "tulips", "roses"]


def test_a_pipe_gets_a_sign_of_life_every_so_often() -> None:
    lines = plain_of([decision(number=number) for number in range(25)], every_s=10)
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


# No picture


def test_while_there_is_no_picture_the_panel_says_so_and_shows_no_answer() -> None:
    screen = panel_of([decision(), gap(4)]).screen
    assert "no picture for 4 s, it delivers no frames" in " ".join(screen)
    assert not any("0.75" in line or "age" in line for line in screen)


def test_the_time_without_a_picture_is_counted_in_place() -> None:
    text = " ".join(panel_of([decision(), gap(4), *(gap(s, is_update=True) for s in (5, 6))]).screen)
    assert "no picture for 6 s" in text
    assert "no picture for 5 s" not in text
    assert text.count("no_picture: ") == 1


def test_the_next_picture_brings_the_answer_back() -> None:
    screen = panel_of([decision(), gap(4), decision(number=9)]).screen
    assert "roses 0.75" in "\n".join(screen)
    assert sum("no picture for" in line for line in screen) == 1  # among the events


def test_a_gap_leaves_the_lines_below_where_they_are() -> None:
    before, after = (panel_of([decision(), sighting(1), *more]).screen for more in ([], [gap(4, is_update=True)]))
    place = next(i for i, line in enumerate(before) if "roses number 1" in line)
    assert "roses number 1" in after[place]


def test_no_picture_from_the_start_is_told_without_an_answer() -> None:
    assert "no picture for 4 s" in panel_of([gap(4, is_update=True)]).screen[0]


def test_a_long_reason_is_wrapped_over_the_lines_of_the_bars() -> None:
    words = " ".join(f"word{i}" for i in range(30))
    screen = panel_of([decision(), replace(gap(4), text=words)]).screen
    assert " ".join(" ".join(screen[1:5]).split()).startswith(words)


def test_a_pipe_gets_the_beginning_of_a_gap_and_then_the_answer_again() -> None:
    lines = plain_of([decision(), gap(4), gap(5, is_update=True), decision(number=7)])
    assert [line.split()[1] for line in lines] == ["clip.avi", "no_picture:", "clip.avi"]


# Events and health


def test_the_panel_lists_the_last_few_events() -> None:
    screen = panel_of([decision(), *(sighting(number) for number in range(EVENTS + 3))]).screen
    shown = [line.split()[-1] for line in screen if "sighting: roses number" in line]
    assert shown == [str(number) for number in range(3, EVENTS + 3)]


def test_that_a_sighting_began_is_in_the_headline_already() -> None:
    began = Event(SIGHTING_BEGAN, 1_800_000_000.0, "roses since 10:02:11")
    assert not any("since" in line for line in panel_of([decision(), began]).screen)
    assert "sighting_began: roses since 10:02:11" in plain_of([began])[0]


def test_an_event_is_a_line_with_its_kind_to_be_found_by() -> None:
    event = Event(PICTURE_BACK, 1_800_000_000.0, "camera 0: pictures again\x1b[2J")
    assert re.fullmatch(r"\d\d:\d\d:\d\d  picture_back: camera 0: pictures again\?\[2J", event_line(event))


def test_the_panel_tells_how_the_board_is_doing() -> None:
    screen = "\n".join(panel_of([decision()], health=health_now).screen)
    assert "cpu 45%  210 MB  61 C" in screen
    assert "throttled" not in screen
    assert "throttled" in "\n".join(panel_of([decision()], health=lambda: health_now(is_throttled=True)).screen)


def test_a_board_that_says_nothing_of_itself_has_its_state() -> None:
    silent = health_now(fps=None, cpu_share=None, memory_mb=None, temperature_c=None)
    assert "live" in panel_of([decision()], health=lambda: silent).screen[-2]


def test_health_is_asked_for_at_most_once_a_second() -> None:
    asked: list[int] = []

    def health() -> Health:
        asked.append(1)
        return health_now()

    panel_of([decision(number=number) for number in range(26)], step_s=0.1, health=health)
    assert len(asked) == 3


def test_a_sign_of_life_in_a_pipe_tells_of_the_board() -> None:
    lines = plain_of([decision(number=number) for number in range(11)], every_s=10, health=health_now)
    assert [line.split()[1] for line in lines] == ["clip.avi", "clip.avi", "health:"]
    assert "health: 30.0 frames/s  cpu 45%" in lines[-1]


def test_an_answer_that_was_held_says_that_nothing_moved() -> None:
    held = replace(decision(), is_held=True)
    assert "nothing moved" in "\n".join(panel_of([held]).screen)
    assert "[nothing moved, age 7 ms]" in plain_of([held])[0]


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


class FullDisk(io.StringIO):
    """A buffered file on a disk without room until `has_room`: what could not be flushed stays in the buffer."""

    has_room = False

    def flush(self) -> None:
        if not self.has_room:
            raise OSError(28, "No space left on device")


@pytest.mark.parametrize("item", [decision(), sighting(1)], ids=["decision", "event"])
@pytest.mark.parametrize("is_panel", [True, False], ids=["panel", "plain"])
def test_what_failed_can_be_done_again_and_is_written_once(item: Decision | Event, is_panel: bool) -> None:
    stream, clock = FullDisk(), FakeClock()
    sink = TerminalSink(stream, is_panel=is_panel, clock=clock)
    with pytest.raises(OutputError):
        feed(sink, [item], clock, 0)
    stream.has_room = True
    feed(sink, [item], clock, 0)
    assert stream.getvalue().count("\n") == (len(panel_of([item]).screen) - 1 if is_panel else 1)


class ClosedPipe(io.StringIO):
    def flush(self) -> None:
        raise BrokenPipeError


def test_a_reader_that_has_gone_is_no_failure() -> None:
    sink = TerminalSink(ClosedPipe(), is_panel=False)
    with pytest.raises(BrokenPipeError):
        sink.show(decision(), frame())
    sink.close()
