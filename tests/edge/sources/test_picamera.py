"""The Raspberry Pi's own cameras, with a picamera2 made up here: colours, size and rate, and every way it can fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import DependencyError, SourceError, UsageError
from edge.sources.camera import CameraOptions
from edge.sources.opening import open_source
from edge.sources.picamera import PicameraCapture, picameras
from edge.sources.watchdog import Patience
from tests.edge.fakes import one_line

BLUE_IN_MEMORY = (255, 0, 0)


class FakeRequest:
    def __init__(self, camera: FakePicamera2) -> None:
        self._camera = camera
        camera.held += 1

    def make_array(self, name: str) -> NDArray[np.uint8]:
        assert name == "main"
        width, height = self._camera.given_wh
        return np.full((height, width, 3), BLUE_IN_MEMORY, np.uint8)

    def release(self) -> None:
        self._camera.held -= 1


class FakePicamera2:
    """As picamera2 does it: the camera runs until `fails_with` is set."""

    made: ClassVar[list[FakePicamera2]]
    given_wh = (64, 48)
    fails_with: Exception | None = None
    fails_at = ""

    def __init__(self, number: int) -> None:
        self._fail("open")
        self.number = number
        self.held = 0  # requests
        self.calls: list[str] = []
        self.configuration: dict[str, Any] = {}
        type(self).made.append(self)

    def _fail(self, step: str) -> None:
        if self.fails_at == step and self.fails_with is not None:
            raise self.fails_with

    def create_video_configuration(self, main: dict[str, Any], controls: dict[str, Any]) -> dict[str, Any]:
        return {"main": main, "controls": controls}

    def configure(self, configuration: dict[str, Any]) -> None:
        self._fail("configure")
        self.configuration = configuration

    def camera_configuration(self) -> dict[str, Any]:
        return {"main": {"size": self.given_wh}}

    def start(self) -> None:
        self.calls.append("start")

    def capture_request(self) -> FakeRequest:
        self._fail("capture")
        return FakeRequest(self)

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self._fail("close")
        self.calls.append("close")

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [{"Model": "imx708", "Num": 0}, {"Model": "imx219", "Num": 1}]


@pytest.fixture
def pi(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakePicamera2]]:
    """A picamera2 to import; its class, to set up and look into."""

    class Camera(FakePicamera2):
        made: ClassVar[list[FakePicamera2]] = []

    module = ModuleType("picamera2")
    module.__dict__["Picamera2"] = Camera
    monkeypatch.setitem(sys.modules, "picamera2", module)
    yield Camera
    assert all(camera.held == 0 for camera in Camera.made)


def test_pictures_are_bgr_as_they_lie_in_memory(pi: type[FakePicamera2]) -> None:
    source = open_source("picamera")
    frame = source.read()
    source.close()
    assert frame is not None
    assert frame.image_bgr.shape == (48, 64, 3)
    assert tuple(frame.image_bgr[0, 0]) == BLUE_IN_MEMORY
    assert pi.made[0].configuration["main"]["format"] == "RGB888"  # picamera2's name for that
    assert frame.name == source.name == "picamera:0"


def test_size_and_rate_are_asked_for(pi: type[FakePicamera2]) -> None:
    pi.given_wh = (1280, 720)
    source = open_source("picamera:1", CameraOptions((1280, 720), fps=25))
    source.close()
    assert pi.made[0].number == 1
    assert pi.made[0].configuration["main"]["size"] == (1280, 720)
    assert pi.made[0].configuration["controls"] == {"FrameDurationLimits": (40_000, 40_000)}
    assert list(source.warnings) == []


def test_another_size_than_asked_for_is_a_warning(pi: type[FakePicamera2]) -> None:
    source = open_source("picamera", CameraOptions((100, 100)))
    source.close()
    assert list(source.warnings) == [
        "asked for 100x100, the camera gives 64x48; its modes are listed by: flora doctor",
    ]


def test_each_frame_gives_its_memory_back_and_the_camera_is_closed(pi: type[FakePicamera2]) -> None:
    capture = PicameraCapture(0)
    for _ in range(3):
        assert capture.grab()
    assert pi.made[0].held == 1
    assert capture.retrieve()[0]
    assert pi.made[0].held == 0
    assert capture.retrieve() == (False, None)
    assert capture.grab()
    capture.release()
    assert pi.made[0].calls == ["start", "stop", "close"]


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        ("open", IndexError("list index out of range"), "could not open picamera:3: list index out of range; close"),
        (
            "open",
            RuntimeError("Camera __init__\nsequence"),
            "could not open picamera:3: Camera __init__ sequence; close",
        ),
        (
            "configure",
            RuntimeError("Invalid argument"),
            "could not open picamera:3: Invalid argument with 640x480; try",
        ),
    ],
)
def test_a_camera_that_refuses_is_one_line(pi: type[FakePicamera2], step: str, error: Exception, message: str) -> None:
    pi.fails_at, pi.fails_with = step, error
    with pytest.raises(SourceError) as caught:
        open_source("picamera:3")
    assert one_line(caught).startswith(message)
    assert [camera.calls for camera in pi.made] == [["stop", "close"]] * (step == "configure")


@pytest.mark.parametrize("step", ["capture", "close"])
def test_a_camera_that_fails_later_is_a_source_that_has_gone(pi: type[FakePicamera2], step: str) -> None:
    capture = PicameraCapture(0)
    pi.fails_at, pi.fails_with = step, RuntimeError("Connection lost")
    with pytest.raises(SourceError, match=r"the camera (stopped|could not be closed) \(Connection lost\)"):
        capture.grab() if step == "capture" else capture.release()


@pytest.mark.parametrize("give_up_after_s", [None, 60.0])
def test_without_picamera2_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, give_up_after_s: float | None
) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(DependencyError) as caught:
        open_source("picamera", Patience(give_up_after_s=give_up_after_s))
    message = one_line(caught)
    assert "install it with: apt install python3-picamera2" in message
    assert "--system-site-packages" in message


def test_a_picamera2_built_for_another_numpy_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> ModuleType:
        raise ValueError("numpy.dtype size changed, may indicate binary incompatibility")

    monkeypatch.setattr("importlib.import_module", refuse)
    with pytest.raises(DependencyError, match=rf"picamera2 and NumPy {np.__version__} do not fit .*upgrade simplejpeg"):
        PicameraCapture(0)


def test_the_cameras_of_the_pi_are_listed(pi: type[FakePicamera2]) -> None:
    assert [(info.source, info.name) for info in picameras()] == [("picamera:0", "imx708"), ("picamera:1", "imx219")]


@pytest.mark.parametrize("spec", ["picamera:", "picamera:x", "picamera:-1", "picamera:100", "picamera0"])
def test_what_only_looks_like_one_is_no_such_file(spec: str) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        open_source(spec)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size_wh": (0, 480)}, "--camera-size is 0x480; expected pixels, as 1280x720"),
        ({"fps": 0.0}, "--camera-fps is 0; expected more than 0"),
        ({"fps": float("nan")}, "--camera-fps is nan"),
    ],
)
def test_impossible_sizes_and_rates_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source("picamera", CameraOptions(**options))
