"""From a trained network to a slim one that computes in int8: the whole road, in pieces, and again after a break."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.machine.layers import ConvLayer
from edge.model.interpreter import Interpreter
from edge.tflite.anatomy import dissect
from export.network.channels import groups
from export.network.outline import Outline
from export.opening.finished_run import FinishedRun, open_run
from export.quantising import aware
from export.slimming import slimming
from export.slimming.shaping import WITHIN, Judged
from export.slimming.slimming import Slimming, SlimNetwork
from export.teaching.lessons import Lessons
from export.teaching.teacher import Teacher
from tests.export import colours
from tests.export.conftest import PLAN, Begin, counting, right

WHOLE_MACS = 191488  # of the whole network


class Device:
    """A latency table: a product takes a nanosecond, in the first two layers as many more as `slowness` says."""

    def __init__(self, slowness: float = 1.0) -> None:
        self._slowness = slowness

    def predict_each(self, layers: Sequence[ConvLayer]) -> NDArray[np.float64]:
        products = [
            layer.side**2 * layer.outputs * (layer.inputs if layer.kind == "pointwise" else 1) for layer in layers
        ]
        return np.array(products) * np.where(np.arange(len(layers)) < 2, self._slowness, 1.0) / 1e6

    def predict(self, layers: Sequence[ConvLayer]) -> float:
        return float(self.predict_each(layers).sum())


@pytest.fixture(scope="module")
def table() -> Any:
    return Device()


@pytest.fixture
def start(begin: Begin) -> Callable[..., Slimming]:
    """As `begin`, up to the slimming."""
    return lambda *given, **options: Slimming(begin(*given, **options))


@dataclass(frozen=True)
class Done:
    """A slimming that went through, and what was seen of it. Not to be changed."""

    work: Path
    found: SlimNetwork
    calls: Counter[str]
    titles: list[str]
    splits: set[str]  # of the photos that were read


@pytest.fixture(scope="module")
def done(run_folder: Path, cache: Path, table: Any, tmp_path_factory: pytest.TempPathFactory) -> Done:
    titles: list[str] = []
    splits: set[str] = set()
    read = FinishedRun.views

    def stages(title: str) -> Any:
        titles.append(title)
        return lambda done, total=0, note="": None

    def watched(run: FinishedRun, photos: Any, *others: Any) -> Any:
        splits.update(photo.split for photo in photos)
        return read(run, photos, *others)

    work = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        calls = counting(patch)
        patch.setattr(FinishedRun, "views", watched)
        found = all_of(Slimming(Teacher(open_run(run_folder), PLAN, cache, work, stages)), table)
    return Done(work, found, calls, titles, splits)


@pytest.fixture
def resume(done: Done, start: Callable[..., Slimming], tmp_path: Path) -> Callable[..., Slimming]:
    """As `start`, with what was done before."""
    shutil.copytree(done.work, tmp_path / "work")
    return start


def all_of(work: Slimming, table: Any) -> SlimNetwork:
    """As an export does it where the table decides."""
    return work.slimmed(work.shape(table, None))


EVERYTHING = {"rankings": 1, "passes of the teacher": 3, "epochs": 1 + 6}


def test_all_of_it(done: Done) -> None:
    found = done.found
    widths = {group.name: group.channels for group in groups(found.model)}
    assert widths == {"stem": 8, "project": 16} | found.shape.widths
    assert found.shape.widths["expand"] < 32
    assert found.model.input_shape == (None, 16, 16, 3)
    assert found.kept == pytest.approx(sum(widths.values()) / (8 + 32 + 16))
    assert found.name == f"slim{round(100 * found.kept)}_16"
    assert found.predicted_speed >= 5.2
    assert [row["epoch"] for row in found.history] == list(range(1, 7))
    assert right(found.model) > 0.9
    assert done.calls == EVERYTHING


def test_what_is_being_done_is_told(done: Done) -> None:
    assert done.titles == [
        "reading training photos", "ranking channels", "weighing groups", "caching training photos",
        "preparing lessons", "reading validation photos", "getting used to smaller pictures", "distilling",
    ]  # fmt: skip


def test_no_test_photo_is_read(done: Done) -> None:
    assert done.splits == {"train", "validation"}


def test_time_is_counted_from_the_whole_network_at_its_own_size(done: Done, run: FinishedRun, table: Any) -> None:
    shape, outline = done.found.shape, Outline.of(run.model)
    whole = table.predict(outline.layers({}, colours.SIZE))
    assert shape.ms == pytest.approx(table.predict(outline.layers(shape.widths, 16)))
    assert shape.ms <= whole / (5.2 * slimming.SAFETY)


def test_a_second_call_does_nothing_again(
    done: Done, resume: Callable[..., Slimming], table: Any, calls: Counter[str]
) -> None:
    found = all_of(resume(), table)
    assert not calls
    assert (found.shape, found.history) == (done.found.shape, done.found.history)
    for old, new in zip(done.found.model.get_weights(), found.model.get_weights(), strict=True):
        assert (old == new).all()


def test_what_broke_off_goes_on_and_ends_as_it_would_have(
    done: Done, start: Callable[..., Slimming], table: Any, calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Lessons.batches

    def breaking(lessons: Lessons, size: int, epoch: int, *others: Any) -> Any:
        if calls["epochs"] == 1 + 3:  # the reference has had its own
            raise KeyboardInterrupt
        return real(lessons, size, epoch, *others)

    with monkeypatch.context() as patched:
        patched.setattr(Lessons, "batches", breaking)
        with pytest.raises(KeyboardInterrupt):
            all_of(start(), table)
    assert calls == EVERYTHING | {"epochs": 1 + 3}
    found = all_of(start(), table)
    assert calls == EVERYTHING
    assert [row["loss"] for row in found.history] == [row["loss"] for row in done.found.history]
    for old, new in zip(done.found.model.get_weights(), found.model.get_weights(), strict=True):
        assert (old == new).all()


def test_what_was_fitted_is_kept_to_the_last_digit(start: Callable[..., Slimming], table: Any) -> None:
    first, second = start().shape(table, None), start().shape(table, None)
    assert second == first
    fitted, again = (start().fitted(one.shape) for one in (first, second))
    for old, new in zip(fitted.get_weights(), again.get_weights(), strict=True):
        assert (old == new).all()


def test_another_device_and_other_limits_have_shapes_of_their_own(
    start: Callable[..., Slimming], table: Any, calls: Counter[str]
) -> None:
    asked: list[tuple[float, Any]] = [(5.2, table), (4.5, table), (4.5, Device(slowness=10))]
    shapes = [start(replace(PLAN, speed=speed)).shape(on, None).shape for speed, on in asked]
    assert calls["rankings"] == 3
    assert shapes[0].harm > shapes[1].harm
    assert shapes[2].ms > shapes[1].ms


def test_a_shape_is_timed_here_until_it_is_as_fast_as_aimed_for_whatever_the_table_says(
    start: Callable[..., Slimming], table: Any, calls: Counter[str]
) -> None:
    """A machine that is a fifth slower with a slim network than the table has it; multiply-adds stand in for it."""
    files: list[bytes] = []

    def timed(flatbuffer: bytes) -> float:
        files.append(flatbuffer)
        return 0.8 * WHOLE_MACS / dissect(flatbuffer, "slim").multiply_adds

    settled = start(replace(PLAN, speed=3.7)).shape(table, timed)
    assert len(files) == 2
    assert settled.timed == timed(files[1])
    assert 3.7 <= settled.timed <= 3.7 * WITHIN
    assert settled.foretold > 4.5
    assert calls == {"rankings": 1}
    assert start(replace(PLAN, speed=3.7)).shape(table, timed) == settled
    assert len(files) == 3  # the last by this test


def test_what_was_taught_and_refused_is_taken_by_an_export_whose_limits_it_keeps(
    start: Callable[..., Slimming], table: Any, calls: Counter[str]
) -> None:
    settled = start().shape(table, None)
    start().judge(settled, Judged(speed=3.49, kb=30.2, drop=4.0))
    loose = replace(PLAN, max_drop=4.0, speed=3.0)
    for within in (replace(loose, speed=3.49), loose, replace(loose, max_kb=30.2), replace(loose, speed=0.0)):
        found = start(within).shape(table, None)
        assert found.shape == settled.shape
        assert len(found.judged) == 1
    assert calls == {"rankings": 1}
    for strict in (replace(loose, speed=3.5), replace(loose, max_drop=3.9), replace(loose, max_kb=30.1)):
        assert not start(strict).shape(table, None).judged
    assert start().shape(table, None).judged  # the same limits, the same refusal


def test_work_of_a_flora_that_timed_no_shapes_is_gone_on_with(
    done: Done, resume: Callable[..., Slimming], table: Any, calls: Counter[str]
) -> None:
    """Shape and weights were in one file then."""
    work = resume()
    (shape,), (fitted,) = work.work.glob("shape-*.json"), work.work.glob("fitted-*.npz")
    shape.unlink()
    fitted.rename(shape.with_suffix(".npz"))
    found = all_of(work, table)
    assert not calls
    assert found.shape == done.found.shape
    assert resume_timed(work, table) == pytest.approx(4.2)
    for old, new in zip(done.found.model.get_weights(), found.model.get_weights(), strict=True):
        assert (old == new).all()


def resume_timed(work: Slimming, table: Any) -> float | None:
    """How fast a kept shape is, where that is asked for."""
    return work.shape(table, lambda flatbuffer: 4.2).timed


def test_a_refused_export_keeps_lessons_and_reference_for_other_limits(
    done: Done, resume: Callable[..., Slimming], table: Any, calls: Counter[str]
) -> None:
    found = all_of(resume(replace(PLAN, speed=4.5)), table)
    assert found.shape.widths != done.found.shape.widths
    assert calls == {"rankings": 1, "epochs": 6}


def test_the_network_with_fake_quantisation_converts_and_is_right(
    done: Done, resume: Callable[..., Slimming], calls: Counter[str]
) -> None:
    before = done.found.model.get_weights()
    teacher = resume().teacher
    network = teacher.made_aware(done.found.model, teacher.lessons())
    assert calls == {"epochs": 2}  # ranges are calibrated first
    interpreter = Interpreter(aware.convert_aware(network), "int8_qat")
    views, truth = colours.pictures(range(300, 312))
    answers = np.stack([interpreter(view) for view in np.ascontiguousarray(views[:, :16, :16])])
    assert (answers.argmax(axis=1) == truth).mean() > 0.9
    again = teacher.made_aware(done.found.model, teacher.lessons())
    assert calls == {"epochs": 3}
    for old, new in zip(network.get_weights(), again.get_weights(), strict=True):
        assert (old == new).all()
    for old, new in zip(before, done.found.model.get_weights(), strict=True):
        assert (old == new).all()


def test_the_trained_network_stays_as_it_is(start: Callable[..., Slimming], run: FinishedRun, table: Any) -> None:
    before = run.model.get_weights()
    all_of(start(replace(PLAN, distil_epochs=1, lessons=1)), table)
    for old, new in zip(before, run.model.get_weights(), strict=True):
        assert (old == new).all()
