"""Pictures as JPEG, encoded once for all viewers, and only while somebody asks.

In:  a Shot: BGR uint8 (H, W, 3) with its decision, and what shall be drawn over it.
Out: JPEG bytes. For streams at most STREAM_SIDE pixels long; whole for snapshots.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from edge.drawing.heatmap import draw_heatmap
from edge.drawing.overlay import AMBER, DESIGN_SIDE, FONT, GREEN, SHADE, WHITE, draw_crop
from edge.picture.geometry import Picture
from edge.sinks.web.scene import Scene, Shot

STREAM_SIDE = 960  # pixels; what a page shows, and a slow network carries
STREAM_QUALITY, SNAPSHOT_QUALITY = 80, 92  # of JPEG
WAITING_WH = (640, 480)  # of the picture that stands for none


@dataclass(frozen=True)
class Look:
    """What a viewer asked to see."""

    heat: bool = False  # where in the picture the answer comes from; needs evidence
    plain: bool = False  # nothing drawn
    is_small: bool = True  # for a stream

    def can_show(self, shot: Shot) -> bool:
        return not self.heat or shot.decision.result.evidence is not None


class Pictures:
    """The newest picture, one JPEG for each look. For the coroutines of one loop."""

    def __init__(self, scene: Scene) -> None:
        self.encoded = 0  # pictures, since the start
        self._scene = scene
        self._executor = ThreadPoolExecutor(1, "web jpeg")  # one: the CPU belongs to the loop
        self._made: dict[Look, tuple[Shot, bytes]] = {}
        self._locks: defaultdict[Look, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def newest(self, look: Look) -> tuple[Shot, bytes] | None:
        """The newest picture; None before the first one, and for a heat map where there is no evidence."""
        async with self._locks[look]:
            shot = self._scene.newest
            if shot is None or not look.can_show(shot):
                return None
            made = self._made.get(look)
            if made is None or made[0] is not shot:
                loop = asyncio.get_running_loop()
                made = shot, await loop.run_in_executor(self._executor, shot_jpeg, shot, look)
                self._made = {look: made} | {other: one for other, one in self._made.items() if one[0] is shot}
                self.encoded += 1
            return made

    async def missing(self, seconds: float) -> bytes:
        """For a stream: the newest picture in the dark, saying that it is no longer the newest."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, missing_jpeg, self._scene.newest, seconds)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


def shot_jpeg(shot: Shot, look: Look) -> bytes:
    """Encode a picture as a viewer asked for it."""
    picture, square = _fitted(shot, look)
    return _encoded(_drawn(shot, picture, square, look), STREAM_QUALITY if look.is_small else SNAPSHOT_QUALITY)


def missing_jpeg(shot: Shot | None, seconds: float) -> bytes:
    """ "no picture for 4 s", over the last one if there was any."""
    if shot is None:
        canvas = np.zeros((WAITING_WH[1], WAITING_WH[0], 3), np.uint8)
    else:
        canvas = np.asarray(cv2.convertScaleAbs(_fitted(shot, Look())[0], alpha=SHADE / 2), np.uint8)
    text, unit = f"no picture for {seconds:.0f} s", min(canvas.shape[:2]) / DESIGN_SIDE
    (wide, tall), _ = cv2.getTextSize(text, FONT, unit, max(1, round(2 * unit)))
    at = ((canvas.shape[1] - wide) // 2, (canvas.shape[0] + tall) // 2)
    cv2.putText(canvas, text, at, FONT, unit, WHITE, max(1, round(2 * unit)), cv2.LINE_AA)
    return _encoded(canvas, STREAM_QUALITY)


def _fitted(shot: Shot, look: Look) -> tuple[Picture, tuple[int, int, int]]:
    """The picture in the size to send, and the square within it that the model saw."""
    picture, (top, left, side) = shot.frame.image_bgr, shot.frame.square
    height, width = picture.shape[:2]
    factor = STREAM_SIDE / max(height, width)
    if not look.is_small or factor >= 1:
        return picture, (top, left, side)
    size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    top, left = round(top * factor), round(left * factor)
    return small, (top, left, max(1, min(round(side * factor), size_wh[1] - top, size_wh[0] - left)))


def _drawn(shot: Shot, picture: Picture, square: tuple[int, int, int], look: Look) -> Picture:
    decision, evidence = shot.decision, shot.decision.result.evidence
    if look.plain:
        return picture
    if look.heat and evidence is not None:
        return draw_heatmap(picture, evidence[..., decision.index], square)
    canvas = picture.copy()
    draw_crop(canvas, square, AMBER if decision.is_unknown else GREEN, min(canvas.shape[:2]) / DESIGN_SIDE)
    return canvas


def _encoded(picture: Picture, quality: int) -> bytes:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
