"""Pictures for viewers: what is drawn, in which size, and how often they are encoded."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.drawing.overlay import AMBER, GREEN
from edge.picture.geometry import Picture
from edge.picture.region import Roi
from edge.sinks.web.pictures import STREAM_SIDE, Look, Pictures, missing_jpeg, shot_jpeg
from edge.sinks.web.scene import Scene, Shot
from tests.edge.fakes import decision, frame
from tests.edge.sinks.web.serving import with_evidence

BIG_WH = (2 * STREAM_SIDE, STREAM_SIDE)


def _decoded(jpeg: bytes) -> Picture:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def _is_near(pixel: Picture, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() < 40)


def _row(shot: Shot, look: Look) -> Picture:
    picture = _decoded(shot_jpeg(shot, look))
    return np.asarray(picture[len(picture) // 2], np.uint8)


@pytest.mark.parametrize(("threshold", "colour"), [(None, GREEN), (0.9, AMBER)], ids=["known", "unknown"])
def test_the_square_that_the_model_sees_is_drawn_in_the_colour_of_the_answer(
    threshold: float | None, colour: tuple[int, int, int]
) -> None:
    shot = Shot(1, decision(threshold=threshold), frame(size_wh=(640, 480)))
    edges = [x for x, pixel in enumerate(_row(shot, Look())) if _is_near(pixel, colour)]
    assert min(edges) in range(79, 83)
    assert max(edges) in range(557, 561)


def test_the_square_follows_the_region_of_interest_into_a_smaller_picture() -> None:
    shot = Shot(1, decision(), replace(frame(size_wh=BIG_WH), roi=Roi(0.5, 0, 1, 1)))
    edges = [x for x, pixel in enumerate(_row(shot, Look())) if _is_near(pixel, GREEN)]
    assert min(edges) in range(STREAM_SIDE // 2 - 1, STREAM_SIDE // 2 + 4)
    assert max(edges) >= STREAM_SIDE - 4


def test_a_plain_picture_has_nothing_drawn() -> None:
    row = _row(Shot(1, decision(), frame(size_wh=(640, 480))), Look(plain=True))
    assert np.abs(row.astype(int) - 90).max() <= 2


def test_a_heat_map_marks_where_the_answer_comes_from() -> None:
    shot = Shot(1, with_evidence(decision()), frame(size_wh=(640, 480)))
    picture = _decoded(shot_jpeg(shot, Look(heat=True))).astype(int)
    assert np.abs(picture[100, 180] - 90).max() > 40
    assert np.abs(picture[400, 480] - 90).max() <= 4


def test_a_stream_is_sent_smaller_and_a_snapshot_whole() -> None:
    shot = Shot(1, decision(), frame(size_wh=BIG_WH))
    assert _decoded(shot_jpeg(shot, Look())).shape[:2] == (STREAM_SIDE // 2, STREAM_SIDE)
    assert _decoded(shot_jpeg(shot, Look(is_small=False))).shape[:2] == BIG_WH[::-1]


def test_drawing_leaves_the_picture_of_the_run_alone() -> None:
    shot = Shot(1, with_evidence(decision()), frame(size_wh=(640, 480)))
    for look in (Look(), Look(heat=True), Look(plain=True), Look(is_small=False)):
        shot_jpeg(shot, look)
    missing_jpeg(shot, 4)
    assert (shot.frame.image_bgr == 90).all()


def test_a_picture_is_encoded_once_for_all_who_ask_at_the_same_time() -> None:
    scene = Scene()
    pictures = Pictures(scene)

    async def ask_and_count() -> list[int]:
        counts = [pictures.encoded]  # nobody watches
        for look in (Look(), Look(), Look(plain=True), Look()):
            found = await asyncio.gather(*(pictures.newest(look) for _ in range(20)))
            assert len({one[1] for one in found if one}) == 1
            counts.append(pictures.encoded)
        scene.show(decision(), frame())
        await pictures.newest(Look())
        return [*counts, pictures.encoded]

    scene.show(decision(), frame())
    assert asyncio.run(ask_and_count()) == [0, 1, 1, 2, 2, 3]
    pictures.close()


def test_there_is_no_picture_before_the_first_and_no_heat_map_without_evidence() -> None:
    scene = Scene()
    pictures = Pictures(scene)
    assert asyncio.run(pictures.newest(Look())) is None
    scene.show(decision(), frame())
    assert asyncio.run(pictures.newest(Look(heat=True))) is None
    pictures.close()


def test_a_missing_picture_is_dark_and_says_so() -> None:
    shot = Shot(1, decision(), frame(size_wh=(640, 480)))
    dark, other = _decoded(missing_jpeg(shot, 4)), _decoded(missing_jpeg(shot, 5))
    assert dark[0].max() < 40
    assert dark.max() > 200  # letters
    assert (dark != other).any()  # which count
    assert _decoded(missing_jpeg(None, 4)).max() > 200
