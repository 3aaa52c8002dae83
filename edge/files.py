"""Write a file whole or not at all: under a temporary name in the same folder, then renamed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edge.errors import OutputError


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
