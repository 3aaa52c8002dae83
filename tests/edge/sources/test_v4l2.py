"""What a driver is asked, in the kernel's own structures, against a driver made up here."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from edge.sources.v4l2 import (
    ENUM_FMT,
    ENUM_FRAMEINTERVALS,
    ENUM_FRAMESIZES,
    HAS_DEVICE_CAPS,
    QUERYCAP,
    VIDEO_CAPTURE,
    Device,
    Mode,
    describe,
)

METADATA = 0x00800000
STEPWISE = 3


class Driver:
    """Answers as struct v4l2_capability, v4l2_fmtdesc, v4l2_frmsizeenum and v4l2_frmivalenum are laid out."""

    def __init__(self, modes: dict[bytes, dict[tuple[int, int], list[int]]], capabilities: int = VIDEO_CAPTURE) -> None:
        self.modes, self.capabilities = modes, capabilities

    def __call__(self, descriptor: int, request: int, data: bytearray) -> int:
        assert len(data) == request >> 16 & 0x3FFF  # the code holds the size of the structure
        if request == QUERYCAP:
            everything = HAS_DEVICE_CAPS | VIDEO_CAPTURE | METADATA  # of all nodes of the camera together
            struct.pack_into(
                "=16s32s32sIII", data, 0, b"uvcvideo", b"HD Webcam", b"usb", 1, everything, self.capabilities
            )
            return 0
        (index,) = struct.unpack_from("=I", data)
        try:
            self._enumerate(request, index, data)
        except IndexError as error:
            raise OSError(22, "Invalid argument") from error
        return 0

    def _enumerate(self, request: int, index: int, data: bytearray) -> None:
        if request == ENUM_FMT:
            assert struct.unpack_from("=I", data, 4) == (VIDEO_CAPTURE,)
            data[44:48] = list(self.modes)[index]
            return
        sizes = self.modes[bytes(data[4:8])]
        if request == ENUM_FRAMESIZES:
            width, height = list(sizes)[index]
            struct.pack_into("=III", data, 8, STEPWISE if width == 0 else 1, width, height)
            return
        assert request == ENUM_FRAMEINTERVALS
        rate = sizes[struct.unpack_from("=II", data, 8)][index]
        struct.pack_into("=III", data, 16, 1, 1, rate)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    path = tmp_path / "video0"
    path.touch()
    return path


def test_the_modes_of_a_camera_are_read(node: Path) -> None:
    driver = Driver({b"YUYV": {(640, 480): [30, 15], (1280, 720): [10]}, b"MJPG": {(1280, 720): [15, 30, 5]}})
    device = describe(node, driver)
    assert device.card == "HD Webcam"
    assert device.is_camera
    assert [str(mode) for mode in device.modes] == ["YUYV 640x480 30/s", "YUYV 1280x720 10/s", "MJPG 1280x720 30/s"]


def test_a_node_that_delivers_something_else_is_no_camera(node: Path) -> None:
    assert describe(node, Driver({}, METADATA)) == Device("HD Webcam", False, ())


def test_sizes_in_steps_and_unknown_rates_are_no_fault(node: Path) -> None:
    assert describe(node, Driver({b"GREY": {(0, 0): [], (320, 240): []}})).modes == (Mode("GREY", (320, 240), None),)


def test_a_driver_that_never_says_no_more_ends(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sources.v4l2.MOST", 10)

    class Endless(Driver):
        def _enumerate(self, request: int, index: int, data: bytearray) -> None:
            super()._enumerate(request, 0, data)

    assert len(describe(node, Endless({b"MJPG": {(640, 480): [30]}})).modes) == 10 * 10


def test_what_is_no_device_is_an_error(tmp_path: Path, node: Path) -> None:
    with pytest.raises(OSError, match="Inappropriate ioctl"):
        describe(node)
    with pytest.raises(FileNotFoundError):
        describe(tmp_path / "video9")
