"""Finished for the device: calibrated, with a threshold and golden cases, and no answer changed."""

from __future__ import annotations

import numpy as np
import pytest

from edge.model.interpreter import Interpreter
from edge.model.verify import check
from edge.picture.geometry import model_input
from export.finishing.finish import Finished, finish
from export.finishing.temperature import fit
from export.graph import edit
from export.graph.asking import answers
from export.graph.metadata import About
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


def test_pictures_of_other_things_may_lower_the_threshold_only(
    finished: Finished, flatbuffers: dict[str, bytes], validation: Views
) -> None:
    grey = np.full((4, colours.SIZE, colours.SIZE, 3), 128, np.uint8)
    helped = finished_with(flatbuffers, validation, unknown=grey)
    assert helped.rejection.threshold <= finished.rejection.threshold
