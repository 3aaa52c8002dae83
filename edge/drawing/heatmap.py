"""Where in the picture an answer comes from: a class evidence map as a heat map over its frame.

In:  BGR uint8 (H, W, 3), and the evidence for one label, float32 (h, w), a coarse grid over the square that was seen:
     the frame's centre square, or that of its region of interest.
Out: a copy of the frame with the map over the square that the model saw.

The map's average is the label's logit before anything scales it, so only what is above 0 speaks for the label. Colours
are relative to the strongest place of this frame: they show where, and not how sure the model is.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.result import Result
from edge.drawing.overlay import DESIGN_SIDE, GREEN, draw_crop
from edge.errors import ModelError
from edge.picture.geometry import Picture, centre_square

STRENGTH = 0.7  # opacity at the strongest place; none where there is no evidence


def label_evidence(result: Result, name: str) -> NDArray[np.float32]:
    """The map (h, w) of the most probable label. Raises ModelError when the model `name` puts out none."""
    if result.evidence is None:
        raise ModelError(
            f"{name}: has no class evidence map; expected a .tflite file with one: flora export RUN --evidence"
        )
    return result.evidence[..., int(result.probabilities.argmax())]


def draw_heatmap(
    frame_bgr: Picture, evidence: NDArray[np.float32], square: tuple[int, int, int] | None = None
) -> Picture:
    """Return a copy of `frame_bgr` with the evidence (h, w) over `square`, and the square's outline.

    `square` is (top, left, side) in pixels, as `Frame.square` has it; None is the centre square.
    """
    canvas = frame_bgr.copy()
    top, left, side = square = square or centre_square(*frame_bgr.shape[:2])
    seen = canvas[top : top + side, left : left + side]
    heat = cv2.resize(_relative(evidence), (side, side), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap(np.asarray(heat * 255, np.uint8), cv2.COLORMAP_TURBO)
    opacity = np.asarray(heat * STRENGTH, np.float32)
    seen[:] = cv2.blendLinear(colours, np.ascontiguousarray(seen), opacity, 1 - opacity)
    draw_crop(canvas, square, GREEN, side / DESIGN_SIDE)
    return canvas


def _relative(evidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """0 where nothing speaks for the label, 1 at the strongest place; all 0 when nothing does anywhere."""
    positive = np.maximum(evidence, 0)
    strongest = float(positive.max())
    return np.asarray(positive / strongest if strongest > 0 else positive, np.float32)
