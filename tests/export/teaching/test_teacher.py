"""A trained network as a teacher: of itself, of others, with fake quantisation; and again after a break."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.network.channels import slim
from export.opening.finished_run import FinishedRun, slim_size
from export.presets import Plan
from export.teaching import teacher
from export.teaching.lessons import LiveLessons
from tests.export import colours
from tests.export.conftest import PLAN, Begin, right


def test_a_network_learns_from_itself_and_the_runs_own_stays(
    begin: Begin, run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, asked = run.model.get_weights(), []
    real = LiveLessons.batches

    def counted(lessons: LiveLessons, size: int, epoch: int, *others: Any) -> Any:
        asked.append(epoch)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(lessons, size, epoch, *others)

    monkeypatch.setattr(LiveLessons, "batches", counted)
    with pytest.raises(KeyboardInterrupt):
        begin().self_distilled()
    found = begin().self_distilled()  # goes on
    assert asked == [0, 1, 1]
    again = begin().self_distilled()
    assert asked == [0, 1, 1]
    for old, new, once_more in zip(before, run.model.get_weights(), again.model.get_weights(), strict=True):
        assert (old == new).all()
        assert old.shape == once_more.shape
    for one, other in zip(found.model.get_weights(), again.model.get_weights(), strict=True):
        assert (one == other).all()
    assert any((old != new).any() for old, new in zip(before, found.model.get_weights(), strict=True))
    assert right(found.model) > 0.9
    assert not list(tmp_path.rglob("*.npy"))  # lessons take gigabytes
    assert begin(PLAN, found).work != begin().work


def test_zeros_stay_in_training_with_fake_quantisation_and_other_zeros_are_not_gone_on_with(
    run: FinishedRun, begin: Begin, calls: Counter[str]
) -> None:
    work = begin(replace(PLAN, distil_epochs=0, lessons=1))
    lessons, found = work.lessons(), []
    calls.clear()
    for share in (0.5, 0.75, 0.5):
        pruned = slim(run.model, {})
        kernel, *others = pruned.get_layer("expand").get_weights()
        zeros = np.abs(kernel) <= np.quantile(np.abs(kernel), share)
        pruned.get_layer("expand").set_weights([np.where(zeros, 0, kernel), *others])
        network = work.made_aware(pruned, lessons, preserve_zeros=True)
        (taught,) = [variable.numpy() for variable in network.weights if variable.name == "expand/kernel:0"]
        assert (taught[zeros] == 0).all()
        assert (taught[~zeros] != kernel[~zeros]).any()
        found.append(taught)
    assert calls == {"epochs": 2 + 2 + 1}  # ranges are calibrated first; the third was taught before
    assert (found[0] == found[2]).all()


@pytest.mark.parametrize("asked_size", [16, 64])
def test_without_a_slim_network_the_run_keeps_its_own_size(
    asked_size: int, begin: Begin, run: FinishedRun
) -> None:
    work = begin(replace(PLAN, distil_epochs=0, size=asked_size))
    assert work.size == colours.SIZE
    network = work.made_aware(run.model, work.lessons())
    assert network.input_shape == run.model.input_shape


@pytest.mark.parametrize(("asked", "found"), [(16, 16), (32, 32), (224, 32)])
def test_a_slim_network_is_never_larger_than_its_teacher(asked: int, found: int, run: FinishedRun) -> None:
    assert slim_size(run, replace(PLAN, size=asked)) == found


@pytest.mark.parametrize(("size", "epochs"), [(16, 1), (32, 1), (16, 0)], ids=["smaller", "as large", "no epochs"])
def test_the_reference_learns_only_where_pictures_are_smaller(
    size: int, epochs: int, begin: Begin, run: FinishedRun
) -> None:
    work = begin(replace(PLAN, size=size, reference_epochs=epochs))
    reference = work.reference(work.lessons())
    assert reference.input_shape == (None, size, size, 3)
    assert not reference.trainable_weights
    same = [(old == new).all() for old, new in zip(run.model.get_weights(), reference.get_weights(), strict=True)]
    assert all(same) == (size == 32 or epochs == 0)


def test_photos_that_fill_no_batch_are_one(begin: Begin, run: FinishedRun) -> None:
    """30 training photos in batches of 32, and in batches of 7 of which 2 photos are left over."""
    for batch, photos in ((32, 30), (7, 28), (6, 30)):
        changed = replace(run, config=replace(run.config, batch=batch))
        work = begin(replace(PLAN, lessons=1, distil_epochs=1), changed)
        lessons = work.lessons()
        assert lessons.course.photos == photos
        assert len(work.distilled(slim(run.model, {}, 16), lessons, None)) == 1


@pytest.mark.parametrize(
    ("epochs", "rate"), [(10, 1e-3 * 20 / 400), (100, 1e-3 * 200 / 400), (200, 1e-3), (1000, 1e-3)]
)
def test_a_short_distillation_is_a_gentle_one(
    epochs: int, rate: float, begin: Begin, run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps an epoch; at the full rate a few steps would only spoil what was fitted."""
    asked = []
    monkeypatch.setattr(teacher, "distil", lambda pupil, lessons, how, *others: asked.append((how.epochs, how.rate)))
    work = begin(replace(PLAN, distil_epochs=epochs, lessons=1), replace(run, config=replace(run.config, batch=15)))
    work.distilled(slim(run.model, {}, 16), work.lessons(), None)
    assert asked == [(epochs, pytest.approx(rate))]


def altered(run: FinishedRun) -> FinishedRun:
    model = slim(run.model, {})
    bias = model.get_layer("evidence").bias
    bias.assign(bias + 1e-6)
    return replace(run, model=model)


@pytest.mark.parametrize(
    ("change", "is_other"),
    [
        pytest.param(lambda run, plan: (run, replace(plan, max_drop=9.0)), False, id="what may be lost"),
        pytest.param(lambda run, plan: (run, replace(plan, speed=9.0)), False, id="the speed"),
        pytest.param(lambda run, plan: (run, replace(plan, max_kb=9.0)), False, id="the bytes"),
        pytest.param(lambda run, plan: (run, replace(plan, lessons=9)), True, id="the lessons"),
        pytest.param(lambda run, plan: (run, replace(plan, distil_epochs=9)), True, id="the epochs"),
        pytest.param(lambda run, plan: (run, replace(plan, size=24)), True, id="the size"),
        pytest.param(lambda run, plan: (altered(run), plan), True, id="a weight"),
        pytest.param(lambda run, plan: (replace(run, photos=run.photos[1:]), plan), True, id="the photos"),
        pytest.param(lambda run, plan: (replace(run, config=replace(run.config, seed=9)), plan), True, id="the recipe"),
    ],
)
def test_work_of_another_kind_is_not_gone_on_with(
    change: Callable[[FinishedRun, Plan], tuple[FinishedRun, Plan]],
    is_other: bool,
    begin: Begin,
    run: FinishedRun,
) -> None:
    changed_run, changed_plan = change(run, PLAN)
    assert (begin(changed_plan, changed_run).work != begin().work) is is_other
