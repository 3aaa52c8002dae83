"""What works on this machine, what does not, and the next command to type. Needs no package at all, not even numpy.

In:  a Board, an environment, the answers of probes (edge/machine/probes.py).
Out: Findings: ok, warn or fail; only what stops `flora run` is a fail.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge.base.board import MB, Board
from edge.base.packages import DISTRIBUTION, ONE_EXTRA, OPENCV_BUILDS, installed
from edge.machine.probes import Ask, Said, ask

OK, WARN, FAIL = "ok", "warn", "fail"
PYTHONS = (3, 10), (3, 13)
LITERT, LEGACY = "ai-edge-litert", "tflite-runtime"
LITTLE_MEMORY_MB, LITTLE_DISK_MB = 150.0, 500.0
HOT_C = 80.0  # from here on a Raspberry Pi lowers its clock
WEB_PORT = 8080
EXTRAS = {"web": ("aiohttp", "--web"), "mqtt": ("paho-mqtt", "--mqtt")}
NO_CAMERA = "flora run --source test"
MOST_MODES = 4  # named of each camera
TOLERANCE_S = 86400.0  # by which a clock may be behind the files of this installation
INSTALL = f"pip install '{DISTRIBUTION}[headless]'"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    about: str  # one or two words
    verdict: str  # OK, WARN or FAIL
    text: str  # one line
    next: str | None = None  # the command to type, or what to do


@dataclass(frozen=True)
class Surroundings:
    """The machine as the examinations see it; tests bring their own."""

    board: Board = field(default_factory=Board)
    ask: Ask = ask
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    installed: Callable[[tuple[str, ...]], dict[str, str]] = installed
    wall: Callable[[], float] = time.time
    folder: Path = field(default_factory=Path.cwd)
    port: int = WEB_PORT


def examine(here: Surroundings | None = None, tick: Callable[[str], None] = lambda what: None) -> list[Finding]:
    """Look at everything; `tick` is told what comes next."""
    here = here or Surroundings()
    tick("packages and cameras")
    said = here.ask({"opencv": "", "runtime": "", "colours": "", "cameras": ""})
    tick("the bundled model")
    usable = said["opencv"].problem is None and said["runtime"].problem is None
    said |= here.ask({"model": ""}) if usable else {}
    return [
        *_python(),
        *_packages(here, said),
        *_model(said.get("model")),
        *_machine(here.board),
        *_heat(here.board),
        *_clock(here),
        *_disk(here.folder),
        *_cameras(here.board, said["cameras"]),
        *_display(here.environment, said["opencv"]),
        *_extras(here),
        *_port(here.port),
    ]


def _python() -> Iterator[Finding]:
    version, bits = platform.python_version(), struct.calcsize("P") * 8
    text = f"{version}, {bits} bit, {platform.machine()}"
    low, high = (".".join(map(str, pair)) for pair in PYTHONS)
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        yield Finding("Python", WARN, f"{text}; tested: {low} to {high}", f"python{high} -m venv flora")
    elif bits == 32 and platform.machine() in {"aarch64", "arm64", "x86_64"}:
        yield Finding(
            "Python", WARN, f"{text}: 32 bits on a processor of 64; LiteRT needs 64", "install a 64-bit system"
        )
    else:
        yield Finding("Python", OK, text)


def _packages(here: Surroundings, said: Mapping[str, Said]) -> Iterator[Finding]:
    found = here.installed(("numpy", LITERT, LEGACY))
    if "numpy" not in found:
        yield Finding("numpy", FAIL, "not installed", INSTALL)
    elif LEGACY in found and LITERT not in found and not found["numpy"].startswith("1."):
        text = f"{found['numpy']} does not fit {LEGACY} {found[LEGACY]}, which needs NumPy 1"
        yield Finding("numpy", FAIL, text, f"pip install '{DISTRIBUTION}[legacy]'")
    else:
        yield Finding("numpy", OK, found["numpy"])
    yield from _runtime(said["runtime"])
    yield from _opencv(here, said["opencv"])
    if said["opencv"].problem is None:
        yield from _colours(said["colours"])


def _runtime(said: Said) -> Iterator[Finding]:
    if said.found is None:
        yield _failed("runtime", said, INSTALL)
    elif said.found["version"].startswith(LEGACY) and struct.calcsize("P") == 8:
        yield Finding("runtime", WARN, f"{said.found['version']}: works, but LiteRT is several times as fast", INSTALL)
    else:
        yield Finding("runtime", OK, said.found["version"])


def _opencv(here: Surroundings, said: Said) -> Iterator[Finding]:
    builds = here.installed(OPENCV_BUILDS)
    if len(builds) > 1:
        text = f"{' and '.join(f'{name} {number}' for name, number in builds.items())} overwrite each other"
        yield Finding("OpenCV", FAIL, text, f"pip uninstall {' '.join(builds)}; then {ONE_EXTRA}")
    elif said.found is None:
        yield _failed("OpenCV", said, INSTALL)
    else:
        kind = "with windows" if said.found["has_windows"] else "headless"
        text = f"{said.found['version']}, {kind}{'' if builds else ', from the system'}"
        if said.found["has_ffmpeg"]:
            yield Finding("OpenCV", OK, text)
        else:
            yield Finding("OpenCV", WARN, f"{text}, without FFmpeg: streams and most videos cannot be read", INSTALL)


def _colours(said: Said) -> Iterator[Finding]:
    if said.found is None:
        yield _failed("colours", said, INSTALL)
    elif said.found["is_right"]:
        yield Finding("colours", OK, "a red patch is red to a model")
    else:
        text = f"a red patch comes out as RGB {said.found['rgb']}; expected about 255, 0, 0"
        yield Finding("colours", FAIL, text, "reinstall OpenCV: " + ONE_EXTRA)


def _model(said: Said | None) -> Iterator[Finding]:
    if said is None:
        yield Finding(
            "model", WARN, "not tried, as the runtime or OpenCV does not work; repair that first", "flora doctor"
        )
    elif said.found is None:
        yield _failed("model", said, "flora run MODEL.tflite --source test")
    elif said.found["trouble"]:
        yield Finding("model", FAIL, said.found["trouble"], f"pip install --force-reinstall {DISTRIBUTION}")
    else:
        times = [f"{ms:.1f} ms with {threads} threads" for threads, ms in said.found["ms_by_threads"].items()]
        times = [text.replace(" 1 threads", " 1 thread") for text in times]
        text = f"{said.found['name']}: {said.found['cases']} golden cases right; an answer takes {', '.join(times)}"
        yield Finding("model", OK, text, "flora benchmark")


def _machine(board: Board) -> Iterator[Finding]:
    features = ", ".join(board.features()) or "features not told"
    dot_product = {True: "", False: "; no dot product of bytes, so int8 is slower", None: ""}[board.has_dot_product()]
    text = f"{board.name()}, {board.cores()} cores ({features}){dot_product}"
    if board.governor() == "powersave":
        governor = "echo ondemand | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        yield Finding("processor", WARN, f"{text}; governor powersave", governor)
    else:
        yield Finding("processor", OK, text)
    total, free = board.total_memory_mb(), board.free_memory_mb()
    if total is None or free is None:
        yield Finding("memory", OK, "not told")
    elif free < LITTLE_MEMORY_MB:
        text = f"{free:.0f} of {total:.0f} MB free; flora run takes about {LITTLE_MEMORY_MB:.0f}"
        yield Finding("memory", WARN, text, "ps aux --sort=-rss | head")
    else:
        yield Finding("memory", OK, f"{free:.0f} of {total:.0f} MB free")


def _heat(board: Board) -> Iterator[Finding]:
    heat, throttled, words = board.temperature_c(), board.is_throttled(), board.power_words()
    parts = [f"{heat:.1f} °C" if heat is not None else "not told"]
    parts += ["the clock is lowered"] if throttled else []
    text = ", ".join([*parts, *words])
    if any(word.startswith("under-voltage") for word in words):
        yield Finding("heat", WARN, text, "use a stronger power supply and a short cable")
    elif throttled or words or (heat is not None and heat >= HOT_C):
        yield Finding("heat", WARN, text, "give it air or a heat sink; spare it: flora run --source 0 --max-fps 2")
    else:
        yield Finding("heat", OK, text)


def _clock(here: Surroundings) -> Iterator[Finding]:
    """A board without a battery starts in the past; files that were installed in the future tell."""
    now, installed_at = here.wall(), Path(__file__).stat().st_mtime
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    if now < installed_at - TOLERANCE_S:
        yield Finding("clock", WARN, f"{shown} is before this was installed", "sudo timedatectl set-ntp true")
    else:
        yield Finding("clock", OK, shown)


def _disk(folder: Path) -> Iterator[Finding]:
    try:
        free_mb = shutil.disk_usage(folder).free / MB
    except OSError as error:
        yield Finding("disk", WARN, f"{folder}: {error.strerror}", "cd ~")
        return
    if free_mb < LITTLE_DISK_MB:
        yield Finding("disk", WARN, f"{free_mb:.0f} MB free in {folder}", "df -h")
    else:
        yield Finding("disk", OK, f"{free_mb / 1000:.1f} GB free in {folder}")


def _cameras(board: Board, said: Said) -> Iterator[Finding]:
    is_pi = "Raspberry Pi" in (board.model() or "")
    if said.found is None:
        reason, devices = (said.problem or "").partition(";")[0], ", ".join(board.video_devices()) or "none"
        yield Finding("camera", WARN, f"cannot be looked at ({reason}); video devices: {devices}", NO_CAMERA)
        return
    yield from (_camera(one) for one in said.found["cameras"])
    if not said.found["cameras"]:
        yield Finding("camera", WARN, "none found", NO_CAMERA)
    if said.found["picamera"]:
        yield Finding("picamera2", WARN, said.found["picamera"], "apt install python3-picamera2")
    elif is_pi and find_spec("picamera2") is None:
        text = "not importable; the Pi's own cameras need it, and an environment that sees the system's packages"
        venv = "sudo apt install python3-picamera2; python3 -m venv --system-site-packages flora"
        yield Finding("picamera2", WARN, text, venv)


def _camera(one: Mapping[str, Any]) -> Finding:
    named = ", ".join(text for text in (one["device"], one["name"]) if text) or one["source"]
    if one["problem"]:
        remedy = "sudo usermod -aG video $USER, then log in again" if "ermission" in one["problem"] else NO_CAMERA
        return Finding("camera", WARN, f"{named}: {one['problem']}", remedy)
    modes, more = one["modes"][:MOST_MODES], len(one["modes"]) - MOST_MODES
    told = f": {', '.join(modes)}{f' and {more} more' if more > 0 else ''}" if modes else ""
    return Finding("camera", OK, f"{named}{told}", f"flora run --source {one['source']}")


def _display(environment: Mapping[str, str], opencv: Said) -> Iterator[Finding]:
    name = environment.get("WAYLAND_DISPLAY") or environment.get("DISPLAY")
    has_windows = bool(opencv.found and opencv.found["has_windows"])
    if not name:
        yield Finding("display", OK, "none; the answers can be seen from a browser", "flora run --source 0 --web 8080")
    elif has_windows:
        yield Finding("display", OK, name, "flora run --source 0 --show")
    else:
        text = f"{name}, but this OpenCV has no windows (for --show)"
        window = f"pip uninstall {OPENCV_BUILDS[1]}; pip install '{DISTRIBUTION}[window]'"
        yield Finding("display", OK, text, window)


def _extras(here: Surroundings) -> Iterator[Finding]:
    for extra, (package, option) in EXTRAS.items():
        found = here.installed((package,))
        if found:
            yield Finding(option, OK, f"{package} {found[package]}")
        else:
            yield Finding(option, OK, f"not available: {package} is not installed",
                          f"pip install '{DISTRIBUTION}[{extra}]'")  # fmt: skip


def _port(port: int) -> Iterator[Finding]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            other = f"flora run --source 0 --web {port + 1}"
            yield Finding("port", WARN, f"{port} cannot be had ({error.strerror}), for --web", other)
        else:
            yield Finding("port", OK, f"{port} is free, for --web")


def _failed(about: str, said: Said, remedy: str) -> Finding:
    """A probe's own line often says what to do after its last semicolon."""
    text, separator, advice = (said.problem or "").partition("; ")
    return Finding(about, FAIL, text, advice if separator else remedy)
