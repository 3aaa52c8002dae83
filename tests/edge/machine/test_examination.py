"""The doctor: what it finds in machines that are broken in one way or another, and what it says to do about it."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.base.board import Board
from edge.machine import examination
from edge.machine.examination import FAIL, OK, WARN, Finding, Surroundings, examine
from edge.machine.probes import Said

NOW = 2_000_000_000.0
PACKAGES = {
    "numpy": "2.1.0", "ai-edge-litert": "2.3.0", "opencv-python-headless": "4.12.0", "aiohttp": "3.9",
    "paho-mqtt": "2.1",
}  # fmt: skip
CAMERA = {"source": "0", "device": "/dev/video0", "name": "USB camera", "problem": None, "modes": ["MJPG 640x480 30/s"]}
SAID = {
    "opencv": Said({"version": "4.12.0", "has_windows": False, "has_ffmpeg": True}),
    "colours": Said({"rgb": [254, 0, 0], "is_right": True}),
    "runtime": Said({"version": "ai-edge-litert 2.3.0"}),
    "cameras": Said({"cameras": [CAMERA], "picamera": None}),
    "model": Said({"name": "flowers.tflite", "cases": 4, "trouble": None, "ms_by_threads": {"1": 6.25, "4": 2.5}}),
}

Change = Callable[[Surroundings], Surroundings]


class HealthyBoard(Board):
    """A Raspberry Pi 4 in the shade."""

    def model(self) -> str | None:
        return "Raspberry Pi 4 Model B"

    def cores(self) -> int:
        return 4

    def features(self) -> tuple[str, ...]:
        return ("asimd",)

    def governor(self) -> str | None:
        return "ondemand"

    def total_memory_mb(self) -> float | None:
        return 4000.0

    def free_memory_mb(self) -> float | None:
        return 3000.0

    def temperature_c(self) -> float | None:
        return 48.5

    def is_throttled(self) -> bool | None:
        return False

    def power_words(self) -> tuple[str, ...]:
        return ()


def board(**answers: Any) -> Board:
    """A healthy one, but for these answers."""
    made = HealthyBoard()
    for name, answer in answers.items():
        setattr(made, name, lambda answer=answer: answer)
    return made


@pytest.fixture
def here(tmp_path: Path) -> Surroundings:
    return Surroundings(
        board=HealthyBoard(), ask=answers(), environment={}, installed=packages(PACKAGES), wall=lambda: NOW,
        folder=tmp_path, port=0,
    )  # fmt: skip


def answers(**changed: Said) -> Callable[[Mapping[str, str]], dict[str, Said]]:
    return lambda questions: {name: (SAID | changed)[name] for name in questions}


def packages(found: Mapping[str, str]) -> Callable[[tuple[str, ...]], dict[str, str]]:
    return lambda names: {name: found[name] for name in names if name in found}


def without(*names: str) -> dict[str, str]:
    return {name: version for name, version in PACKAGES.items() if name not in names}


def finding(here: Surroundings, about: str) -> Finding:
    (found,) = (one for one in examine(here) if one.about == about)
    return found


def test_a_healthy_machine_has_only_good_findings(here: Surroundings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "find_spec", lambda name: object())
    found = examine(here)
    assert {one.verdict for one in found} == {OK}
    assert {one.about for one in found} == {
        "Python", "numpy", "runtime", "OpenCV", "colours", "model", "processor", "memory", "heat", "clock", "disk",
        "camera", "display", "--web", "--mqtt", "port",
    }  # fmt: skip
    assert all("\n" not in one.text for one in found)


def test_every_complaint_says_what_to_type(here: Surroundings) -> None:
    broken = replace(here, installed=packages({}), ask=answers(opencv=Said(None, "cv2 is not installed")))
    complaints = [one for one in examine(broken) if one.verdict != OK]
    assert len(complaints) > 2
    assert all(one.next for one in complaints)


def asking(**changed: Said) -> Change:
    return lambda here: replace(here, ask=answers(**changed))


def having(found: Mapping[str, str], **changed: Said) -> Change:
    return lambda here: replace(here, installed=packages(found), ask=answers(**changed))


def on(**answers: Any) -> Change:
    return lambda here: replace(here, board=board(**answers))


def cameras(*found: Mapping[str, Any], picamera: str | None = None) -> Change:
    return asking(cameras=Said({"cameras": list(found), "picamera": picamera}))


OPENCV = SAID["opencv"].found or {}
MODEL = SAID["model"].found or {}
CASES: list[tuple[str, Change, str, str, str, str]] = [
    ("no numpy", having(without("numpy")), "numpy", FAIL, "not installed", "pip install 'flora-edge[headless]'"),
    (
        "NumPy 2 and the old runtime", having(without("ai-edge-litert") | {"tflite-runtime": "2.14.0"}),
        "numpy", FAIL, "2.1.0 does not fit tflite-runtime 2.14.0", "pip install 'flora-edge[legacy]'",
    ),
    (
        "no runtime", asking(runtime=Said(None, "no TFLite runtime is installed; take one of: pip install …")),
        "runtime", FAIL, "no TFLite runtime is installed", "take one of: pip install",
    ),
    ("the old runtime", asking(runtime=Said({"version": "tflite-runtime 2.14.0"})), "runtime", WARN,
     "LiteRT is several times as fast", "flora-edge[headless]"),
    ("a runtime that crashes", asking(runtime=Said(None, "it crashes (signal 11)")), "runtime", FAIL,
     "it crashes (signal 11)", "pip install"),
    ("two OpenCVs", having(PACKAGES | {"opencv-python": "5.0"}), "OpenCV", FAIL,
     "opencv-python 5.0 and opencv-python-headless 4.12.0 overwrite each other",
     "pip uninstall opencv-python opencv-python-headless; then"),
    ("no OpenCV", asking(opencv=Said(None, "cv2 is not installed")), "OpenCV", FAIL, "cv2 is not installed", "pip"),
    ("OpenCV of the system", having(without("opencv-python-headless")), "OpenCV", OK, "from the system", ""),
    ("no FFmpeg", asking(opencv=Said(OPENCV | {"has_ffmpeg": False})), "OpenCV", WARN, "streams and most", "pip"),
    ("blue for red", asking(colours=Said({"rgb": [0, 0, 254], "is_right": False})), "colours", FAIL,
     "a red patch comes out as RGB [0, 0, 254]", "reinstall OpenCV"),
    ("wrong answers", asking(model=Said(MODEL | {"trouble": "golden case 2 fails: BGR for RGB"})), "model", FAIL,
     "golden case 2 fails", "pip install --force-reinstall flora-edge"),
    ("no model", asking(model=Said(None, "flowers.tflite: no such file")), "model", FAIL, "no such file", "flora run"),
    ("a healthy model", asking(), "model", OK,
     "4 golden cases right; an answer takes 6.2 ms with 1 thread, 2.5 ms with 4 threads", "flora benchmark"),
    ("no dot product", asking(), "processor", OK, "no dot product of bytes", ""),
    ("a dot product", on(features=("asimd", "asimddp")), "processor", OK, "4 cores (asimd, asimddp)", ""),
    ("powersave", on(governor="powersave"), "processor", WARN, "governor powersave", "scaling_governor"),
    ("no memory left", on(free_memory_mb=90.0), "memory", WARN, "90 of 4000 MB free", "ps aux"),
    ("memory not told", on(total_memory_mb=None), "memory", OK, "not told", ""),
    ("hot", on(temperature_c=81.0), "heat", WARN, "81.0 °C", "--max-fps 2"),
    ("throttled", on(is_throttled=True), "heat", WARN, "the clock is lowered", "--max-fps 2"),
    ("throttled before", on(power_words=("throttled since the start",)), "heat", WARN, "throttled since", "--max-fps"),
    ("a weak supply", on(power_words=("under-voltage",)), "heat", WARN, "under-voltage", "power supply"),
    ("no sensor", on(temperature_c=None), "heat", OK, "not told", ""),
    ("1970", lambda here: replace(here, wall=lambda: 86_400.0), "clock", WARN,
     "1970-01-02 00:00 UTC is before this was installed", "timedatectl"),
    ("no such folder", lambda here: replace(here, folder=Path("/no/such/folder")), "disk", WARN,
     "/no/such/folder: No such file", "cd ~"),
    ("no camera", cameras(), "camera", WARN, "none found", "flora run --source test"),
    ("a camera", asking(), "camera", OK, "/dev/video0, USB camera: MJPG 640x480 30/s", "flora run --source 0"),
    ("a camera of many modes", cameras(CAMERA | {"modes": [f"YUYV {n}x{n}" for n in range(100, 109)]}), "camera", OK,
     "YUYV 103x103 and 5 more", "flora run --source 0"),
    ("a forbidden camera", cameras(CAMERA | {"problem": "Permission denied"}), "camera", WARN,
     "/dev/video0, USB camera: Permission denied", "usermod -aG video"),
    ("a camera in use", cameras(CAMERA | {"problem": "Device or resource busy"}), "camera", WARN, "busy", "flora run"),
    ("a driver that hangs", asking(cameras=Said(None, "no answer within 60 s")), "camera", WARN, "no answer", "test"),
    ("a broken picamera2", cameras(CAMERA, picamera="NumPy 2 does not fit"), "picamera2", WARN, "does not fit", "apt"),
    ("no picamera2 on a Pi", asking(), "picamera2", WARN, "not importable", "python3 -m venv --system-site-packages"),
    ("no display", asking(), "display", OK, "none", "--web"),
    ("a display for no windows", lambda here: replace(here, environment={"DISPLAY": ":0"}), "display", OK,
     ":0, but this OpenCV has no windows", "flora-edge[window]"),
    ("a display", lambda here: replace(
        here, environment={"WAYLAND_DISPLAY": "wayland-0"}, ask=answers(opencv=Said(OPENCV | {"has_windows": True}))
    ), "display", OK, "wayland-0", "--show"),
    ("no web", having(without("aiohttp")), "--web", OK, "aiohttp is not installed", "pip install 'flora-edge[web]'"),
    ("web", asking(), "--web", OK, "aiohttp 3.9", ""),
    ("no MQTT", having(without("paho-mqtt")), "--mqtt", OK, "not available", "pip install 'flora-edge[mqtt]'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "about", "verdict", "text", "remedy"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_each_fault_is_found_with_its_remedy(
    change: Change, about: str, verdict: str, text: str, remedy: str, here: Surroundings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(examination, "find_spec", lambda name: None)
    found = finding(change(here), about)
    assert (found.verdict, text in found.text) == (verdict, True), found
    assert remedy in (found.next or "")


def test_picamera2_is_missed_on_a_pi_alone(here: Surroundings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "find_spec", lambda name: None)
    laptop = replace(here, board=board(model=None))
    assert [("picamera2" in {one.about for one in examine(on)}) for on in (here, laptop)] == [True, False]


def test_a_broken_package_is_not_asked_to_run_a_model(here: Surroundings) -> None:
    asked: list[str] = []

    def ask(questions: Mapping[str, str]) -> dict[str, Said]:
        asked.extend(questions)
        return answers(runtime=Said(None, "no TFLite runtime is installed"))(questions)

    found = finding(replace(here, ask=ask), "model")
    assert ("model" in asked, found.verdict, found.next) == (False, WARN, "flora doctor")


def test_a_port_in_use_is_told(here: Surroundings) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        found = finding(replace(here, port=port), "port")
    assert (found.verdict, found.next) == (WARN, f"flora run --source 0 --web {port + 1}")
    assert f"{port} cannot be had" in found.text


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 14, 0)], ids=["too old", "too new"])
def test_an_untested_python_is_told(
    version: tuple[int, int, int], here: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    assert finding(here, "Python").verdict == WARN


def test_32_bits_on_a_processor_of_64_are_told(here: Surroundings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr(struct, "calcsize", lambda form: 4)
    assert "LiteRT needs 64" in finding(here, "Python").text


def test_a_full_disk_is_told(here: Surroundings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 20e6}))
    found = finding(here, "disk")
    assert (found.verdict, found.next) == (WARN, "df -h")
    assert "20 MB free" in found.text
