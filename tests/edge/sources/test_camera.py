"""Cameras of Linux: what they are asked for, what they give, which there are, and that they are found again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from edge.errors import SourceError
from edge.sources import camera
from edge.sources.camera import (
    MJPG,
    CameraInfo,
    CameraOptions,
    _why_no_camera,
    camera_number,
    cameras,
    differences,
    open_camera,
    watched_camera,
)
from edge.sources.opening import open_source
from edge.sources.v4l2 import Device, Mode
from edge.sources.watchdog import Patience
from tests.edge.fakes import one_line

WIDTH, HEIGHT, FPS, FORMAT = (
    cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS, cv2.CAP_PROP_FOURCC,
)  # fmt: skip


class FakeCapture:
    """A cv2.VideoCapture that notes what it is asked for, in order, and gives what it has."""

    def __init__(self, number: int, has: dict[int, float] | None = None, is_there: bool = True) -> None:
        self.number = number
        self.asked: list[tuple[int, float]] = []
        self._has, self._is_there = has, is_there

    def isOpened(self) -> bool:
        return self._is_there

    def set(self, what: int, value: float) -> bool:
        self.asked.append((what, value))
        return True

    def get(self, what: int) -> float:
        return dict(self.asked).get(what, 0.0) if self._has is None else self._has[what]

    def grab(self) -> bool:
        return False

    def release(self) -> None:
        """Nothing is held."""


Plug = Callable[..., list[FakeCapture]]


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Plug:
    """Puts cameras in; returns those that were opened."""

    def put_in(*numbers: int, has: dict[int, float] | None = None) -> list[FakeCapture]:
        opened: list[FakeCapture] = []

        def make(number: int) -> FakeCapture:
            opened.append(FakeCapture(number, has, number in numbers))
            return opened[-1]

        monkeypatch.setattr(cv2, "VideoCapture", make)
        return opened

    return put_in


@pytest.mark.parametrize(
    ("size_wh", "fps", "asked"),
    [
        (None, None, []),
        ((640, 480), None, [(WIDTH, 640), (HEIGHT, 480)]),
        ((1280, 720), None, [(FORMAT, MJPG), (WIDTH, 1280), (HEIGHT, 720)]),
        ((1280, 720), 5.0, [(WIDTH, 1280), (HEIGHT, 720), (FPS, 5)]),
        ((640, 480), 60.0, [(FORMAT, MJPG), (WIDTH, 640), (HEIGHT, 480), (FPS, 60)]),
        (None, 15.0, [(FPS, 15)]),
    ],
    ids=["as it is", "raw", "compressed, too large for USB", "large but slow", "small but fast", "rate alone"],
)
def test_a_camera_is_asked_for_format_size_and_rate_in_this_order(
    plug: Plug, size_wh: tuple[int, int] | None, fps: float | None, asked: list[tuple[int, float]]
) -> None:
    opened = plug(3)
    open_camera(3, size_wh, fps)
    assert [(capture.number, capture.asked) for capture in opened] == [(3, asked)]


def test_what_a_camera_gives_instead_is_a_warning(plug: Plug) -> None:
    plug(0, has={WIDTH: 1280, HEIGHT: 960, FPS: 15})
    source = open_source("0", CameraOptions((1920, 1080), fps=30), Patience(give_up_after_s=60))
    source.close()
    assert list(source.warnings) == [
        "asked for 1920x1080, the camera gives 1280x960; its modes are listed by: flora doctor",
        "asked for 30 frames/s, the camera gives 15",
    ]


@pytest.mark.parametrize("given_fps", [30.0, 29.97, 0.0, -1.0], ids=["exact", "nearly", "not known", "no answer"])
def test_what_is_as_asked_is_no_warning(given_fps: float) -> None:
    capture = FakeCapture(0, {WIDTH: 640, HEIGHT: 480, FPS: given_fps})
    assert differences(capture, (640, 480), 30.0) == []  # type: ignore[arg-type]


def test_a_missing_camera_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError) as caught:
        open_source("97")
    assert one_line(caught).startswith("could not open camera 97: no such device; video devices here: ")
    assert capfd.readouterr().err == ""


def test_a_missing_camera_is_told_from_a_busy_one(tmp_path: Path) -> None:
    for name in ("video0", "video10", "video2", "vide0"):
        (tmp_path / name).touch()
    assert "video devices here: 0, 2, 10;" in _why_no_camera(tmp_path, 1)
    assert "another program may hold it" in _why_no_camera(tmp_path, 2)


def test_a_camera_that_is_not_there_yet_is_waited_for_when_asked_to(plug: Plug) -> None:
    plug()
    source = open_source("0", Patience(give_up_after_s=60))
    source.close()
    assert (source.is_live, source.reopened) == (True, 0)


# The number of a camera, and its socket


def link(path: Path, target: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    return path


def test_a_camera_has_a_number_a_device_or_a_link(tmp_path: Path) -> None:
    (tmp_path / "video12").touch()
    by_id = link(tmp_path / "v4l/by-id/usb-cam-index0", tmp_path / "video12")
    assert camera_number("0") == 0
    assert camera_number(str(tmp_path / "video12"), tmp_path) == 12
    assert camera_number(str(by_id), tmp_path) == 12


@pytest.mark.parametrize("spec", ["", "-1", "1234", "²", "test", "video0", "/dev/null", "/dev/video", "dir/video0"])
def test_anything_else_is_no_camera(spec: str) -> None:
    assert camera_number(spec) is None


def test_a_camera_that_comes_back_with_another_number_is_found_by_its_socket(
    plug: Plug, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera, "DEVICES", tmp_path)
    for number in (0, 2):
        (tmp_path / f"video{number}").touch()
    socket = link(tmp_path / "v4l/by-path/usb-1.2-index0", tmp_path / "video0")
    watched = watched_camera(0, devices=tmp_path)
    opened = plug(0, 2)
    watched.open()
    link(socket, tmp_path / "video2")
    watched.open()
    socket.unlink()
    watched.open()
    assert [capture.number for capture in opened] == [0, 2, 0]


# The list of cameras


def make_system(root: Path, names: dict[int, str]) -> None:
    for number, name in names.items():
        folder = root / f"sys/class/video4linux/video{number}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(name + "\n")


def test_the_cameras_are_listed_with_their_modes_and_troubles(tmp_path: Path) -> None:
    make_system(tmp_path, {10: "Garden\x1b cam", 2: "HD Webcam", 1: "HD Webcam: metadata", 0: "Busy"})
    modes = (Mode("MJPG", (1280, 720), 30.0),)

    def describe(device: Path) -> Device:
        if device.name == "video0":
            raise PermissionError(13, os.strerror(13))
        return Device("card", is_camera=device.name != "video1", modes=modes)

    assert cameras(tmp_path, describe) == [
        CameraInfo("0", str(tmp_path / "dev/video0"), "Busy", "Permission denied"),
        CameraInfo("2", str(tmp_path / "dev/video2"), "HD Webcam", None, modes),
        CameraInfo("10", str(tmp_path / "dev/video10"), "Garden? cam", None, modes),
    ]


def test_without_cameras_the_list_is_empty(tmp_path: Path) -> None:
    assert cameras(tmp_path) == []


def test_a_device_node_that_is_none_is_listed_with_what_is_wrong(tmp_path: Path) -> None:
    make_system(tmp_path, {0: "Ghost", 1: "A file"})
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/video1").touch()
    assert [info.problem for info in cameras(tmp_path)] == [
        "No such file or directory",
        "Inappropriate ioctl for device",
    ]
