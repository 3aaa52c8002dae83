"""Ask Linux what a video device is and which modes it has, as include/uapi/linux/videodev2.h of the kernel defines.

In:  a device node such as /dev/video0.
Out: Device: does it deliver pictures, and in which formats, sizes and rates. Nothing is set or started.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The request codes hold the sizes of their structures, the same on 32 and 64 bits.
QUERYCAP, ENUM_FMT, ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
CAPABILITY_BYTES, FORMAT_BYTES, SIZE_BYTES, INTERVAL_BYTES = 104, 64, 44, 52
VIDEO_CAPTURE = 1  # a buffer type and a capability
HAS_DEVICE_CAPS = 0x80000000
DISCRETE = 1
MOST = 100  # a driver that never says "no more" is not asked for ever

Ioctl = Callable[[int, int, bytearray], Any]


@dataclass(frozen=True)
class Mode:
    """One way in which a camera can deliver."""

    format: str  # four characters: MJPG, YUYV, ...
    size_wh: tuple[int, int]
    fps: float | None  # the fastest; None if the driver does not say

    def __str__(self) -> str:
        rate = f" {self.fps:g}/s" if self.fps else ""
        return f"{self.format} {self.size_wh[0]}x{self.size_wh[1]}{rate}"


@dataclass(frozen=True)
class Device:
    """A video device."""

    card: str  # what its driver calls it
    is_camera: bool  # False: it delivers something else, as metadata, or takes pictures in
    modes: tuple[Mode, ...]  # those with a fixed size


def describe(device: Path, ioctl: Ioctl | None = None) -> Device:
    """Raises OSError if it cannot be opened or is no video device."""
    if ioctl is None:
        import fcntl  # not there on every system; nor are these devices

        ioctl = fcntl.ioctl
    descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    try:
        card, is_camera = _capability(ioctl, descriptor)
        return Device(card, is_camera, tuple(_modes(ioctl, descriptor)) if is_camera else ())
    finally:
        os.close(descriptor)


def _capability(ioctl: Ioctl, descriptor: int) -> tuple[str, bool]:
    answer = bytearray(CAPABILITY_BYTES)
    ioctl(descriptor, QUERYCAP, answer)
    capabilities, of_this_node = struct.unpack_from("=II", answer, 84)
    capabilities = of_this_node if capabilities & HAS_DEVICE_CAPS else capabilities
    card = bytes(answer[16:48]).split(b"\0")[0].decode("utf-8", "replace")
    return card, bool(capabilities & VIDEO_CAPTURE)


def _modes(ioctl: Ioctl, descriptor: int) -> Iterator[Mode]:
    for answer in _enumerate(ioctl, descriptor, ENUM_FMT, FORMAT_BYTES, "=II", VIDEO_CAPTURE):
        (pixel_format,) = struct.unpack_from("=I", answer, 44)
        name = pixel_format.to_bytes(4, "little").decode("ascii", "replace").strip()
        for size in _enumerate(ioctl, descriptor, ENUM_FRAMESIZES, SIZE_BYTES, "=II", pixel_format):
            kind, width, height = struct.unpack_from("=III", size, 8)
            if kind == DISCRETE:
                yield Mode(name, (width, height), _fastest(ioctl, descriptor, (pixel_format, width, height)))


def _fastest(ioctl: Ioctl, descriptor: int, mode: tuple[int, int, int]) -> float | None:
    rates = []
    for answer in _enumerate(ioctl, descriptor, ENUM_FRAMEINTERVALS, INTERVAL_BYTES, "=IIII", *mode):
        kind, numerator, denominator = struct.unpack_from("=III", answer, 16)
        if kind == DISCRETE and numerator:
            rates.append(denominator / numerator)
    return max(rates, default=None)


def _enumerate(
    ioctl: Ioctl, descriptor: int, request: int, size: int, layout: str, *question: int
) -> Iterator[bytearray]:
    """Answer number 0, 1, ... until the driver has no more, which it says with an error."""
    for index in range(MOST):
        answer = bytearray(size)
        struct.pack_into(layout, answer, 0, index, *question)
        try:
            ioctl(descriptor, request, answer)
        except OSError:
            return
        yield answer
