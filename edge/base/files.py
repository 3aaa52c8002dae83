"""Where things are kept that can be fetched or worked out again: downloads, decoded photos, verdicts on model files."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.errors import OutputError


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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # it may never have come to exist
            temporary.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise OutputError(f"{path}: cannot be written ({reason}); free some space or choose another folder") from error


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Wait until no other process, such as another worker of the same training, holds the lock."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
