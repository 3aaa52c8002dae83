"""The exporter picks pictures that noise does not move and that every fault does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.base.formats import plain
from edge.errors import ModelError
from edge.model.golden import GoldenCase, cases_from, expected, frame
from edge.model.interpreter import Interpreter
from edge.model.verify import FAULTS, Predict, check, likely_cause
from edge.picture.geometry import Picture, model_input
from export.finishing import golden
from export.finishing.golden import MOST, REQUIRED, SHIFT, choose_cases, plain_kernels
from tests.edge.model import tiny

LABELS, SIZE = tiny.LABELS, tiny.SIZE


@pytest.fixture(scope="module")
def model() -> Interpreter:
    return Interpreter(tiny.flatbuffer(), "tiny", threads=1)


@pytest.fixture(scope="module")
def cases(model: Interpreter) -> tuple[GoldenCase, ...]:
    return choose_cases(model, LABELS, SIZE, seed=1)


@pytest.fixture
def _short_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "CANDIDATES", 24)
    monkeypatch.setattr(golden, "HUNTED", 24)


def sees_only(rgb: Picture, what: NDArray[np.float64]) -> NDArray[np.float32]:
    """Softmax of the two sides of one number."""
    mean = float((rgb * what).mean() / 255 - 0.5)
    return np.array([1 / (1 + np.exp(-8 * mean)), 1 / (1 + np.exp(8 * mean))], np.float32)


def test_a_few_cases_come_with_the_models_own_answers(model: Interpreter, cases: tuple[GoldenCase, ...]) -> None:
    assert 4 <= len(cases) <= MOST
    for case in cases:
        assert expected(case, LABELS) == pytest.approx(model(model_input(frame(case), SIZE)), abs=1e-6)
    assert all(verdict.passed for verdict in check(lambda f: model(model_input(f, SIZE)), LABELS, cases))


def test_the_card_takes_them(cases: tuple[GoldenCase, ...]) -> None:
    assert cases_from([plain(case) for case in cases], LABELS) == cases


@pytest.mark.parametrize("name", REQUIRED)
def test_a_planted_fault_fails_at_least_two_cases_and_is_named(
    name: str, model: Interpreter, cases: tuple[GoldenCase, ...]
) -> None:
    def device(frame_bgr: Picture) -> NDArray[np.float32]:
        return model(FAULTS[name].picture(frame_bgr, SIZE))

    assert sum(not verdict.passed for verdict in check(device, LABELS, cases)) >= 2
    assert likely_cause(device, model, SIZE, LABELS, cases) == FAULTS[name].cause


@pytest.mark.parametrize("pair", list(combinations(range(3), 2)), ids="{0[0]}-{0[1]}".format)
def test_any_two_labels_that_change_places_are_noticed(
    pair: tuple[int, int], model: Interpreter, cases: tuple[GoldenCase, ...]
) -> None:
    swapped = list(LABELS)
    swapped[pair[0]], swapped[pair[1]] = LABELS[pair[1]], LABELS[pair[0]]

    verdicts = check(lambda f: model(model_input(f, SIZE)), swapped, cases)

    assert not all(verdict.passed for verdict in verdicts)
    answers = [[case.answers.get(LABELS[label], 0.0) for label in pair] for case in cases]
    assert max(abs(one - other) for one, other in answers) >= SHIFT


def test_noise_of_one_level_does_not_fail_a_case(model: Interpreter, cases: tuple[GoldenCase, ...]) -> None:
    random = np.random.default_rng(99)

    def noisy(frame_bgr: Picture) -> NDArray[np.float32]:
        picture = model_input(frame_bgr, SIZE).astype(np.int16)
        return model(np.clip(picture + random.integers(-1, 2, picture.shape), 0, 255).astype(np.uint8))

    assert max(verdict.difference for verdict in check(noisy, LABELS, cases)) <= 4 / 256


def test_the_same_seed_chooses_the_same_cases(model: Interpreter, cases: tuple[GoldenCase, ...]) -> None:
    assert choose_cases(model, LABELS, SIZE, seed=1) == cases
    assert choose_cases(model, LABELS, SIZE, seed=2) != cases


@pytest.mark.usefixtures("_short_search")
@pytest.mark.parametrize(
    ("weights", "complaint"),
    [((0.34, 0.33, 0.33), "the colour channels are swapped"), ((0.0, 1.0, 0.0), "the colour channels are swapped")],
    ids=["brightness", "green"],
)
def test_a_fault_that_cannot_be_shown_is_named(weights: tuple[float, float, float], complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint) as raised:
        choose_cases(lambda rgb: sees_only(rgb, np.array(weights)), ("dark", "light"), SIZE)

    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("_short_search")
def test_a_fault_that_is_shown_too_seldom_is_refused(model: Interpreter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "SHOWN", MOST + 1)

    with pytest.raises(ModelError, match=rf"expected {MOST + 1}"):
        choose_cases(model, LABELS, SIZE)


@pytest.mark.usefixtures("_short_search")
def test_a_model_that_answers_to_the_last_bit_is_refused() -> None:
    def nervous(rgb: Picture) -> NDArray[np.float32]:
        return sees_only(rgb, np.array([1, 0, 0])) * 0.5 + np.array([0.5, 0], np.float32) * int(rgb[0, 0, 0] % 2)

    with pytest.raises(ModelError, match=r"0 of 24 pictures have steady answers"):
        choose_cases(nervous, ("dark", "light"), SIZE)


@pytest.mark.usefixtures("_short_search")
def test_a_picture_on_which_another_arithmetic_disagrees_is_not_taken(model: Interpreter) -> None:
    def witness(rgb: Picture) -> NDArray[np.float32]:
        return model(rgb) + np.array([7 / 256, 0, 0], np.float32)

    with pytest.raises(ModelError, match=r"0 of 24 pictures have steady answers"):
        choose_cases(model, LABELS, SIZE, witnesses=[witness])


@pytest.mark.usefixtures("_short_search")
def test_noise_and_another_arithmetic_together_keep_within_their_sum(
    model: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def witness(rgb: Picture) -> NDArray[np.float32]:
        return model(rgb) + np.array([4 / 256, 0, 0], np.float32)

    def steadiness(noise: float) -> int:
        monkeypatch.setattr(golden._Search, "_noise", lambda *_: noise / 256)
        search = golden._Search(model, LABELS, SIZE, (witness,))
        return sum(len(search.tried("scene", 320, 240, np.random.default_rng(seed))) for seed in range(4))

    assert [steadiness(noise) for noise in (0, 4.9, 5.1, 6.1)] == [4, 4, 0, 0]


def test_plain_kernels_answer_as_the_model_does(model: Interpreter, cases: tuple[GoldenCase, ...]) -> None:
    plain: Predict = plain_kernels(tiny.flatbuffer())

    for case in cases:
        picture = model_input(frame(case), SIZE)
        assert plain(picture) == pytest.approx(model(picture), abs=1.5 / 256)


def test_answers_at_the_rim_are_avoided() -> None:
    """Of a model as sharp as this one, most answers are above 0.95."""

    def sharp(rgb: Picture) -> NDArray[np.float32]:
        return np.asarray(tiny.expected(rgb, beta=30.0), np.float32)

    cases = choose_cases(sharp, LABELS, SIZE)

    assert all(0.3 <= max(case.answers.values()) <= 0.95 for case in cases)


def test_the_fewest_that_show_everything_are_chosen(model: Interpreter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "FEWEST", 0)

    # Two show every fault that must be shown; a third shows averaging in one step.
    assert len(choose_cases(model, LABELS, SIZE, seed=1)) == 3


def test_answers_at_the_rim_are_avoided_even_where_they_show_more() -> None:
    def candidate(seed: int, top: float, shown: Sequence[str]) -> golden._Candidate:
        probabilities = np.array([top, 1 - top], np.float32)
        shifts = {name: 0.5 if name in shown else 0.0 for name in FAULTS}
        return golden._Candidate(GoldenCase("scene", seed, 64, 48, {}), probabilities, 0.0, shifts)

    half, other = REQUIRED[:3], REQUIRED[3:]
    inside = [candidate(seed, 0.8, shown) for seed, shown in enumerate((half, half, other, other))]
    rim = [candidate(seed, 0.99, REQUIRED) for seed in (4, 5)]

    assert {chosen.case.seed for chosen in golden._smallest_set([*rim, *inside])} == {0, 1, 2, 3}
    assert {chosen.case.seed for chosen in golden._smallest_set([*rim, *inside[:3]])} > {4}


def candidate(number: int, probabilities: Sequence[float], noise: float, is_none: bool | None) -> golden._Candidate:
    """One that shows every fault."""
    case = GoldenCase("scene", number, 64, 48, {})
    shifts = dict.fromkeys((*REQUIRED, *golden.OPTIONAL), 4 * SHIFT)
    return golden._Candidate(case, np.array(probabilities, np.float32), noise, shifts, is_none)


def test_of_a_network_that_knows_none_of_these_some_frames_are_and_some_are_not() -> None:
    none = [candidate(number, (0.1, 0.3, 0.6), 0.0, True) for number in range(6)]
    some = [candidate(10 + number, (0.2, 0.5, 0.3), 0.02, False) for number in range(3)]
    chosen = golden._smallest_set([*none, *some])
    assert sorted(one.is_none is True for one in chosen) == [False, False, True, True]
    assert {one.is_none for one in golden._smallest_set(none)} == {True}
    unsaid = [candidate(number, (0.1, 0.3, 0.6), 0.0, None) for number in range(6)]
    assert len(golden._smallest_set(unsaid)) == golden.FEWEST
