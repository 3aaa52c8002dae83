"""Which variants an export makes of a run, in which order, and what becomes of those that cannot be had."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.base.board import Board
from edge.base.progress import silent
from edge.errors import UsageError
from edge.photos.manifest import read_manifest
from edge.picture import geometry
from export.config import ExportConfig
from export.opening.finished_run import FinishedRun
from export.quantising import convert as quantize
from export.slimming.latency import TABLES
from export.variants.choosing import BudgetError
from export.variants.maker import Variants, device_table, make_variants
from tests.export import colours
from tests.export.conftest import AWARE_SLIM, SLIM

FLOATS = ["float32", "float16", "dynamic_range"]
SMALL = {"prune_epochs": 1, "calibration": 6, "self_epochs": 0}

Make = Callable[..., Variants]


@pytest.fixture
def make(run: FinishedRun, tmp_path: Path) -> Make:
    def call(run: FinishedRun = run, told: list[str] | None = None, **asked: Any) -> Variants:
        config = ExportConfig(**{**SMALL, **asked})
        cache, lines = tmp_path / "cache", [] if told is None else told
        return make_variants(config, run, device_table(config), cache, tmp_path / "work", silent, lines.append)

    return call


def names(found: Variants) -> list[str]:
    return [made.name for made in found.made]


PLANS: list[Any] = [
    pytest.param({"preset": "accurate", "aware_epochs": 0}, ["int8"], id="nothing but quantised"),
    pytest.param({"preset": "accurate", "aware_epochs": 1}, ["int8", "int8_qat"], id="the whole network, trained on"),
    pytest.param({"preset": "accurate", "self_epochs": 1}, ["int8", "int8_selfdistil"], id="by itself"),
    pytest.param({"self_epochs": 1, "aware_epochs": 1}, ["int8", "int8_selfdistil", SLIM, AWARE_SLIM], id="everything"),
    pytest.param({"distil_epochs": 0, "aware_epochs": 1}, ["int8", "int8_qat"], id="no slim one"),
    pytest.param({"aware_epochs": 0}, ["int8", SLIM], id="a slim one, not trained on"),
    pytest.param({"aware_epochs": 1}, ["int8", SLIM, AWARE_SLIM], id="a slim one, trained on"),
    pytest.param({"quick": True}, ["int8", SLIM], id="a first look"),
    pytest.param({"preset": "accurate", "quick": True}, ["int8"], id="a first look at the whole network"),
]


@pytest.mark.usefixtures("slimmed")
@pytest.mark.parametrize(("asked", "integer"), PLANS)
def test_a_plan_makes_what_it_names(asked: dict[str, Any], integer: list[str], make: Make) -> None:
    found = make(**asked)
    floats = FLOATS[:1] if asked.get("quick") else FLOATS
    assert names(found) == [*floats, *integer]
    assert [made.name for made in found.made if made.is_integer] == integer


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(
    ("asked", "name", "zeros"),
    [
        pytest.param({"sparsity": 0.5}, "int8_pruned50", 0.5, id="half of them"),
        pytest.param({"pattern": "1:4"}, "int8_pruned1of4", 0.25, id="in a pattern"),
    ],
)
def test_a_pruned_variant_is_named_for_its_zeros_and_the_network_stays(
    asked: dict[str, Any], name: str, zeros: float, make: Make, run: FinishedRun
) -> None:
    before = run.model.get_weights()
    found = make(preset="accurate", aware_epochs=0, **asked)
    assert names(found) == [*FLOATS, "int8", name]
    pruned = found.made[-1].sparsity.by_layer
    assert {layer: round(share, 2) for layer, share in pruned.items() if share > 0.1} == {
        "expand": zeros, "project": zeros, "shortcut": zeros,
    }  # fmt: skip
    assert found.made[0].sparsity.total < 0.1
    assert all((now == then).all() for now, then in zip(run.model.get_weights(), before, strict=True))


@pytest.mark.usefixtures("slimmed")
def test_a_pruned_network_is_trained_on_with_its_zeros_where_lessons_are_of_its_size(make: Make) -> None:
    found = make(preset="accurate", aware_epochs=1, sparsity=0.5)
    assert names(found) == [*FLOATS, "int8", "int8_pruned50", "int8_qat_pruned50", "int8_qat"]
    shares = [round(made.sparsity.by_layer["expand"], 2) for made in found.made[-3:]]
    assert (shares[:2], shares[2] < 0.1) == ([0.5, 0.5], True)
    assert len(found.work) == 1
    assert "int8_qat_pruned50" not in names(make(preset="micro", sparsity=0.5))


@pytest.mark.usefixtures("slimmed")
def test_a_network_that_cannot_be_trained_is_only_quantised(make: Make, run: FinishedRun) -> None:
    fixed = replace(run, why_fixed="its head is another")
    assert names(make(fixed, self_epochs=1, aware_epochs=1, sparsity=0.5)) == [*FLOATS, "int8"]


@pytest.mark.usefixtures("slimmed")
def test_where_nothing_is_as_fast_as_aimed_for_the_other_variants_are_there(
    make: Make, speeds: dict[str, float]
) -> None:
    speeds["slim"] = 2.9
    told: list[str] = []
    found = make(told=told, aware_epochs=1)
    assert names(found) == [*FLOATS, "int8"]
    assert told[-1] == (
        "no slim network: of 32 px no network is more than 2.90 times as fast as int8, aimed for are 4 times; lower "
        "--speed or --size"
    )
    assert found.slimmed == []


ACCURATE = {"preset": "accurate"}
IMPOSSIBLE = [
    pytest.param({"speed": 4.0}, "more than 2.90 times as fast as int8, asked for are 4 times; lower", id="a speed"),
    pytest.param({"max_kb": 0.5, "speed": 2.0}, "no network of 32 px has a file of 0.5 kB; raise", id="a size"),
    pytest.param({**ACCURATE, "speed": 1.5}, "without a slim network (--distil-epochs 0, ", id="a speed, not slim"),
    pytest.param({**ACCURATE, "max_kb": 5.0}, "the smallest variant, int8, takes 8 kB ", id="a size, not slim"),
]


@pytest.mark.usefixtures("slimmed")
@pytest.mark.parametrize(("asked", "message"), IMPOSSIBLE)
def test_a_limit_that_was_given_is_refused_before_anything_is_taught(
    asked: dict[str, Any], message: str, make: Make, speeds: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds["slim"] = 2.9
    for work in ("Teacher.self_distilled", "Slimming.slimmed", "Teacher.made_aware"):
        monkeypatch.setattr(f"export.variants.maker.{work}", lambda *_: pytest.fail("something was taught"))
    with pytest.raises(BudgetError) as refusal:
        make(**{"self_epochs": 1, "aware_epochs": 1, "sparsity": 0.5, **asked})
    assert str(refusal.value).startswith("nothing was written, nothing taught: ")
    assert message in str(refusal.value)
    assert refusal.value.nearest is None  # there is nothing that another command could write


@pytest.mark.usefixtures("slimmed")
def test_the_table_of_another_device_decides_and_one_of_this_machine_does_not(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow here or not: what is aimed for is the speed there."""
    timed: list[bytes] = []

    def timing(plain: bytes, other: bytes) -> float:
        timed.append(other)
        return 5.0

    monkeypatch.setattr("export.variants.maker.speed_beside", timing)
    content = json.loads((TABLES / "x86-64.json").read_text())
    for device, speed, count in (("a Pi", 4.2, 0), (Board().name(), None, 1)):
        told: list[str] = []
        (tmp_path / "table.json").write_text(json.dumps(content | {"device": device}))
        found = make(told=told, aware_epochs=1, device_table=str(tmp_path / "table.json"))
        assert [made.foretold for made in found.made if "slim" in made.name] == [speed] * 2
        assert {made.foretold for made in found.made if "slim" not in made.name} == {None}
        assert len(timed) == count
        assert ("by the table of a Pi, which decides and not the time here, it is 4.2 times" in told[0]) is (count == 0)


def test_calibration_is_training_photos_of_every_class_as_the_device_sees_them(
    make: Make, run_folder: Path, root: Path, flatbuffers: dict[str, bytes], monkeypatch: pytest.MonkeyPatch,
    ready: None,
) -> None:  # fmt: skip
    given: list[Any] = []

    def convert(model: Any, views: Any) -> bytes:
        given.append(views)
        return flatbuffers["int8"]

    monkeypatch.setattr(quantize, "convert_int8", convert)
    make(preset="accurate", aware_epochs=0, calibration=6)
    train = [photo for photo in read_manifest(run_folder / "manifest.csv") if photo.split == "train"]
    views = {geometry.model_input(geometry.read_photo(root / p.path), colours.SIZE).tobytes(): p.label for p in train}
    (calibration,) = given
    assert [views[view.tobytes()] for view in calibration] == ["bluebell"] * 2 + ["fern"] * 2 + ["poppy"] * 2


@pytest.mark.usefixtures("slimmed")
@pytest.mark.parametrize(
    ("asked", "expected"),
    [({"preset": "accurate", "aware_epochs": 1}, 240), ({"aware_epochs": 0, "size": 96}, 96)],
    ids=["the whole network's", "a slim one's"],
)
def test_lessons_have_the_size_of_the_network_that_learns_from_them(
    asked: dict[str, Any], expected: int, make: Make, run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr("export.variants.maker.Teacher.lessons", lambda teacher: sizes.append(teacher.size))
    monkeypatch.setattr("export.variants.maker.Maker.calibration", lambda maker, size: None)
    make(replace(run, config=replace(run.config, size=240)), **asked)
    assert sizes == [expected]


@pytest.mark.usefixtures("slimmed")
@pytest.mark.parametrize("asked", [{"preset": "accurate"}, {}], ids=["the whole network", "a slim one"])
def test_a_network_that_learned_from_itself_is_what_the_next_are_made_of(
    asked: dict[str, Any], make: Make, run: FinishedRun, flatbuffers: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: list[Any] = []

    def convert(network: Any) -> bytes:
        sources.append(network)
        return flatbuffers["int8"]

    monkeypatch.setattr("export.quantising.aware.convert_aware", convert)
    found = make(self_epochs=1, aware_epochs=1, **asked)
    (taught,) = sources
    bias = [network.get_layer("evidence").bias.numpy() for network in (run.model, taught)]
    assert bias[1] - bias[0] == pytest.approx(1e-3, abs=1e-5)
    assert len(found.work) == 2  # work for the run's own network, and for the one that came of it


@pytest.mark.usefixtures("slimmed")
def test_a_slim_network_says_how_it_came_about(make: Make) -> None:
    told: list[str] = []
    found = make(told=told, aware_epochs=0)
    (record,) = found.slimmed
    widths = {width.group: (width.before, width.after) for width in record.widths}
    assert widths == {"stem": (8, 8), "expand": (32, 16), "project": (16, 16)}
    assert (record.name, record.size_before, record.size_after) == (SLIM, 32, 32)
    assert (record.predicted_speed, record.timed_speed) == (4.2, 5.0)
    assert told == [
        "slim network: 50% of the channels at 32 px: timed here, before it is taught, it is 5.0 times as fast as int8, "
        "about 1 kB"
    ]
    assert all(work.is_dir() for work in found.work)


WRONG_TABLES = [
    pytest.param("no such file", None, "cannot be read as a table of layers", id="absent"),
    pytest.param("not JSON", "Pi 4", "cannot be read as a table of layers", id="no JSON"),
    pytest.param("another JSON", '{"format": 1}', "not a table of layers", id="another JSON"),
]


@pytest.mark.parametrize(("name", "content", "message"), WRONG_TABLES)
def test_a_wrong_device_table_is_refused_in_one_line(
    name: str, content: str | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=message) as refusal:
        device_table(ExportConfig(device_table=str(tmp_path / name)))
    assert "\n" not in str(refusal.value)
    assert "flora benchmark --layers" in str(refusal.value)


def test_no_table_is_asked_for_where_nothing_is_slimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that `accurate` works on machines of kinds that there is no table for."""
    monkeypatch.setattr("export.slimming.latency.MACHINES", {})
    assert device_table(ExportConfig(preset="accurate")) is None
    with pytest.raises(UsageError, match="there is no table of layers for this kind of machine"):
        device_table(ExportConfig())
