"""Photos as the device sees them: RGB uint8 (n, N, N, 3), through edge.picture.geometry."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.progress import Bar, no_bar
from edge.picture import geometry

DECODERS = min(8, max(4, os.cpu_count() or 1))


def device_views(root: Path, paths: Sequence[str], size: int, bar: Bar = no_bar) -> NDArray[np.uint8]:
    """Read photos exactly as the device would: RGB uint8 (n, size, size, 3)."""
    views = np.empty((len(paths), size, size, 3), np.uint8)
    for index, view in enumerate(
        in_threads(lambda path: geometry.model_input(geometry.read_photo(root / path), size), paths)
    ):
        views[index] = view
        bar(index + 1, len(paths))
    return views


def in_threads(work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    """Map in order, a few items ahead at most, so memory stays flat however many photos there are.

    OpenCV and hashlib release the interpreter, so threads are enough.
    """
    source = iter(items)
    pool = ThreadPoolExecutor(DECODERS)
    try:
        waiting = [pool.submit(work, item) for item in islice(source, 4 * DECODERS)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(work, item) for item in islice(source, 1)]
    finally:  # after Ctrl-C the photos still waiting are dropped, not decoded
        pool.shutdown(cancel_futures=True)
