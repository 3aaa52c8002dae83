"""What a machine tells of itself, read from file trees as a Raspberry Pi, an Intel laptop and a container have them."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from edge.base.board import Board
from tests.edge.fakes import FakeClock

FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
PI_5_FIRMWARE = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"
ZONE = "sys/class/thermal/thermal_zone{}/temp"
COOLER = "sys/class/thermal/cooling_device{}/{}"
COUNTER = "sys/devices/system/cpu/cpu{}/thermal_throttle/core_throttle_count"

PI = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.5\0",
    "proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\n",
    "proc/meminfo": "MemTotal:        3884360 kB\nMemFree:   100 kB\nMemAvailable:    3000000 kB\n",
    "proc/self/status": "Name:\tpython\nVmSize:\t  200000 kB\nVmHWM:\t   90000 kB\nVmRSS:\t   80000 kB\nThreads:\t7\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1800000\n",
    ZONE.format(0): "48312\n",
    FIRMWARE: "0\n",
}


def board(root: Path, files: Mapping[str, str], process: int | None = None) -> Board:
    write(root, files)
    return Board(root, process)


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def test_a_raspberry_pi_tells_what_it_is(tmp_path: Path) -> None:
    pi = board(tmp_path, PI)
    assert pi.model() == pi.name() == "Raspberry Pi 4 Model B Rev 1.5"
    assert (pi.features(), pi.has_dot_product()) == (("asimd",), False)
    assert pi.total_memory_mb() == pytest.approx(3977.58, abs=0.01)
    assert pi.free_memory_mb() == pytest.approx(3072.0)
    assert (pi.governor(), pi.clock_mhz()) == ("ondemand", (600.0, 1800.0))
    assert (pi.temperature_c(), pi.is_throttled(), pi.power_words()) == (48.312, False, ())


def test_memory_and_threads_are_those_of_the_process(tmp_path: Path) -> None:
    pi = board(tmp_path, PI)
    assert (pi.memory_mb(), pi.peak_memory_mb(), pi.threads()) == (81.92, 92.16, 7)
    assert pi.address_space_bytes() == 200_000 * 1024
    other = board(tmp_path, {"proc/42/status": "VmRSS:\t 1000 kB\nThreads:\t2\n"}, 42)
    assert (other.memory_mb(), other.peak_memory_mb(), other.threads()) == (1.024, None, 2)


@pytest.mark.parametrize("path", [FIRMWARE, PI_5_FIRMWARE], ids=["up to Pi 4", "Pi 5"])
@pytest.mark.parametrize(
    ("flags", "is_throttled", "words"),
    [
        ("0", False, ()),
        ("1", False, ("under-voltage",)),
        ("2", True, ("clock capped",)),
        ("4", True, ("throttled",)),
        ("80008", True, ("soft temperature limit", "soft temperature limit since the start")),
        ("50000", False, ("under-voltage since the start", "throttled since the start")),
        ("e0006", True, ("clock capped", "throttled", "clock capped since the start", "throttled since the start",
                         "soft temperature limit since the start")),
        ("not a number", None, ()),
    ],
    ids=["fine", "weak supply", "capped", "throttled", "soft limit", "before", "now and before", "strange"],
)  # fmt: skip
def test_the_flags_of_a_raspberry_pi_are_read_bit_by_bit(
    path: str, flags: str, is_throttled: bool | None, words: tuple[str, ...], tmp_path: Path
) -> None:
    pi = board(tmp_path, {path: f"{flags}\n"})
    assert (pi.is_throttled(), pi.power_words()) == (is_throttled, words)


@pytest.mark.parametrize(
    ("kind", "state", "is_throttled"),
    [
        ("thermal-cpufreq-0", "2", True),
        ("cpufreq-cpu0", "0", False),
        ("Processor", "1", True),
        ("pwm-fan", "3", None),
        ("cpufreq-cpu0", "unknown", None),
    ],
    ids=["older kernel, slowed", "newer kernel, not slowed", "a PC, slowed", "a fan slows nothing", "strange"],
)
def test_elsewhere_a_cooling_device_in_use_means_throttled(
    kind: str, state: str, is_throttled: bool | None, tmp_path: Path
) -> None:
    files = {COOLER.format(0, "type"): kind + "\n", COOLER.format(0, "cur_state"): state + "\n"}
    assert board(tmp_path, files).is_throttled() is is_throttled


def test_counters_mean_throttled_while_they_grow(tmp_path: Path) -> None:
    laptop = board(tmp_path, {COUNTER.format(0): "5\n", COUNTER.format(1): "7\n"})
    assert laptop.is_throttled() is False  # what happened before this process is another matter
    write(tmp_path, {COUNTER.format(1): "8\n"})
    assert laptop.is_throttled() is True
    assert laptop.is_throttled() is False


@pytest.mark.parametrize(
    ("files", "hottest"),
    [
        ({ZONE.format(0): "41000", ZONE.format(1): "57500"}, 57.5),
        ({ZONE.format(0): "41000", ZONE.format(1): "-274000"}, 41.0),
        ({ZONE.format(0): "-274000"}, None),
        ({ZONE.format(0): "999000"}, None),
        ({ZONE.format(0): ""}, None),
        ({"sys/class/hwmon/hwmon1/name": "k10temp\n", "sys/class/hwmon/hwmon1/temp1_input": "63250\n"}, 63.25),
        ({"sys/class/hwmon/hwmon1/name": "nvme\n", "sys/class/hwmon/hwmon1/temp1_input": "63250\n"}, None),
        ({ZONE.format(0): "41000", "sys/class/hwmon/hwmon1/name": "k10temp\n",
          "sys/class/hwmon/hwmon1/temp1_input": "63250\n"}, 41.0),
        ({}, None),
    ],
    ids=["the hottest", "no placeholder", "a placeholder alone", "no fault", "a sleeping sensor", "a sensor",
         "not a disk's", "zones first", "nothing"],
)  # fmt: skip
def test_the_temperature_is_the_hottest_that_can_be_true(
    files: dict[str, str], hottest: float | None, tmp_path: Path
) -> None:
    assert board(tmp_path, files).temperature_c() == hottest


@pytest.mark.parametrize(
    ("line", "has_dot_product"),
    [
        ("Features\t: fp asimd asimdhp asimddp i8mm", True),
        ("Features\t: fp asimd evtstrm", False),
        ("flags\t\t: fpu sse2 avx2 fma avx_vnni", True),
        ("flags\t\t: fpu sse2 avx2 fma", False),
        ("model name\t: nothing is listed", None),
    ],
    ids=["arm64 with", "arm64 without", "x86 with", "x86 without", "not told"],
)
def test_the_instructions_for_int8_are_recognised(line: str, has_dot_product: bool | None, tmp_path: Path) -> None:
    assert board(tmp_path, {"proc/cpuinfo": f"processor : 0\n{line}\n"}).has_dot_product() is has_dot_product


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0"}, "Raspberry Pi 4 Model B Rev 1.4"),
        ({"proc/cpuinfo": "processor : 0\nmodel name\t: Some CPU 3000\n"}, "Some CPU 3000"),
        ({"proc/cpuinfo": "processor : 0\n"}, platform.machine()),
        ({}, platform.machine()),
    ],
    ids=["a board", "a processor", "neither named", "not Linux"],
)
def test_a_device_is_called_what_it_calls_itself(files: dict[str, str], name: str, tmp_path: Path) -> None:
    assert board(tmp_path, files).name() == name


def test_a_machine_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    mute = Board(tmp_path / "none")
    told = (
        mute.memory_mb(), mute.peak_memory_mb(), mute.address_space_bytes(), mute.threads(), mute.descriptors(),
        mute.temperature_c(), mute.is_throttled(), mute.model(), mute.has_dot_product(), mute.total_memory_mb(),
        mute.free_memory_mb(), mute.governor(), mute.clock_mhz(),
    )  # fmt: skip
    assert told == (None,) * len(told)
    assert (mute.features(), mute.power_words(), mute.video_devices()) == ((), (), ())
    assert mute.cores() >= 1


def test_the_share_of_a_core_is_that_since_the_last_call() -> None:
    wall, cpu = FakeClock(), FakeClock(0)
    here = Board(clock=wall, cpu_clock=cpu)
    assert here.cpu_share() is None
    wall.now, cpu.now = 104.0, 6.0
    assert here.cpu_share() == 1.5
    assert here.cpu_share() is None  # no time has passed
    wall.now, cpu.now = 108.0, 7.0
    assert here.cpu_share() == 0.25


def test_the_descriptor_that_counts_is_not_counted(tmp_path: Path) -> None:
    files = {f"proc/{process}/fd/{number}": "" for process in ("self", "42") for number in range(5)}
    assert (board(tmp_path, files).descriptors(), Board(tmp_path, 42).descriptors()) == (4, 5)


def test_this_process_is_seen_to_open_files_and_start_threads() -> None:
    here, stop = Board(), threading.Event()
    threads, descriptors = here.threads(), here.descriptors()
    if threads is None or descriptors is None:
        pytest.skip("no /proc here")
    with open(os.devnull, "rb"), open(os.devnull, "rb"):  # noqa: PTH123 - what is counted is that they are open
        assert here.descriptors() == descriptors + 2
    waiting = threading.Thread(target=stop.wait)
    waiting.start()
    assert here.threads() == threads + 1
    stop.set()
    waiting.join()
    assert (here.memory_mb() or 0) > 1


def test_video_devices_are_named_as_the_kernel_has_them(tmp_path: Path) -> None:
    files = {f"sys/class/video4linux/video{number}/name": "USB camera\n" for number in (0, 2)}
    assert board(tmp_path, files).video_devices() == ("video0", "video2")
