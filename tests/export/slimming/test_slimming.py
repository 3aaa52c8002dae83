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
from export.network.channels import groups, slim
from export.opening.finished_run import FinishedRun, open_run, slim_size
from export.presets import Plan
from export.quantising import aware
from export.slimming import slimming
from export.slimming.latency import Outline
from export.slimming.slimming import Slimming, SlimNetwork
from export.teaching.lessons import Lessons, LiveLessons
from tests.export import colours
from training.network.inference import predict

PLAN = Plan(
    max_drop=3.0, max_kb=0.0, speed=5.2, size=16, self_epochs=2, distil_epochs=6, lessons=3, reference_epochs=1,
    aware_epochs=1, sparsity=0.0,
)  # fmt: skip


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
def run(run_folder: Path) -> FinishedRun:
    return open_run(run_folder)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of decoded photos, the same for all."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def start(run: FinishedRun, cache: Path, tmp_path: Path) -> Callable[..., Slimming]:
    def call(plan: Plan = PLAN, run: FinishedRun = run, **options: Any) -> Slimming:
        return Slimming(run, plan, cache, tmp_path / "work", **options)

    return call


def counting(patch: pytest.MonkeyPatch) -> Counter[str]:
    """How often what takes long is done from now on."""
    found: Counter[str] = Counter()

    def count(name: str, owner: Any, what: str) -> None:
        real = getattr(owner, what)

        def counted(*arguments: Any, **named: Any) -> Any:
            found[name] += 1
            return real(*arguments, **named)

        patch.setattr(owner, what, counted)

    count("rankings", slimming, "rank")
    count("passes of the teacher", slimming, "epoch_batches")
    count("epochs", Lessons, "batches")
    return found


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    return counting(monkeypatch)


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
        found = Slimming(open_run(run_folder), PLAN, cache, work, stages).slimmed(table)
    return Done(work, found, calls, titles, splits)


@pytest.fixture
def resume(done: Done, start: Callable[..., Slimming], tmp_path: Path) -> Callable[..., Slimming]:
    """As `start`, with what was done before."""
    shutil.copytree(done.work, tmp_path / "work")
    return start


EVERYTHING = {"rankings": 1, "passes of the teacher": 3, "epochs": 1 + 6}


def right(model: Any) -> float:
    """Share of new photos that a network of 16 pixels is right on; it sees a corner of them."""
    views, truth = colours.pictures(range(300, 312))
    size = int(model.input_shape[1])
    return float((predict(model, np.ascontiguousarray(views[:, :size, :size])).argmax(axis=1) == truth).mean())


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
    found = resume().slimmed(table)
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
            start().slimmed(table)
    assert calls == EVERYTHING | {"epochs": 1 + 3}
    found = start().slimmed(table)
    assert calls == EVERYTHING
    assert [row["loss"] for row in found.history] == [row["loss"] for row in done.found.history]
    for old, new in zip(done.found.model.get_weights(), found.model.get_weights(), strict=True):
        assert (old == new).all()


def test_a_network_learns_from_itself_and_the_runs_own_stays(
    start: Callable[..., Slimming], run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        start().self_distilled()
    found = start().self_distilled()  # goes on
    assert asked == [0, 1, 1]
    again = start().self_distilled()
    assert asked == [0, 1, 1]
    for old, new, once_more in zip(before, run.model.get_weights(), again.model.get_weights(), strict=True):
        assert (old == new).all()
        assert old.shape == once_more.shape
    for one, other in zip(found.model.get_weights(), again.model.get_weights(), strict=True):
        assert (one == other).all()
    assert any((old != new).any() for old, new in zip(before, found.model.get_weights(), strict=True))
    assert right(found.model) > 0.9
    assert not list(tmp_path.rglob("*.npy"))  # lessons take gigabytes
    assert start(PLAN, found).work != start().work


def test_what_was_fitted_is_kept_to_the_last_digit(start: Callable[..., Slimming], table: Any) -> None:
    (first, fitted), (second, again) = start().shape(table), start().shape(table)
    assert second == first
    for old, new in zip(fitted.get_weights(), again.get_weights(), strict=True):
        assert (old == new).all()


def test_another_device_and_other_limits_have_shapes_of_their_own(
    start: Callable[..., Slimming], table: Any, calls: Counter[str]
) -> None:
    asked: list[tuple[float, Any]] = [(5.2, table), (4.5, table), (4.5, Device(slowness=10))]
    shapes = [start(replace(PLAN, speed=speed)).shape(on)[0] for speed, on in asked]
    assert calls["rankings"] == 3
    assert shapes[0].harm > shapes[1].harm
    assert shapes[2].ms > shapes[1].ms


def test_a_refused_export_keeps_lessons_and_reference_for_other_limits(
    done: Done, resume: Callable[..., Slimming], table: Any, calls: Counter[str]
) -> None:
    found = resume(replace(PLAN, speed=4.5)).slimmed(table)
    assert found.shape.widths != done.found.shape.widths
    assert calls == {"rankings": 1, "epochs": 6}


def test_the_network_with_fake_quantisation_converts_and_is_right(
    done: Done, resume: Callable[..., Slimming], calls: Counter[str]
) -> None:
    before = done.found.model.get_weights()
    network = resume().made_aware(done.found.model, resume().lessons())
    assert calls == {"epochs": 2}  # ranges are calibrated first
    interpreter = Interpreter(aware.convert_aware(network), "int8_qat")
    views, truth = colours.pictures(range(300, 312))
    answers = np.stack([interpreter(view) for view in np.ascontiguousarray(views[:, :16, :16])])
    assert (answers.argmax(axis=1) == truth).mean() > 0.9
    again = resume().made_aware(done.found.model, resume().lessons())
    assert calls == {"epochs": 3}
    for old, new in zip(network.get_weights(), again.get_weights(), strict=True):
        assert (old == new).all()
    for old, new in zip(before, done.found.model.get_weights(), strict=True):
        assert (old == new).all()


def test_zeros_stay_in_training_with_fake_quantisation_and_other_zeros_are_not_gone_on_with(
    run: FinishedRun, start: Callable[..., Slimming], calls: Counter[str]
) -> None:
    work = start(replace(PLAN, distil_epochs=0, lessons=1))
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


def test_the_trained_network_stays_as_it_is(start: Callable[..., Slimming], run: FinishedRun, table: Any) -> None:
    before = run.model.get_weights()
    start(replace(PLAN, distil_epochs=1, lessons=1)).slimmed(table)
    for old, new in zip(before, run.model.get_weights(), strict=True):
        assert (old == new).all()


@pytest.mark.parametrize("asked_size", [16, 64])
def test_without_a_slim_network_the_run_keeps_its_own_size(
    asked_size: int, start: Callable[..., Slimming], run: FinishedRun
) -> None:
    work = start(replace(PLAN, distil_epochs=0, size=asked_size))
    assert work.size == colours.SIZE
    network = work.made_aware(run.model, work.lessons())
    assert network.input_shape == run.model.input_shape


@pytest.mark.parametrize(("asked", "found"), [(16, 16), (32, 32), (224, 32)])
def test_a_slim_network_is_never_larger_than_its_teacher(asked: int, found: int, run: FinishedRun) -> None:
    assert slim_size(run, replace(PLAN, size=asked)) == found


@pytest.mark.parametrize(("size", "epochs"), [(16, 1), (32, 1), (16, 0)], ids=["smaller", "as large", "no epochs"])
def test_the_reference_learns_only_where_pictures_are_smaller(
    size: int, epochs: int, start: Callable[..., Slimming], run: FinishedRun
) -> None:
    work = start(replace(PLAN, size=size, reference_epochs=epochs))
    reference = work.reference(work.lessons())
    assert reference.input_shape == (None, size, size, 3)
    assert not reference.trainable_weights
    same = [(old == new).all() for old, new in zip(run.model.get_weights(), reference.get_weights(), strict=True)]
    assert all(same) == (size == 32 or epochs == 0)


def test_photos_that_fill_no_batch_are_one(start: Callable[..., Slimming], run: FinishedRun) -> None:
    """30 training photos in batches of 32, and in batches of 7 of which 2 photos are left over."""
    for batch, photos in ((32, 30), (7, 28), (6, 30)):
        changed = replace(run, config=replace(run.config, batch=batch))
        work = start(replace(PLAN, lessons=1, distil_epochs=1), changed)
        lessons = work.lessons()
        assert lessons.course.photos == photos
        assert len(work.distilled(slim(run.model, {}, 16), lessons, None)) == 1


@pytest.mark.parametrize(
    ("epochs", "rate"), [(10, 1e-3 * 20 / 400), (100, 1e-3 * 200 / 400), (200, 1e-3), (1000, 1e-3)]
)
def test_a_short_distillation_is_a_gentle_one(
    epochs: int, rate: float, start: Callable[..., Slimming], run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps an epoch; at the full rate a few steps would only spoil what was fitted."""
    asked = []
    monkeypatch.setattr(slimming, "distil", lambda pupil, lessons, how, *others: asked.append((how.epochs, how.rate)))
    work = start(replace(PLAN, distil_epochs=epochs, lessons=1), replace(run, config=replace(run.config, batch=15)))
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
    start: Callable[..., Slimming],
    run: FinishedRun,
) -> None:
    changed_run, changed_plan = change(run, PLAN)
    assert (start(changed_plan, changed_run).work != start().work) is is_other
