"""The region of a frame that is looked at: a crop given in shares of width and height, so that it outlives a camera.

In:  "x1,y1,x2,y2", each 0..1, left, top, right and bottom.
Out: the region of a picture (H, W, C), and the square within it that a model sees, in pixels of the whole picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.errors import UsageError
from edge.picture.geometry import SMALLEST_SIDE, Picture, centre_square

EXPECTED = "expected x1,y1,x2,y2 as shares of width and height, 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1, as 0.2,0,0.8,1"


@dataclass(frozen=True)
class Roi:
    """A region of interest; the whole picture by default."""

    x1: float = 0.0
    y1: float = 0.0
    x2: float = 1.0
    y2: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.x1 < self.x2 <= 1 and 0 <= self.y1 < self.y2 <= 1):
            raise UsageError(f"--roi {self}: {EXPECTED}")

    def __str__(self) -> str:
        return f"{self.x1:g},{self.y1:g},{self.x2:g},{self.y2:g}"

    @classmethod
    def parse(cls, text: str) -> Roi:
        """Raises UsageError, one line."""
        try:
            x1, y1, x2, y2 = (float(part) for part in text.split(","))
        except ValueError as error:
            raise UsageError(f"--roi {text}: {EXPECTED}") from error
        return cls(x1, y1, x2, y2)

    def box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """(top, left, height, width) in pixels; at least the smallest side that a model's input can be made of."""
        top, left = round(self.y1 * height), round(self.x1 * width)
        bottom, right = round(self.y2 * height), round(self.x2 * width)
        tall, wide = max(bottom - top, min(SMALLEST_SIDE, height)), max(right - left, min(SMALLEST_SIDE, width))
        return min(top, height - tall), min(left, width - wide), tall, wide

    def crop(self, picture: Picture) -> Picture:
        """The region of a picture (H, W, C), a view."""
        top, left, tall, wide = self.box(*picture.shape[:2])
        return picture[top : top + tall, left : left + wide]

    def square(self, height: int, width: int) -> tuple[int, int, int]:
        """(top, left, side) of what the model sees, in pixels of the whole picture."""
        top, left, tall, wide = self.box(height, width)
        inner_top, inner_left, side = centre_square(tall, wide)
        return top + inner_top, left + inner_left, side


WHOLE = Roi()
