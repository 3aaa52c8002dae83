"""Open what a name names: one string in, a `Source` of frames out.

In:  a camera number ("0") or device ("/dev/video0", or a link to it), "picamera" or "picamera:1", a video file, a
     picture, a folder, a glob ("photos/*.jpg"), an http(s):// or rtsp(s):// address, or "test" (a moving pattern).
Out: a Source (see `edge.contract.frame`), or SourceError in one line that says what was found instead.

To add a kind of source: a file in this folder, and a row in SOURCES.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge.base.options import add_options, read_options
from edge.base.text import shown_name
from edge.contract.event import Tell
from edge.contract.frame import Clock, Sleep, Source
from edge.errors import SourceError, UsageError
from edge.sources.asked import Asked
from edge.sources.camera import CameraOptions, camera_source, is_camera
from edge.sources.files import file_source, folder_source, glob_source, is_file, is_folder, is_glob
from edge.sources.pattern import is_pattern, pattern_source
from edge.sources.picamera import is_picamera, picamera_source
from edge.sources.stream import is_address, stream_source
from edge.sources.watchdog import Patience, ignore


@dataclass(frozen=True)
class SourceRow:
    """One kind of source."""

    help: str  # what a name of it is, in the help of --source
    expected: str  # the same in an error, among the others
    matches: Callable[[str], bool]  # whether a name means this kind
    open: Callable[[str, Asked], Source]  # raises SourceError
    options: tuple[type[Any], ...] = ()  # dataclasses made with edge.base.options; kinds may share one
    is_path: bool = False  # then a name that means another kind, as "test" does, is no path
    takes_size: str | None = None  # what it is called among those that can be given a size
    takes_rate: str | None = None  # the same of a rate


SOURCES = (
    SourceRow(
        "camera number", "a camera number", is_camera, camera_source, (CameraOptions, Patience),
        takes_size="a camera", takes_rate="a camera",
    ),
    SourceRow(
        "picamera", "picamera", is_picamera, picamera_source, (CameraOptions, Patience),
        takes_size="a camera", takes_rate="a camera",
    ),
    SourceRow("file", "a video, a picture", is_file, file_source, is_path=True),
    SourceRow("folder", "a folder", is_folder, folder_source, is_path=True),
    SourceRow("glob", "a glob", is_glob, glob_source, is_path=True),
    SourceRow("stream address", "an http(s):// or rtsp:// address", is_address, stream_source, (Patience,)),
    SourceRow("test", "test", is_pattern, pattern_source, (CameraOptions,), takes_size="the test pattern"),
)  # fmt: skip


def open_source(
    spec: str,
    *options: object,
    realtime: bool = False,
    max_fps: float | None = None,
    tell: Tell = ignore,
    clock: Clock = time.monotonic,
    sleep: Sleep = time.sleep,
    wall: Clock = time.time,
) -> Source:
    """Open what `spec` names (the module says what it may be). Raises SourceError, one line, if it cannot be.

    `options` are those of its kind, as `CameraOptions(size_wh=(640, 480))`; without them it has its defaults, and
    those of other kinds are left aside. `realtime` plays a video at its own rate. Whoever reads at most `max_fps`
    frames a second spares the others their decoding. Cameras and streams are watched: see `edge.sources.watchdog` for
    what `tell` hears and what `Patience` there is; with its `give_up_after_s` one that is not there yet is waited for.
    """
    asked = Asked(options, realtime, max_fps, tell, clock, sleep, wall)
    row = _row_of(spec)
    _refuse_what_it_cannot(spec, row, asked.of(CameraOptions))
    if row is None:
        raise _nothing_like(spec)
    return row.open(spec, asked)


def source_help() -> str:
    """What a name may be, for the help of --source."""
    return _listed([row.help for row in SOURCES])


def add_source_options(group: Any) -> None:
    """Give a parser, or a group of one, the options of every kind of source."""
    for kind in _kinds_of_options():
        add_options(group, kind)


def read_source_options(given: argparse.Namespace) -> tuple[object, ...]:
    """The `options` for `open_source`. Raises UsageError."""
    return tuple(read_options(kind, given) for kind in _kinds_of_options())


def _kinds_of_options() -> list[type[Any]]:
    return list(dict.fromkeys(kind for row in SOURCES for kind in row.options))


def _row_of(spec: str) -> SourceRow | None:
    return next((row for row in sorted(SOURCES, key=lambda row: row.is_path) if row.matches(spec)), None)


def _refuse_what_it_cannot(spec: str, row: SourceRow | None, camera: CameraOptions) -> None:
    if camera.size_wh and not (row and row.takes_size):
        those = " or ".join(dict.fromkeys(row.takes_size for row in SOURCES if row.takes_size))
        raise UsageError(f"{shown_name(spec)} has its own size; only {those} can be given one")
    if camera.fps and not (row and row.takes_rate):
        those = " or ".join(dict.fromkeys(row.takes_rate for row in SOURCES if row.takes_rate))
        raise UsageError(f"{shown_name(spec)} has its own rate; only {those} can be given one; see --max-fps")


def _nothing_like(spec: str) -> SourceError:
    name, expected = shown_name(spec), f"expected {_listed([row.expected for row in SOURCES])}"
    if not spec.strip():
        return SourceError(f"no source was named; {expected}")
    if "://" in spec:
        return SourceError(f"{name}: {shown_name(spec.partition('://')[0].lower())}:// is not supported; {expected}")
    if "\0" in spec:
        return SourceError(f"{name}: a null character; {expected}")
    return SourceError(f"no such file or folder: {name}; {expected}")


def _listed(words: list[str]) -> str:
    return f"{', '.join(words[:-1])}, or {words[-1]}"
