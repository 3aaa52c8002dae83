"""Tell a camera that has frozen: the same picture bit by bit, although every read succeeds.

In:  pictures uint8 (H, W, 3) and the second of their capture, in order.
Out: is it frozen?

No sensor delivers the same bits twice, but for a dark room, and neither does a stream of one, but for a still scene
that its encoder skips over. So the verdict is only a suspicion: the source is opened again, and if the same bits come
again it is a still picture until they change; if it keeps happening, it has to last longer and longer.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

from edge.picture.geometry import Picture

SAMPLED_ROWS = 8
FEWEST_SAME = 5  # pictures; from a slow stream two or three may well be alike
LONGEST_FACTOR = 16
OFTEN_FACTOR = 30  # a verdict within so many limits of the one before is one too many


class Freeze:
    """Pictures in, a verdict out. A limit of 0 seconds turns it off."""

    def __init__(self, limit_s: float) -> None:
        self.since = -math.inf  # capture of the first of the pictures that are the same
        self.is_same = False  # the newest is the same as the one before
        self._limit_s = limit_s
        self._factor = 1
        self._verdict_at = -math.inf
        self._still: int | None = None  # checksum of a picture that came again after the source was opened again
        self.restart()

    def restart(self) -> None:
        """The next picture is that of a source opened again."""
        self._sample: int | None = None
        self._whole: int | None = None
        self._count = 0

    def is_frozen(self, picture: Picture, at_s: float) -> bool:
        """Take the next picture; after True the source should be opened again."""
        if self._limit_s <= 0:
            return False
        self.is_same = self._matches(picture)
        if not self.is_same:
            self.since, self._count = at_s, 1
            return False
        self._count += 1
        is_over = at_s - self.since >= self._limit_s * self._factor and self._count >= FEWEST_SAME
        if not is_over or self._whole == self._still:
            return False
        self._judge(at_s)
        return True

    def _matches(self, picture: Picture) -> bool:
        """The whole picture is summed only where a few rows agree, which those of a camera that works never do."""
        sample = _checksum(picture[:: max(1, len(picture) // SAMPLED_ROWS)])
        if sample != self._sample:
            self._sample, self._whole = sample, None
            return False
        whole = _checksum(picture)
        is_same = self._whole in (None, whole)
        self._whole = whole
        return is_same

    def _judge(self, at_s: float) -> None:
        is_often = at_s - self._verdict_at < OFTEN_FACTOR * self._limit_s * self._factor
        self._factor = min(2 * self._factor, LONGEST_FACTOR) if is_often else 1
        self._verdict_at = at_s
        self._still = self._whole
        self.restart()


def _checksum(picture: Picture) -> int:
    return zlib.crc32(np.ascontiguousarray(picture).data)
