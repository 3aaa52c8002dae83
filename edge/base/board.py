"""What the machine tells about itself and about this process: the only reader of /proc and /sys.

In:  the root of a file tree, "/" on a device.
Out: temperatures in degrees Celsius, memory in MB (1 MB = 1e6 bytes), shares of one core; None where the machine does
     not tell. Nothing here raises for a file that is missing, forbidden or strange.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

MB = 1e6
MILLI = 1000
COLDEST_C, HOTTEST_C = -60.0, 150.0  # what a sensor tells beyond these is a fault or a placeholder
CPU_SENSORS = frozenset({"coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal"})  # where there are no zones

# The Raspberry Pi's firmware driver tells one hexadecimal number; its upper half is what happened since the start.
PI_FLAGS = "sys/devices/platform/soc*/*firmware/get_throttled"
UNDER_VOLTAGE, CAPPED, THROTTLED, SOFT_LIMIT = 1 << 0, 1 << 1, 1 << 2, 1 << 3
PI_WORDS = {
    UNDER_VOLTAGE: "under-voltage",
    CAPPED: "clock capped",
    THROTTLED: "throttled",
    SOFT_LIMIT: "soft temperature limit",
}
SINCE_START = 16  # bits
# Elsewhere the kernel lowers the clock itself: a cooling device of the processor that is in use …
COOLERS = ("thermal-cpufreq", "cpufreq-", "Processor", "TCC")
# … or, on Intel's, counters of how often it was lowered.
COUNTERS = "sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count"

# Instructions that multiply and add bytes: what an int8 network runs on.
DOT_PRODUCT = ("asimddp", "i8mm", "avx_vnni", "avx512_vnni", "amx_int8")
NOTABLE = frozenset({*DOT_PRODUCT, "asimd", "neon", "asimdhp", "bf16", "sve", "sve2", "avx", "avx2", "fma", "avx512f"})


class Board:
    """One machine and one process on it, this one unless another one's number is given. Cheap: a few small files."""

    def __init__(
        self,
        root: Path = Path("/"),
        process: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        """`clock` and `cpu_clock` are seconds, of the wall and of all threads of this process."""
        self._root, self._process = root, root / "proc" / ("self" if process is None else str(process))
        self._clock, self._cpu_clock = clock, cpu_clock
        self._seen: tuple[float, float] | None = None
        self._counted = self._throttle_count()

    # This process.

    def cpu_share(self) -> float | None:
        """Of one core since the last call; 2.0 is two cores. None at first. Of this process, whatever its number."""
        now, used = self._clock(), self._cpu_clock()
        before, self._seen = self._seen, (now, used)
        if before is None or now <= before[0]:
            return None
        return (used - before[1]) / (now - before[0])

    def memory_mb(self) -> float | None:
        """Resident now."""
        return self._status_mb("VmRSS")

    def peak_memory_mb(self) -> float | None:
        """Resident at its peak."""
        return self._status_mb("VmHWM")

    def address_space_bytes(self) -> int | None:
        """Mapped, used or not."""
        kib = self._field(self._process / "status", "VmSize").split()
        return int(kib[0]) * 1024 if kib and kib[0].isdecimal() else None

    def threads(self) -> int | None:
        found = self._field(self._process / "status", "Threads")
        return int(found) if found.isdecimal() else None

    def descriptors(self) -> int | None:
        """Open file descriptors; the one that counts them is not counted."""
        folder = self._process / "fd"
        try:
            found = os.listdir(folder)  # noqa: PTH208 - nothing is done with the names
        except OSError:
            return None
        return len(found) - (self._process.name == "self")

    # Heat.

    def temperature_c(self) -> float | None:
        """Of the hottest thermal zone, else of the processor's own sensor."""
        zones = self._temperatures("sys/class/thermal/thermal_zone*/temp")
        sensors = [
            hot
            for folder in self._matching("sys/class/hwmon/hwmon*")
            if _text(folder / "name") in CPU_SENSORS
            for hot in self._temperatures(f"{folder.relative_to(self._root)}/temp*_input")
        ]
        return max(zones or sensors, default=None)

    def is_throttled(self) -> bool | None:
        """Whether the clock is lowered because of heat or of the power supply; by counters: since the last call."""
        flags = self._pi_flags()
        if flags is not None:
            return bool(flags & (CAPPED | THROTTLED | SOFT_LIMIT))
        counted, before = self._throttle_count(), self._counted
        self._counted = counted
        in_use = self._coolers_in_use()
        if counted is None and in_use is None:
            return None
        return bool(in_use) or (counted is not None and before is not None and counted > before)

    def power_words(self) -> tuple[str, ...]:
        """What a Raspberry Pi says about its supply and its clock, now and since it started; () elsewhere."""
        flags = self._pi_flags() or 0
        now = [words for bit, words in PI_WORDS.items() if flags & bit]
        before = [f"{words} since the start" for bit, words in PI_WORDS.items() if flags & bit << SINCE_START]
        return (*now, *before)

    # The machine.

    def model(self) -> str | None:
        """As "Raspberry Pi 4 Model B Rev 1.5"; only boards tell."""
        return _text(self._root / "proc/device-tree/model").strip("\0\n ") or None

    def name(self) -> str:
        """What this machine calls itself: its board, else its processor, else its architecture."""
        return self.model() or self._cpu_field("model name") or platform.machine()

    def cores(self) -> int:
        """That this process may use."""
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1

    def features(self) -> tuple[str, ...]:
        """Instruction sets that matter to a network, as the kernel calls them, in alphabetical order."""
        told = self._cpu_field("Features") or self._cpu_field("flags")
        return tuple(sorted(NOTABLE & set(told.split())))

    def has_dot_product(self) -> bool | None:
        """None where the kernel does not list features."""
        found = self.features()
        return any(feature in DOT_PRODUCT for feature in found) if found else None

    def total_memory_mb(self) -> float | None:
        return self._kib(self._root / "proc/meminfo", "MemTotal")

    def free_memory_mb(self) -> float | None:
        """What programs can still have."""
        return self._kib(self._root / "proc/meminfo", "MemAvailable")

    def governor(self) -> str | None:
        """Who chooses the clock, as "ondemand", "performance" or "powersave"."""
        return _text(self._root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None

    def clock_mhz(self) -> tuple[float, float] | None:
        """Of the first core, now and at most."""
        folder = self._root / "sys/devices/system/cpu/cpu0/cpufreq"
        now, most = (_number(folder / name) for name in ("scaling_cur_freq", "cpuinfo_max_freq"))
        return None if now is None or most is None else (now / MILLI, most / MILLI)

    def video_devices(self) -> tuple[str, ...]:
        """As "video0"; not all are cameras, but every camera that V4L2 knows is among them."""
        return tuple(path.name for path in self._matching("sys/class/video4linux/video*"))

    def facts(self) -> dict[str, str | int | float | list[str] | None]:
        """What two boards are compared by, as JSON has it."""
        clock = self.clock_mhz()
        return {
            "name": self.name(),
            "machine": platform.machine(),
            "system": f"{platform.system()} {platform.release()}",
            "cores": self.cores(),
            "features": list(self.features()),
            "memory_mb": self.total_memory_mb(),
            "governor": self.governor(),
            "most_mhz": clock[1] if clock else None,
        }

    def _matching(self, pattern: str) -> list[Path]:
        with contextlib.suppress(OSError):
            return sorted(self._root.glob(pattern))
        return []

    def _temperatures(self, pattern: str) -> list[float]:
        found = (_number(path) for path in self._matching(pattern))
        degrees = (value / MILLI for value in found if value is not None)
        return [value for value in degrees if COLDEST_C < value < HOTTEST_C]

    def _pi_flags(self) -> int | None:
        for path in self._matching(PI_FLAGS):
            with contextlib.suppress(ValueError):
                return int(_text(path).strip(), 16)
        return None

    def _coolers_in_use(self) -> bool | None:
        """None where nothing cools the processor by lowering its clock."""
        states = [
            _number(folder / "cur_state")
            for folder in self._matching("sys/class/thermal/cooling_device*")
            if _text(folder / "type").startswith(COOLERS)
        ]
        known = [state for state in states if state is not None]
        return any(state > 0 for state in known) if known else None

    def _throttle_count(self) -> int | None:
        counts = [_number(path) for path in self._matching(COUNTERS)]
        known = [int(count) for count in counts if count is not None]
        return sum(known) if known else None

    def _status_mb(self, name: str) -> float | None:
        return self._kib(self._process / "status", name)

    def _kib(self, path: Path, name: str) -> float | None:
        words = self._field(path, name).split()
        return int(words[0]) * 1024 / MB if words and words[0].isdecimal() else None

    def _cpu_field(self, name: str) -> str:
        return self._field(self._root / "proc/cpuinfo", name)

    def _field(self, path: Path, name: str) -> str:
        """The value of the first line "name : value", "" if there is none."""
        return next((value for key, value in _lines(path) if key == name), "")


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    for line in _text(path).splitlines():
        key, _, value = line.partition(":")
        yield key.strip(), value.strip()


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None


def _text(path: Path) -> str:
    """ "" where it cannot be read: sensors answer with an error while they sleep."""
    with contextlib.suppress(OSError):
        return path.read_bytes().decode("utf-8", "replace").strip()
    return ""
