"""Where things are kept that can be fetched or worked out again: downloads, decoded photos, verdicts on model files."""

from __future__ import annotations

import os
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
