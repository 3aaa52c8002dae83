"""Photos as the device sees them: RGB uint8 (n, N, N, 3), through edge.picture.geometry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.picture import geometry

DECODERS = 4
Progress = Callable[[int, int], None]


def device_views(root: Path, paths: Sequence[str], size: int, progress: Progress | None = None) -> NDArray[np.uint8]:
    """Read photos exactly as the device would: RGB uint8 (n, size, size, 3)."""
    views = np.empty((len(paths), size, size, 3), np.uint8)
    for index, view in enumerate(
        in_threads(lambda path: geometry.model_input(geometry.read_photo(root / path), size), paths)
    ):
        views[index] = view
        if progress is not None:
            progress(index + 1, len(paths))
    return views


def in_threads(work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    """Map in order, a few items ahead at most, so memory stays flat however many photos there are."""
    source = iter(items)
    with ThreadPoolExecutor(DECODERS) as pool:
        waiting = [pool.submit(work, item) for item in islice(source, 4 * DECODERS)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(work, item) for item in islice(source, 1)]
