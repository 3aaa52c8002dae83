"""Has anything moved? If not, the last answer still holds and the model need not be asked.

In:  Frames; of each, the square that the model sees.
Out: True where nothing moved since the last frame that was not held.

Every cell of 24 x 24 is the grey average of 100 pixels, which takes out the noise of single ones. What a cell changed
by is counted after the change of all cells together, as from mains light or the camera's own exposure, which is divided
out and counts a quarter: enough that dusk is noticed, too little for a flicker. The greatest change decides, so that a
bee counts as much as a bouquet. Frames are compared with the last one that was asked about, so what creeps is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.frame import Frame
from edge.errors import UsageError
from edge.picture.geometry import Picture

CELLS = 24  # each way
SAMPLES = 10 * CELLS  # pixels each way that are looked at, so that the cost does not grow with the picture
THRESHOLD = 8.0  # grey levels of 255; noise and flicker change a cell by up to 5 (tests/edge/live/test_motion.py)
LONGEST_S = 5.0
DARK = 16.0  # added to all levels, so that a ratio of dark cells is no ratio of noise
BRIGHTNESS_SHARE = 0.25

Grey = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Asked:
    """The last frame that the model was asked about."""

    cells: Grey
    shape: tuple[int, ...]
    name: str
    at: float


class MotionGate:
    """Call it with every frame. It holds no answer for `longest_s` or longer, on the clock of the source."""

    def __init__(self, threshold: float = THRESHOLD, *, longest_s: float = LONGEST_S) -> None:
        """`threshold`: grey levels, more than 0 and at most 255. Raises UsageError."""
        if not 0 < threshold <= 255:
            raise UsageError(f"--skip-still {threshold:g}: expected grey levels, more than 0 and at most 255")
        self._threshold, self._longest_s = threshold, longest_s
        self._asked: _Asked | None = None

    def __call__(self, frame: Frame) -> bool:
        """True if nothing moved."""
        asked, cells = self._asked, _cells(frame)
        if asked and self._is_comparable(frame, asked) and change(asked.cells, cells) < self._threshold:
            return True
        self._asked = _Asked(cells, frame.image_bgr.shape, frame.name, frame.captured_at)
        return False

    def _is_comparable(self, frame: Frame, asked: _Asked) -> bool:
        is_same = (frame.name, frame.image_bgr.shape) == (asked.name, asked.shape)
        return is_same and 0 <= frame.captured_at - asked.at < self._longest_s


def change(before: Grey, after: Grey) -> float:
    """How far two grids of grey cells are apart, in grey levels, as the module says."""
    gain = float(np.median((after + DARK) / (before + DARK)))
    moved = float(np.abs(after + DARK - gain * (before + DARK)).max())
    brightened = abs(gain - 1) * float(before.mean() + DARK)
    return max(moved, BRIGHTNESS_SHARE * brightened)


def _cells(frame: Frame) -> Grey:
    top, left, side = frame.square
    square: Picture = frame.image_bgr[top : top + side, left : left + side]
    sampled = cv2.resize(square, (SAMPLES, SAMPLES), interpolation=cv2.INTER_NEAREST)
    small = cv2.resize(sampled, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    return np.asarray(small @ np.array((0.114, 0.587, 0.299), np.float32), np.float32)  # BGR to luma, ITU-R BT.601
