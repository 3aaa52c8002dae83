"""Files written whole or not at all; the cache, for what can be fetched or worked out again; a lock between processes.

What cannot be written is an OutputError in one line: the file, the system's reason, what to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.base.text import first_line
from edge.errors import OutputError

ADVICE = "free some space or choose another folder"


def default_cache() -> Path:
    """$FLORA_CACHE, else flora in $XDG_CACHE_HOME, else ~/.cache/flora. Raises OutputError without a home."""
    try:
        if os.environ.get("FLORA_CACHE"):
            return Path(os.environ["FLORA_CACHE"]).expanduser()
        xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
        # The XDG specification has relative values ignored.
        return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "flora"
    except RuntimeError as error:  # a user whom the machine does not know, as in some containers
        raise OutputError("there is no home folder for the cache; name a folder in FLORA_CACHE") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, making its folder. Raises OutputError if that is impossible."""
    with writing(path), in_place_of(path) as part:
        part.write_bytes(data)


@contextmanager
def in_place_of(path: Path, part: Path | None = None, *, is_synced: bool = False) -> Iterator[Path]:
    """A name beside `path`, whose folder is made, to write to: the file takes the place of `path` when the block ends.

    Nothing is left behind by a block that fails. Only a kill leaves the part, so whoever writes large files, and is
    the only one to write this one, names the `part` himself: the next attempt writes over it. `is_synced`: on the
    disk before it is renamed, for what a power cut must not take. Raises OSError.
    """
    part = part or path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if is_synced:
            _sync(part)
        part.replace(path)
    finally:
        with contextlib.suppress(OSError):  # it may never have come to exist, nor its folder
            part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def writing(path: Path, what: str = "cannot be written", advice: str = ADVICE) -> Iterator[None]:
    """Inside, an OSError is the writing of `path` that failed: an OutputError in one line."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: {what} ({error.strerror or first_line(error)}); {advice}") from error


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Wait until no other process, such as another worker of the same training, holds the lock."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
