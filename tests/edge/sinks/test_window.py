"""The window, without one: what is checked before, and what its keys do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import pytest

from edge.errors import OutputError
from edge.sinks import window
from edge.sinks.window import WindowSink, check_build, check_display
from tests.edge.fakes import decision, frame

ROOT = Path(__file__).resolve().parents[3]

SHOW_THREE_FRAMES = """
import threading
from edge.sinks.window import WindowSink
from tests.edge.fakes import decision, frame
stop = threading.Event()
sink = WindowSink(stop)
for number in range(3):
    sink.show(decision(number=number), frame(number))
sink.close()
print("shown", stop.is_set())
"""


class FakeGui:
    """OpenCV's window functions, recording what they are told."""

    def __init__(self) -> None:
        self.key = -1
        self.visible = 1.0
        self.shown = 0
        self.destroyed = 0

    def imshow(self, title: str, picture: object) -> None:
        self.shown += 1

    def wait_key(self, delay_ms: int) -> int:
        return self.key

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
    WindowSink(threading.Event())
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


@pytest.mark.usefixtures("gui")
def test_a_window_that_opencv_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(title: str, picture: object) -> None:
        raise cv2.error("not implemented\nrebuild the library")

    monkeypatch.setattr(cv2, "imshow", refuse)
    sink = WindowSink(threading.Event())
    with pytest.raises(OutputError, match=r"no window: OpenCV refused it \(not implemented\)") as caught:
        sink.show(decision(), frame())
    assert "\n" not in str(caught.value)
    sink.close()


@pytest.mark.parametrize(
    ("key", "visible", "stops"),
    [(-1, 1.0, False), (ord("x"), 1.0, False), (ord("q"), 1.0, True), (27, 1.0, True), (-1, 0.0, True)],
    ids=["no key", "x", "q", "Esc", "closed"],
)
def test_q_esc_and_the_close_button_stop_the_run(gui: FakeGui, key: int, visible: float, stops: bool) -> None:
    stop = threading.Event()
    sink = WindowSink(stop)
    gui.key, gui.visible = key, visible
    sink.show(decision(), frame())
    sink.close()
    sink.close()
    assert stop.is_set() == stops
    assert (gui.shown, gui.destroyed) == (1, 1)


@pytest.mark.display
def test_a_real_window_opens_on_a_virtual_display(display: str, window_python: Path) -> None:
    environment = os.environ | {"DISPLAY": display, "PYTHONPATH": str(ROOT)}
    environment.pop("WAYLAND_DISPLAY", None)
    command = [str(window_python), "-c", SHOW_THREE_FRAMES]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "shown False\n"), done.stderr


def test_without_a_display_the_process_ends_with_an_error_not_a_crash() -> None:
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, "-c", SHOW_THREE_FRAMES]
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "OutputError: no window:" in done.stderr
