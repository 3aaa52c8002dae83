"""Finished for the device: calibrated, with a threshold and golden cases, and no answer changed."""

from __future__ import annotations

import numpy as np
import pytest

from edge.model.interpreter import Interpreter
from edge.model.verify import check
from edge.picture.geometry import model_input
from export.finishing.finish import SHARE_BY_CLASS, Finished, _doubting, finish
from export.finishing.temperature import fit
from export.graph import edit
from export.graph.asking import answers
from export.graph.metadata import About
from export.graph.residual import features_of, subspace
from export.opening.finished_run import Views
from tests.export import colours

ABOUT = About("colours", "three kinds of patches", "1", "nobody", "CC0-1.0")


@pytest.fixture(scope="module")
def validation() -> Views:
    return Views(*colours.pictures(range(200, 220)))


@pytest.fixture(scope="module")
def finished(flatbuffers: dict[str, bytes], validation: Views) -> Finished:
    return finished_with(flatbuffers, validation)


def finished_with(
    flatbuffers: dict[str, bytes], validation: Views, labels: tuple[str, ...] = colours.LABELS, coverage: float = 0.9,
    unknown: np.ndarray | None = None,
) -> Finished:  # fmt: skip
    usual = colours.pictures(range(100, 120))[0]
    return finish(
        flatbuffers["int8"], labels, validation, ABOUT, coverage=coverage, usual=usual, unknown=unknown, seed=1
    )  # fmt: skip


def test_no_answer_changes(finished: Finished, flatbuffers: dict[str, bytes], validation: Views) -> None:
    before = answers(flatbuffers["int8"], validation.pictures)
    assert (finished.validation.argmax(axis=1) == before.argmax(axis=1)).all()
    assert (finished.validation == answers(finished.flatbuffer, validation.pictures)).all()


def test_the_temperature_in_the_file_is_the_one_fitted_to_its_own_logits(
    finished: Finished, validation: Views
) -> None:  # fmt: skip
    assert colours.temperature_of(finished.flatbuffer) == pytest.approx(finished.temperature, rel=1e-5)
    logits = answers(edit.logits(finished.flatbuffer), validation.pictures)
    assert fit(logits, validation.truth) == pytest.approx(finished.temperature, rel=1e-3)
    assert finished.components == 4  # a quarter of 16 features


def test_the_threshold_keeps_what_was_asked_for(finished: Finished) -> None:
    assert finished.rejection.coverage == 0.9
    assert (finished.validation.max(axis=1) >= finished.rejection.threshold).mean() >= 0.9


def test_golden_cases_hold_for_the_flatbuffer_as_it_is_written(finished: Finished) -> None:
    interpreter = Interpreter(finished.flatbuffer, "colours")
    found = check(lambda frame: interpreter(model_input(frame, colours.SIZE)), colours.LABELS, finished.golden)
    assert len(found) >= 4
    assert all(verdict.difference < 1 / 256 for verdict in found)


def test_a_class_called_unknown_is_not_counted_among_the_known(
    flatbuffers: dict[str, bytes], validation: Views
) -> None:
    """Its photos score below every threshold, so they would pull the threshold down to nothing."""
    labels = ("bluebell", "unknown", "poppy")
    taught = finished_with(flatbuffers, validation, labels, coverage=1.0)
    known = taught.validation[validation.truth != 1].max(axis=1)
    assert 0 < taught.rejection.threshold <= known.min()
    assert (taught.validation[validation.truth != 1].argmax(axis=1) != 1).all()


@pytest.mark.parametrize("coverage", [0.5, 0.9, 1.0])
def test_the_class_unknown_takes_few_of_the_known_and_leaves_the_rest_to_the_threshold(
    coverage: float, flatbuffers: dict[str, bytes], validation: Views
) -> None:
    usual = subspace(answers(features_of(flatbuffers["int8"]), colours.pictures(range(100, 120))[0]))
    assert usual is not None
    doubting = _doubting(flatbuffers["int8"], ("bluebell", "unknown", "poppy"), usual, validation, coverage)
    pictures = validation.pictures[validation.truth != 1]
    known, before = (answers(edit.logits(one), pictures) for one in (doubting, flatbuffers["int8"]))
    wins = known[:, 1] > known[:, [0, 2]].max(axis=1)
    assert wins.mean() == pytest.approx(SHARE_BY_CLASS * (1 - coverage), abs=0.06)  # of 40 photos
    assert (known[:, [0, 2]].argmax(axis=1) == before[:, [0, 2]].argmax(axis=1)).all()


def test_what_is_strange_is_called_unknown(flatbuffers: dict[str, bytes], validation: Views) -> None:
    usual = subspace(answers(features_of(flatbuffers["int8"]), colours.pictures(range(100, 120))[0]))
    assert usual is not None
    doubting = _doubting(flatbuffers["int8"], ("bluebell", "unknown", "poppy"), usual, validation, 0.9)
    stripes = np.zeros((1, colours.SIZE, colours.SIZE, 3), np.uint8)
    stripes[:, :, ::2] = (255, 0, 255)
    strange, plain = (answers(one, stripes)[0] for one in (doubting, flatbuffers["int8"]))
    assert strange[1] > plain[1]
