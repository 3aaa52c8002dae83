"""Draw a decision over the frame that it is about.

In:  a Frame, BGR uint8 (H, W, 3), and a Decision.
Out: a copy of its picture with the square that the model sees, the outline of the region of interest if one is set,
     the answer, the bars of the five most probable labels and the times. Text follows the short side; a frame too small
     for text is enlarged by a whole factor.
"""

from __future__ import annotations

import math
import textwrap
import unicodedata

import cv2
import numpy as np

from edge.contract.decision import Decision
from edge.contract.frame import Frame
from edge.contract.rejection import said
from edge.contract.result import headline, nearest_of
from edge.picture.geometry import Picture
from edge.picture.region import WHOLE

Colour = tuple[int, int, int]  # BGR

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
GREEN: Colour = (110, 220, 130)
AMBER: Colour = (60, 170, 250)
SHADE = 0.45  # what is left of the light under the text
BARS = 5
SMALLEST_SIDE = 320  # pixels; below this, text cannot be read
DESIGN_SIDE = 480  # pixels; the short side at which the sizes below hold
ROW = 24
MARGIN = 10
BAR_WIDTH = 120
LABEL_WIDTH = 170
PANEL_WIDTH = MARGIN + LABEL_WIDTH + BAR_WIDTH + 60  # 60 for the number
TEXT_SCALE = 0.55
LETTER = 11  # a wide letter at that scale
TITLE_SCALE = 0.9
FONT = cv2.FONT_HERSHEY_SIMPLEX  # FONT_HERSHEY_* hold ASCII only


def draw_overlay(frame: Frame, decision: Decision) -> Picture:
    """Return a copy of the frame's picture with `decision` drawn over it."""
    canvas, factor = enlarged(frame.image_bgr)
    unit = min(canvas.shape[:2]) / DESIGN_SIDE
    rows = min(BARS, len(decision.probabilities)) + 1
    panel_top = canvas.shape[0] / unit - rows * ROW - MARGIN  # in design pixels, as all places of text
    colour = AMBER if decision.is_unknown else GREEN
    _shade(canvas[: round(2 * ROW * unit)])
    _shade(canvas[round(panel_top * unit) :, : round(PANEL_WIDTH * unit)])
    _draw_aim(canvas, frame, factor, colour, unit)
    _draw_headline(canvas, decision, colour, unit)
    _draw_bars(canvas, decision, colour, panel_top, unit)
    return canvas


def draw_banner(canvas: Picture, text: str, colour: Colour = AMBER) -> None:
    """Darken the whole `canvas` and write `text` across its middle, in place: what is under it is not now."""
    unit = min(canvas.shape[:2]) / DESIGN_SIDE
    lines = textwrap.wrap(text, max(1, int((canvas.shape[1] / unit - 2 * MARGIN) / LETTER)))
    top = (canvas.shape[0] / unit - len(lines) * ROW) / 2
    _shade(canvas)
    _fill(canvas, (0, top - MARGIN), (canvas.shape[1] / unit, len(lines) * ROW + 2 * MARGIN), BLACK, unit)
    for row, line in enumerate(lines):
        _text(canvas, line, (MARGIN, top + (row + 0.7) * ROW), colour, TEXT_SCALE, unit)


def draw_note(canvas: Picture, text: str) -> None:
    """Write a line below the headline of `canvas`, in place."""
    unit = min(canvas.shape[:2]) / DESIGN_SIDE
    _shade(canvas[round(2 * ROW * unit) : round(3 * ROW * unit)])
    _text(canvas, text, (MARGIN, 2.7 * ROW), WHITE, TEXT_SCALE, unit)


def draw_crop(canvas: Picture, square: tuple[int, int, int], colour: Colour, unit: float) -> None:
    """Outline the `square` (top, left, side) of `canvas` that the model sees, 2 * `unit` pixels thick."""
    top, left, side = square
    _outline(canvas, (top, left, side, side), colour, max(1, round(2 * unit)))


def enlarged(picture: Picture) -> tuple[Picture, int]:
    """A copy of `picture` that is large enough for text, and the whole factor by which it is larger."""
    factor = math.ceil(SMALLEST_SIDE / min(picture.shape[:2]))
    canvas = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    return np.asarray(canvas, np.uint8), factor


def _draw_aim(canvas: Picture, frame: Frame, factor: int, colour: Colour, unit: float) -> None:
    """The square that the model sees; thinner, around it, the region of interest that it is the middle of."""
    if frame.roi != WHOLE:
        top, left, tall, wide = frame.roi.box(*frame.image_bgr.shape[:2])
        _outline(canvas, (top * factor, left * factor, tall * factor, wide * factor), WHITE, 1)
    top, left, side = frame.square
    draw_crop(canvas, (top * factor, left * factor, side * factor), colour, unit)


def _outline(canvas: Picture, box: tuple[int, int, int, int], colour: Colour, line: int) -> None:
    top, left, tall, wide = box
    inset = line // 2  # or half of the line would fall outside the box
    first, last = (left + inset, top + inset), (left + wide - 1 - inset, top + tall - 1 - inset)
    cv2.rectangle(canvas, first, last, colour, line)


def _draw_headline(canvas: Picture, decision: Decision, colour: Colour, unit: float) -> None:
    """The answer; where nothing is known, beside it and small what is nearest."""
    title = decision.said if decision.is_unknown else headline(decision)
    _text(canvas, title, (MARGIN, 1.4 * ROW), colour, TITLE_SCALE, unit)
    if beside := nearest_of(decision):
        (wide, _), _ = cv2.getTextSize(title, FONT, TITLE_SCALE * unit, _stroke(unit))
        _text(canvas, beside, (2 * MARGIN + wide / unit, 1.4 * ROW), WHITE, TEXT_SCALE, unit)


def _draw_bars(canvas: Picture, decision: Decision, colour: Colour, panel_top: float, unit: float) -> None:
    ranked = decision.top(BARS)
    for row, (label, probability) in enumerate(ranked):
        baseline = panel_top + (row + 0.8) * ROW
        _text(canvas, said(label)[:16], (MARGIN, baseline), WHITE, TEXT_SCALE, unit)
        bar_left = MARGIN + LABEL_WIDTH
        _fill(canvas, (bar_left, baseline - 0.5 * ROW), (probability * BAR_WIDTH, 0.5 * ROW), colour, unit)
        _text(canvas, f"{probability:.2f}", (bar_left + BAR_WIDTH + MARGIN, baseline), WHITE, TEXT_SCALE, unit)
    cost = "still" if decision.is_held else f"{decision.latency_ms:.1f} ms"
    times = f"{cost}  age {decision.age_ms:.0f} ms  frame {decision.frame}"
    _text(canvas, times, (MARGIN, panel_top + (len(ranked) + 0.8) * ROW), WHITE, TEXT_SCALE, unit)


def _shade(region: Picture) -> None:
    """Darken a region in place, so that text over it can be read."""
    region[:] = cv2.convertScaleAbs(region, alpha=SHADE)


def _fill(canvas: Picture, at: tuple[float, float], size: tuple[float, float], colour: Colour, unit: float) -> None:
    first = (round(at[0] * unit), round(at[1] * unit))
    last = (round((at[0] + size[0]) * unit), round((at[1] + size[1]) * unit))
    cv2.rectangle(canvas, first, last, colour, -1)


def _text(canvas: Picture, text: str, at: tuple[float, float], colour: Colour, scale: float, unit: float) -> None:
    where = (round(at[0] * unit), round(at[1] * unit))
    cv2.putText(canvas, _ascii(text), where, FONT, scale * unit, colour, _stroke(unit), cv2.LINE_AA)


def _stroke(unit: float) -> int:
    """How thick the lines of text are, in pixels."""
    return max(1, round(1.5 * unit))


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text)
    return "".join(c for c in plain if not unicodedata.combining(c)).encode("ascii", "replace").decode("ascii")
