"""Frozen or not: the same bits for long, but neither a still picture nor a dark night may reopen a camera for ever."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.sources.freeze import Freeze
from tests.edge.fakes import picture


def noisy(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)


def verdicts(freeze: Freeze, pictures: Iterable[NDArray[np.uint8]], *, start_s: float = 0.0) -> list[float]:
    """The seconds at which a picture each second was judged frozen."""
    return [start_s + i for i, picture in enumerate(pictures) if freeze.is_frozen(picture, start_s + i)]


def test_the_same_bits_for_so_long_are_frozen_once() -> None:
    assert verdicts(Freeze(10), [noisy(0)] + [noisy(1)] * 11) == [11]


def test_a_moving_picture_is_never_frozen() -> None:
    assert verdicts(Freeze(10), map(noisy, range(40))) == []


def test_a_single_changed_pixel_off_the_sampled_rows_is_seen() -> None:
    pictures = [picture(7).copy() for _ in range(40)]
    for i, image in enumerate(pictures):
        image[1, 2, 0] = i
    assert verdicts(Freeze(10), pictures) == []


def test_two_pictures_that_alternate_are_not_frozen() -> None:
    assert verdicts(Freeze(10), [noisy(i % 2) for i in range(40)]) == []


def test_a_few_pictures_of_a_slow_stream_are_not_enough() -> None:
    freeze = Freeze(10)
    assert [freeze.is_frozen(picture(7), at) for at in (0.0, 9.0, 18.0, 27.0, 36.0)] == [False] * 4 + [True]


def test_a_still_picture_that_comes_again_stays_until_it_changes() -> None:
    freeze = Freeze(10)
    assert verdicts(freeze, [picture(7)] * 500) == [10]
    assert verdicts(freeze, [picture(8)] * 400, start_s=1000) == [1010]


def test_opening_it_again_starts_the_count_again() -> None:
    freeze = Freeze(10)
    assert verdicts(freeze, [picture(7)] * 9) == []
    freeze.restart()
    assert verdicts(freeze, [picture(7)] * 8, start_s=50) == []


def test_a_source_that_seems_frozen_again_and_again_is_given_more_time() -> None:
    freeze, at, gaps = Freeze(10), 0.0, []
    for seed in range(8):  # each time it is opened again there is another picture, and it stays
        began = at
        while not freeze.is_frozen(noisy(seed), at):
            at += 1
        gaps.append(at - began)
    assert gaps == [10, 10, 20, 40, 80, 160, 160, 160]


def test_a_freeze_after_a_good_while_is_noticed_as_soon_as_the_first() -> None:
    freeze = Freeze(10)
    assert verdicts(freeze, [noisy(0)] * 11) == [10]
    assert verdicts(freeze, map(noisy, range(1, 500)), start_s=11) == []
    assert verdicts(freeze, [noisy(0)] * 5 + [noisy(1)] * 11, start_s=1000) == [1015]


def test_a_limit_of_zero_turns_it_off() -> None:
    assert verdicts(Freeze(0), [picture(7)] * 100) == []


@pytest.mark.parametrize("size_wh", [(1, 1), (4, 3), (640, 7)])
def test_small_pictures_are_taken_too(size_wh: tuple[int, int]) -> None:
    assert verdicts(Freeze(10), [picture(7, size_wh)] * 11) == [10]
