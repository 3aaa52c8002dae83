"""Skipping frames in which nothing moved: what noise and light may do, and what counts as motion."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.contract.frame import Frame
from edge.errors import UsageError
from edge.live.motion import THRESHOLD, MotionGate
from edge.picture.geometry import Picture
from edge.picture.region import Roi

WIDTH, HEIGHT = 640, 480


def scene() -> Picture:
    """Something soft with an edge or two, as a windowsill is."""
    coarse = np.random.default_rng(3).integers(20, 236, (9, 12, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def frame(picture: Picture, at: float = 0.0, name: str = "camera 0") -> Frame:
    return Frame(picture, 0, at, name)


def camera(picture: Picture, number: int, *, noise: float, light: float) -> Picture:
    """A frame as a cheap camera has it: noise that demosaicing smears, mains light that flickers, JPEG."""
    smeared = cv2.GaussianBlur(np.random.default_rng(number).normal(0, noise, picture.shape), (3, 3), 0)
    seen = np.clip(picture * (1 + light * np.sin(2.1 * number)) + smeared, 0, 255).astype(np.uint8)
    jpeg = cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)


def with_patch(picture: Picture, x: int, y: int, side: int, level: int) -> Picture:
    changed = picture.copy()
    changed[y : y + side, x : x + side] = level
    return changed


def held(gate: MotionGate, *frames: Frame) -> list[bool]:
    return [gate(each) for each in frames]


def test_the_first_frame_is_asked_about_and_its_like_are_held() -> None:
    assert held(MotionGate(), *[frame(scene())] * 3) == [False, True, True]


@pytest.mark.parametrize(
    ("noise", "light"), [(3.0, 0.0), (15.0, 0.0), (6.0, 0.02), (15.0, 0.05)], ids=["day", "dusk", "lamp", "bad lamp"]
)
def test_noise_and_flicker_of_a_camera_are_no_motion(noise: float, light: float) -> None:
    gate = MotionGate()
    frames = [frame(camera(scene(), number, noise=noise, light=light)) for number in range(12)]
    assert held(gate, *frames) == [False] + [True] * 11


@pytest.mark.parametrize("noise", [0.0, 6.0])
@pytest.mark.parametrize("x", [90, 311, 530], ids=["left", "middle", "right"])
def test_a_bee_is_motion(noise: float, x: int) -> None:
    plain = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    empty, bee = (camera(each, 1, noise=noise, light=0.0) for each in (plain, with_patch(plain, x, 200, 14, 10)))
    assert held(MotionGate(), frame(empty), frame(bee)) == [False, False]


def test_a_scene_that_shifts_by_six_pixels_is_motion() -> None:
    assert held(MotionGate(), frame(scene()), frame(np.roll(scene(), 6, axis=1))) == [False, False]


def test_what_creeps_is_noticed() -> None:
    steps = [with_patch(scene(), 300, 200, 60, level) for level in range(100, 140, 3)]
    answers = held(MotionGate(), *(frame(step) for step in steps))
    assert answers[:4] == [False, True, True, False]
    assert not all(answers[4:])


@pytest.mark.parametrize(("factor", "is_held"), [(0.95, True), (0.9, True), (0.6, False), (0.3, False)])
def test_a_change_of_the_light_counts_slowly(factor: float, is_held: bool) -> None:
    darker = np.asarray(scene() * factor, np.uint8)
    assert held(MotionGate(), frame(scene()), frame(darker)) == [False, is_held]


def test_what_the_model_does_not_see_is_no_motion() -> None:
    changed = with_patch(scene(), 0, 100, 70, 255)  # left of the centre square
    assert held(MotionGate(), frame(scene()), frame(changed)) == [False, True]
    looking_there = [replace(frame(each), roi=Roi(0, 0, 0.3, 1)) for each in (scene(), changed)]
    assert held(MotionGate(), *looking_there) == [False, False]


def test_an_answer_is_held_for_less_than_the_longest_time() -> None:
    still = scene()
    frames = [frame(still, at) for at in (0.0, 2.0, 4.9, 5.0, 9.9, 10.1)]
    assert held(MotionGate(longest_s=5.0), *frames) == [False, True, True, False, True, False]


def test_another_photo_another_size_and_a_clock_that_went_back_are_asked_about() -> None:
    gate = MotionGate()
    gate(frame(scene(), 10.0))
    assert not gate(frame(scene(), 10.1, name="another.jpg"))
    assert not gate(frame(scene()[:240], 10.2, name="another.jpg"))
    assert not gate(frame(scene()[:240], 9.0, name="another.jpg"))
    assert gate(frame(scene()[:240], 9.1, name="another.jpg"))


def test_a_higher_threshold_holds_more() -> None:
    moved = with_patch(scene(), 300, 200, 60, 150)
    gates = (MotionGate(threshold) for threshold in (THRESHOLD, 200.0))
    assert [held(gate, frame(scene()), frame(moved))[1] for gate in gates] == [False, True]


@pytest.mark.parametrize("size_wh", [(8, 8), (300, 16), (641, 479), (1920, 1080)])
def test_a_picture_of_any_size_can_be_compared(size_wh: tuple[int, int]) -> None:
    picture = np.asarray(cv2.resize(scene(), size_wh), np.uint8)
    gate = MotionGate()
    assert held(gate, frame(picture), frame(picture), frame(255 - picture)) == [False, True, False]


@pytest.mark.parametrize("threshold", [0.0, -1.0, 256.0, float("nan")], ids=str)
def test_an_impossible_threshold_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match=r"^--skip-still .*: expected grey levels, more than 0 and at most 255$"):
        MotionGate(threshold)
