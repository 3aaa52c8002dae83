"""The window, without one: what is checked before, and what its keys do."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract.event import NO_PICTURE, Event
from edge.drawing.overlay import AMBER, GREEN, draw_overlay
from edge.errors import OutputError
from edge.picture.geometry import Picture, read_photo
from edge.sinks import window
from edge.sinks.window import WindowSink, check_build, check_display, snapshot_name
from tests.edge.fakes import FakeClock, decision, frame

ROOT = Path(__file__).resolve().parents[3]

SHOW_THREE_FRAMES = """
import threading
from edge.sinks.window import WindowSink
from tests.edge.fakes import decision, frame
stop = threading.Event()
sink = WindowSink()
def loop():
    for number in range(3):
        sink.show(decision(number=number), frame(number))
        stop.wait(0.1)
    sink.close()
thread = threading.Thread(target=loop)
thread.start()
sink.run(stop)
thread.join()
print("shown", stop.is_set())
"""


class FakeGui:
    """OpenCV's window functions: keys are pressed in turn, what is shown is kept; after the last key, `at_end`."""

    def __init__(self) -> None:
        self.keys: list[int | Callable[[], object]] = []  # or something that happens while the window waits
        self.visible = 1.0
        self.shown: list[Picture] = []
        self.destroyed = 0
        self.clock = FakeClock()
        self.at_end: Callable[[], object] = lambda: None

    def imshow(self, title: str, picture: Picture) -> None:
        self.shown.append(picture)

    def wait_key(self, delay_ms: int) -> int:
        self.clock.now += delay_ms / 1000
        if not self.keys:
            self.at_end()
            return -1
        key = self.keys.pop(0)
        if callable(key):
            key()
            return -1
        return key

    def property(self, title: str, which: int) -> float:
        return self.visible

    def destroy(self, title: str) -> None:
        self.destroyed += 1


@pytest.fixture
def gui(monkeypatch: pytest.MonkeyPatch) -> FakeGui:
    fake = FakeGui()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:   QT5\n")
    monkeypatch.setattr(cv2, "imshow", fake.imshow)
    monkeypatch.setattr(cv2, "waitKey", fake.wait_key)
    monkeypatch.setattr(cv2, "getWindowProperty", fake.property)
    monkeypatch.setattr(cv2, "destroyWindow", fake.destroy)
    return fake


@dataclass
class Look:
    """A person in front of a window: what happens while it waits for a key, in turn; then the run ends."""

    gui: FakeGui
    folder: Path
    snapshots: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sink = WindowSink(snapshots=self.folder, on_snapshot=self.snapshots.append, clock=self.gui.clock)
        self.stop = threading.Event()

    def __call__(self, *keys: int | Callable[[], object]) -> list[Picture]:
        """The pictures in the window, one after another."""
        self.gui.keys, self.gui.at_end = list(keys), self.sink.close
        self.sink.run(self.stop)
        return self.gui.shown

    def show(self, number: int = 0, evidence: NDArray[np.float32] | None = None) -> None:
        plain = decision(number=number)
        shown = replace(plain, result=replace(plain.result, evidence=evidence))
        self.sink.show(shown, frame(number, size_wh=(640, 480)))

    def lose(self) -> None:
        self.sink.tell(Event(NO_PICTURE, 1_800_000_000.0, "camera 0: no picture for 4 s"))


@pytest.fixture
def look(gui: FakeGui, tmp_path: Path) -> Look:
    return Look(gui, tmp_path / "snapshots")


def test_linux_without_a_display_is_one_line() -> None:
    with pytest.raises(OutputError, match=r"^no window: neither DISPLAY nor WAYLAND_DISPLAY is set") as caught:
        check_display({}, "linux")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("display", ["nonsense", ":64999", "127.0.0.1:59000"])
def test_a_display_that_does_not_answer_is_one_line(display: str) -> None:
    with pytest.raises(OutputError, match=f"no display answers at DISPLAY={display}"):
        check_display({"DISPLAY": display}, "linux")


def test_a_display_that_answers_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "X11_SOCKETS", str(tmp_path / "X"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(tmp_path / "X7"))
        server.listen()
        check_display({"DISPLAY": ":7.0"}, "linux")


@pytest.mark.usefixtures("gui")
def test_the_display_is_checked_before_opencv_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[object] = []
    monkeypatch.setattr(window, "check_display", checked.append)
    WindowSink()
    assert checked == [os.environ]


def test_a_display_over_ssh_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(window, "X11_TCP_PORT", server.getsockname()[1] - 10)
        check_display({"DISPLAY": "127.0.0.1:10.0"}, "linux")


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_need_no_variable(platform: str) -> None:
    check_display({}, platform)


def test_an_opencv_without_windows_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "x\n  GUI:                           NONE\n  y")
    with pytest.raises(OutputError, match=r"this OpenCV has none; install Flora with \[window\], not \[headless\]"):
        check_build()


def test_a_window_that_opencv_refuses_is_one_line_and_ends_the_run(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(title: str, picture: object) -> None:
        raise cv2.error("not implemented\nrebuild the library")

    monkeypatch.setattr(cv2, "imshow", refuse)
    with pytest.raises(OutputError, match=r"no window: OpenCV refused it \(not implemented\)") as caught:
        look()
    assert "\n" not in str(caught.value)
    assert look.stop.is_set()


@pytest.mark.parametrize(
    ("key", "visible", "stops"),
    [(-1, 1.0, False), (ord("x"), 1.0, False), (ord("q"), 1.0, True), (27, 1.0, True), (-1, 0.0, True)],
    ids=["no key", "x", "q", "Esc", "closed"],
)
def test_q_esc_and_the_close_button_stop_the_run(look: Look, key: int, visible: float, stops: bool) -> None:
    look.gui.visible = visible
    look(key, -1, -1)
    assert (len(look.gui.keys) == 2) == stops
    assert look.stop.is_set()
    assert look.gui.destroyed == 1


def test_the_window_ends_with_the_run(look: Look) -> None:
    look.stop.set()
    assert look() == []
    assert look.gui.destroyed == 1


def test_it_is_there_before_the_first_picture(look: Look) -> None:
    (blank,) = look()
    assert blank.shape == (480, 640, 3)
    assert (blank != 0).any()


def test_the_newest_answer_is_drawn_and_the_others_are_not(look: Look) -> None:
    def three() -> None:
        for number in range(3):
            look.show(number)

    blank, drawn = look(three, -1)
    wanted = draw_overlay(frame(size_wh=(640, 480)), replace(decision(number=2), age_ms=7.0))
    assert (drawn == wanted).all()
    assert (blank != drawn).any()


def test_the_same_answer_grows_older_before_the_eyes(look: Look) -> None:
    look.show()
    shown = look(*[-1] * 31)  # one second
    assert 4 <= len(shown) <= 5
    assert (shown[0] != shown[-1]).any(axis=(1, 2)).nonzero()[0].min() > 440  # the line with the age


def test_while_there_is_no_picture_the_window_says_so_over_the_last_one(look: Look) -> None:
    look.show()
    before, during, after = look(look.lose, look.show)
    assert before[200, 320].tolist() == after[200, 320].tolist() == [90] * 3
    assert during[200, 320].tolist() == [40, 40, 40]
    assert (during == AMBER).all(axis=2).any()
    assert not (during == GREEN).all(axis=2).any()


def test_no_picture_from_the_start_is_told(look: Look) -> None:
    waiting, lost = look(look.lose, -1)
    assert (waiting != lost).any()


EVIDENCE = np.ones((7, 7, 3), np.float32)


def test_h_lays_the_heat_map_over_the_picture_and_takes_it_off_again(look: Look) -> None:
    look.show(evidence=EVIDENCE)
    first, hot, again = look(ord("h"), ord("h"), -1)
    assert first[200, 320].tolist() == again[200, 320].tolist() == [90] * 3
    assert hot[200, 320].tolist() != [90] * 3


def test_h_says_why_there_is_no_heat_map(look: Look) -> None:
    look.show()
    before, after = look(ord("h"), -1)
    assert (before[48:72] != after[48:72]).any()
    assert (before[72:400] == after[72:400]).all()


def test_s_writes_the_frame_as_it_came(look: Look) -> None:
    look.show()
    look(ord("s"))
    (path,) = look.snapshots
    assert re.fullmatch(r"\d{8}-\d{6}-493-roses\.png", path.name)
    assert (read_photo(path) == frame(size_wh=(640, 480)).image_bgr).all()
    assert path.parent == look.folder


def test_s_without_a_picture_writes_nothing(look: Look) -> None:
    look(ord("s"), look.show, look.lose, ord("s"))
    assert not look.folder.exists()


def test_a_snapshot_that_cannot_be_written_does_not_end_the_run(look: Look) -> None:
    look.folder.write_bytes(b"a file where the folder should be")
    look.show()
    before, after = look(ord("s"), -1)
    assert (before[48:72] != after[48:72]).any()
    assert look.snapshots == []


@pytest.mark.parametrize(
    ("label", "end"), [("../../etc", "etc"), ("red rose", "red-rose"), ("バラ", "バラ"), ("***", "frame")], ids=ascii
)
def test_a_snapshot_is_named_after_the_answer_whatever_it_is(label: str, end: str) -> None:
    name = snapshot_name(decision(labels=("daisy", label, "tulips")))
    assert re.fullmatch(rf"[-\d]+-{end}\.png", name)


@pytest.mark.display
def test_a_real_window_opens_on_a_virtual_display(display: str, window_python: Path) -> None:
    environment = os.environ | {"DISPLAY": display, "PYTHONPATH": str(ROOT)}
    environment.pop("WAYLAND_DISPLAY", None)
    command = [str(window_python), "-c", SHOW_THREE_FRAMES]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "shown True\n"), done.stderr


def test_without_a_display_the_process_ends_with_an_error_not_a_crash() -> None:
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, "-c", SHOW_THREE_FRAMES]
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "OutputError: no window:" in done.stderr
