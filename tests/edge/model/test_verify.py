"""A device that answers otherwise than the exporter did is noticed, and the reason is found by trying."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.model.golden import TOLERANCE, GoldenCase, expected, frame
from edge.model.verify import CAUSES, FAULTS, Fault, Predict, check, likely_cause
from edge.picture.geometry import Picture, model_input
from tests.edge.model import tiny

SIZE = tiny.SIZE
LABELS = tiny.LABELS
SETTINGS = (
    ("lattice", 1357791199, 128, 96), ("lattice", 376383645, 128, 96),
    ("margins", 3, 640, 480), ("scene", 8, 320, 240), ("checker", 9, 1280, 720),
)  # fmt: skip


def model(rgb: Picture) -> NDArray[np.float32]:
    """The tiny model, worked out without a runtime."""
    return tiny.expected(rgb).astype(np.float32)


def right(frame_bgr: Picture) -> NDArray[np.float32]:
    return model(model_input(frame_bgr, SIZE))


def golden(answer: Predict = right, labels: Sequence[str] = LABELS) -> tuple[GoldenCase, ...]:
    """Cases as an exporter with the answers of `answer` writes them."""
    empty = [GoldenCase(*setting, {}) for setting in SETTINGS]
    return tuple(
        GoldenCase(c.pattern, c.seed, c.width, c.height, dict(zip(labels, map(float, answer(frame(c))), strict=True)))
        for c in empty
    )


def device(fault: Fault) -> Predict:
    """A device whose picture path has a fault."""
    return lambda frame_bgr: model(fault.picture(frame_bgr, SIZE))


def cause(answer: Predict, invoke: Predict = model, labels: Sequence[str] = LABELS) -> str:
    return likely_cause(answer, invoke, SIZE, labels, golden(labels=LABELS))


def passed(answer: Predict) -> bool:
    return all(verdict.passed for verdict in check(answer, LABELS, golden()))


def test_the_exporters_answers_pass() -> None:
    verdicts = check(right, LABELS, golden())

    assert [verdict.case for verdict in verdicts] == list(golden())
    assert all(verdict.passed and verdict.difference < 1e-6 for verdict in verdicts)


@pytest.mark.parametrize(("share", "is_fine"), [(0.99, True), (1.01, False)], ids=["just within", "just beyond"])
def test_the_tolerance_is_for_the_greatest_difference_of_all_labels(share: float, is_fine: bool) -> None:
    off = np.array([0, -share * TOLERANCE, 0], np.float32)

    verdicts = check(lambda frame_bgr: right(frame_bgr) + off, LABELS, golden())

    assert {verdict.passed for verdict in verdicts} == {is_fine}
    assert {verdict.label for verdict in verdicts} == {"green"}
    assert verdicts[0].difference == pytest.approx(share * TOLERANCE, rel=1e-3)


def test_answers_that_are_no_numbers_fail() -> None:
    verdicts = check(lambda frame_bgr: np.full(3, np.nan, np.float32), LABELS, golden())

    assert {(verdict.difference, verdict.passed) for verdict in verdicts} == {(1.0, False)}


def test_without_a_fault_the_picture_is_the_models_input() -> None:
    frame_bgr = frame(golden()[0])

    assert (Fault().picture(frame_bgr, SIZE) == model_input(frame_bgr, SIZE)).all()


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_gives_a_picture_of_the_same_kind_that_is_another(name: str) -> None:
    frame_bgr = frame(GoldenCase("checker", 1, 200, 150, {}))

    picture = FAULTS[name].picture(frame_bgr, SIZE)

    assert picture.shape == (SIZE, SIZE, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    assert (picture != model_input(frame_bgr, SIZE)).any()


# "area" is missing: where the whole factor is exact it is the rule itself, and the tiny model sees mean colours only.
@pytest.mark.parametrize(
    "fault",
    [
        *(FAULTS[name] for name in ("BGR", "stretch", "bilinear stretch", "bilinear", "nearest", "half", "signed")),
        Fault(colours="BGR", crop="stretch"),
        Fault(colours="BGR", resize="nearest"),
    ],
    ids=lambda fault: f"{fault.colours}-{fault.crop}-{fault.resize}",
)
def test_a_fault_in_the_picture_path_fails_and_is_named(fault: Fault) -> None:
    assert not passed(device(fault))
    assert cause(device(fault)) == fault.cause


def test_channels_swapped_under_the_picture_path_are_named_too() -> None:
    def invoke(rgb: Picture) -> NDArray[np.float32]:
        return model(np.ascontiguousarray(rgb[..., ::-1]))

    def answer(frame_bgr: Picture) -> NDArray[np.float32]:
        return invoke(model_input(frame_bgr, SIZE))

    assert not passed(answer)
    assert cause(answer, invoke).endswith(CAUSES["BGR"])


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ((1, 0, 2), "red is answered as green, green is answered as red"),
        ((2, 1, 0), "red is answered as blue, blue is answered as red"),
        ((1, 2, 0), "red is answered as blue, green is answered as red, blue is answered as green"),
    ],
    ids=["two", "the outer two", "all three"],
)
def test_labels_in_another_order_fail_and_are_named(order: tuple[int, ...], said: str) -> None:
    def invoke(rgb: Picture) -> NDArray[np.float32]:
        return model(rgb)[list(order)]

    def answer(frame_bgr: Picture) -> NDArray[np.float32]:
        return invoke(model_input(frame_bgr, SIZE))

    assert not passed(answer)
    assert cause(answer, invoke).startswith(f"the labels are in another order: {said}")


def test_two_causes_that_both_explain_the_answers_are_both_named() -> None:
    """To a model that names colours, red and blue labels swapped are the same as red and blue channels swapped."""

    def invoke(rgb: Picture) -> NDArray[np.float32]:
        return model(rgb)[::-1]

    said = cause(lambda frame_bgr: invoke(model_input(frame_bgr, SIZE)), invoke)

    assert said == (
        "the labels are in another order: red is answered as blue, blue is answered as red or "
        "the colour channels are swapped: BGR for RGB"
    )


def test_a_thousand_labels_shifted_by_one_are_named() -> None:
    labels = [f"class {i}" for i in range(1000)]

    def exported(rgb: Picture) -> NDArray[np.float32]:
        return np.asarray(np.eye(1000)[int(rgb.sum(dtype=np.int64)) % 1000], np.float32)

    def invoke(rgb: Picture) -> NDArray[np.float32]:
        return np.roll(exported(rgb), 1)

    cases = golden(lambda frame_bgr: exported(model_input(frame_bgr, SIZE)), labels)

    said = likely_cause(lambda frame_bgr: invoke(model_input(frame_bgr, SIZE)), invoke, SIZE, labels, cases)

    assert said.startswith("the labels are in another order: class ")
    assert said.endswith(", ...")


@pytest.mark.parametrize(
    ("misread", "said"),
    [
        (lambda p: p / 2, "all answers are 0.50 times"),
        (lambda p: p - (p >= 0.5), "answers outside 0 to 1"),
        (lambda p: 256 * p, "answers outside 0 to 1"),
        (lambda p: p * np.nan, "answers outside 0 to 1"),
    ],
    ids=["scale", "signed", "raw", "no numbers"],
)
def test_a_misread_output_fails_and_is_named(
    misread: Callable[[NDArray[np.float32]], NDArray[np.float32]], said: str
) -> None:
    def answer(frame_bgr: Picture) -> NDArray[np.float32]:
        return np.asarray(misread(right(frame_bgr)), np.float32)

    assert not passed(answer)
    assert said in cause(answer)


def test_a_dead_model_has_an_unknown_cause() -> None:
    """Every fault leads to the same answer there, so none is the cause."""

    def dead(picture: Picture) -> NDArray[np.float32]:
        return np.full(3, 1 / 3, np.float32)

    assert cause(dead, dead).startswith("unknown: no fault")


def test_a_card_that_expects_nothing_at_all_has_an_unknown_cause() -> None:
    cases = golden(lambda frame_bgr: np.zeros(3, np.float32))
    assert likely_cause(right, model, SIZE, LABELS, cases).startswith("unknown: no fault")


@pytest.mark.parametrize(
    "shifted",
    [
        lambda p: np.clip(p + np.array([TOLERANCE, -1.5 * TOLERANCE, 0]), 0, 1),
        lambda p: 0.93 * p,
    ],
    ids=["two labels", "all a little less"],
)
def test_a_small_difference_points_to_the_runtime(
    shifted: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> None:
    def invoke(rgb: Picture) -> NDArray[np.float32]:
        return np.asarray(shifted(model(rgb)), np.float32)

    def answer(frame_bgr: Picture) -> NDArray[np.float32]:
        return invoke(model_input(frame_bgr, SIZE))

    assert not passed(answer)
    assert "a runtime that rounds otherwise" in cause(answer, invoke)


def test_small_answers_may_be_left_out_of_a_case() -> None:
    case = GoldenCase("scene", 1, 64, 64, {"red": 1.0})

    assert expected(case, LABELS).tolist() == [1.0, 0.0, 0.0]
    assert check(lambda frame_bgr: np.array([0.997, 0.003, 0], np.float32), LABELS, [case])[0].passed
