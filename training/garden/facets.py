"""Small four-cornered facets in space, and the brush that paints them.

In:  surfaces of petals, leaves and stems as grids of points (x right, y up, z towards the viewer).
Out: BGRA uint8 (H, W, 4) canvases, alpha 255 where something was painted; pictures BGR float32 (H, W, 3) 0..255.

Facets are painted from back to front, petal by petal: a depth per pixel would cost far more than it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Canvas = NDArray[np.uint8]
Plane = NDArray[np.float32]  # a picture still in the making, 0..255

VIEW_DISTANCE = 5.0  # from the viewer to z = 0, in the unit of the points; gives a mild perspective
SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Facets:
    """F facets, ready to be moved and painted."""

    corners: Floats  # (F, 4, 3)
    colours: Floats  # (F, 3) BGR 0..255, before light falls on them
    tiers: Integers  # (F,) lower tiers are painted first, whatever their depth
    groups: Integers  # (F,) facets of one petal share a number, so that petals overlap as wholes


@dataclass(frozen=True)
class Sun:
    """The light that shapes a surface."""

    direction: Floats  # (3,) unit vector towards the sun
    ambient: float  # 0..1, the share of light that comes from everywhere


def from_grids(points: Floats, colours: Floats, tier: int) -> Facets:
    """Facets of P grids: points (P, R + 1, C + 1, 3), colours (P, R, C, 3); each grid is one group."""
    pieces, rows, columns = colours.shape[:3]
    around = [points[:, :-1, :-1], points[:, :-1, 1:], points[:, 1:, 1:], points[:, 1:, :-1]]
    corners = np.stack(around, axis=3).reshape(-1, 4, 3)
    groups = np.repeat(np.arange(pieces), rows * columns)
    return Facets(corners, colours.reshape(-1, 3), np.full(len(corners), tier), groups)


def join(parts: Sequence[Facets]) -> Facets:
    """All parts as one, their groups kept apart."""
    groups, first_free = [], 0
    for part in parts:
        groups.append(part.groups + first_free)
        first_free += int(part.groups.max(initial=-1)) + 1
    return Facets(
        np.concatenate([part.corners for part in parts]),
        np.concatenate([part.colours for part in parts]),
        np.concatenate([part.tiers for part in parts]),
        np.concatenate(groups),
    )


def moved(facets: Facets, rotation: Floats, scale: float, shift: Floats) -> Facets:
    """The facets turned by rotation (3, 3), then scaled, then shifted by (3,)."""
    return replace(facets, corners=facets.corners @ rotation.T * scale + shift)


def facing(tilt: float, lean: float, spin: float) -> Floats:
    """Rotation (3, 3) of a head that faced the viewer: spin on its axis, tilt upwards, lean to the left; radians."""
    return turn(lean) @ _nod(tilt) @ turn(spin)


def turn(angle: float) -> Floats:
    """Rotation (3, 3) in the picture's plane, anticlockwise, radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _nod(angle: float) -> Floats:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, cosine, sine], [0.0, -sine, cosine]])


def ribbon(spine: Floats, half_widths: Floats, colours: Floats, tier: int, fold: float = 0.0) -> Facets:
    """A strip that shows its face to the viewer: a stem, a leaf, a blade of grass.

    spine (R + 1, 3), half_widths (R + 1,), colours (R, C, 3); `fold` pulls the middle back, as along a midrib.
    """
    along = np.gradient(spine, axis=0)
    across = np.stack([-along[:, 1], along[:, 0], np.zeros(len(spine))], axis=1)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    side = np.linspace(-1.0, 1.0, colours.shape[1] + 1)
    points = spine[:, None] + (half_widths[:, None] * side)[..., None] * across[:, None]
    points[..., 2] += fold * half_widths[:, None] * (np.abs(side) - 0.5)
    return from_grids(points[None], colours[None], tier)


def bezier(start: Floats, control: Floats, end: Floats, steps: int) -> Floats:
    """Points (steps + 1, 3) along a quadratic curve."""
    t = np.linspace(0.0, 1.0, steps + 1)[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end, np.float64)


def paint(canvas: Canvas, facets: Facets, scale_px: float, origin_xy: tuple[float, float], sun: Sun) -> None:
    """Paint onto a BGRA canvas; one unit is `scale_px` pixels and the origin lies at `origin_xy` (pixels)."""
    if len(facets.corners) == 0:
        return
    order = _back_to_front(facets)
    corners = facets.corners[order]
    nearness = VIEW_DISTANCE / np.maximum(VIEW_DISTANCE - corners[..., 2], 0.5)
    pixels = np.stack(
        [origin_xy[0] + corners[..., 0] * nearness * scale_px, origin_xy[1] - corners[..., 1] * nearness * scale_px],
        axis=-1,
    )
    points = np.rint(pixels * (1 << SUBPIXEL_BITS)).astype(np.int32)
    lit = np.clip(facets.colours[order] * _shade(corners, sun)[:, None], 0, 255)
    colours = np.concatenate([lit, np.full((len(lit), 1), 255.0)], axis=1).tolist()
    for quad, colour in zip(points, colours, strict=True):
        cv2.fillConvexPoly(canvas, quad, colour, cv2.LINE_8, SUBPIXEL_BITS)


def _back_to_front(facets: Facets) -> Integers:
    depths = facets.corners[..., 2].mean(axis=1)
    sizes = np.bincount(facets.groups)
    group_depths = np.bincount(facets.groups, weights=depths) / np.maximum(sizes, 1)
    return np.lexsort((depths, group_depths[facets.groups], facets.tiers))


def _shade(corners: Floats, sun: Sun) -> Floats:
    """Brightness (F,) about 0.5 to 1.2; petals let light through, so a side turned away is dim, not black."""
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    normals *= np.where(normals[:, 2:] < 0, -1.0, 1.0)
    cosine = normals @ sun.direction
    direct = 0.3 * np.abs(cosine) + 0.7 * np.maximum(cosine, 0.0)
    return np.asarray(sun.ambient + (1.25 - sun.ambient) * direct, np.float64)


@dataclass(frozen=True)
class Layer:
    """Facets at one distance from the lens. Lengths in short sides, from the picture's centre, y up."""

    facets: Facets
    at_xy: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    blur: float = 0.0  # sigma


def laid_over(picture: Plane, layer: Layer, sun: Sun, supersampling: int) -> Plane:
    """The picture (H, W, 3) with the layer in front of it; painted `supersampling` times larger, then averaged."""
    height, width = picture.shape[:2]
    short = min(width, height)
    canvas = np.zeros((height * supersampling, width * supersampling, 4), np.uint8)
    at_xy = (width / 2 + layer.at_xy[0] * short, height / 2 - layer.at_xy[1] * short)
    origin_xy = (at_xy[0] * supersampling, at_xy[1] * supersampling)
    paint(canvas, layer.facets, layer.scale * short * supersampling, origin_xy, sun)
    cover = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    if layer.blur > 0:
        cover = cv2.GaussianBlur(cover, (0, 0), layer.blur * short).astype(np.float32)
    return under(picture, cover)


def under(picture: Plane, cover: Plane) -> Plane:
    """The picture seen past a cover of BGR and alpha, whose unpainted pixels are black: its BGR is weighted already."""
    return np.asarray(cover[..., :3] + picture * (1 - cover[..., 3:] / 255), np.float32)
