"""What a device's table foretells: planted kernels are found, layers are those of Keras, nonsense is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import UsageError
from edge.machine.layers import KIND, MAJOR, ConvLayer, LayerTiming, NetworkTiming, Timings, table_text
from export.slimming.latency import TABLES, LatencyTable

CALL_MS, WEIGHT_MS, SHARE = 7e-4, 2e-8, 0.9  # what a layer costs in a network beside its share of the time alone


def planted_ms(layer: ConvLayer) -> float:
    """A made-up device: its kernels work on 16 channels, and its products on 4 pixels at a time."""
    pixels, blocks = layer.side**2, math.ceil(layer.outputs / 16)
    if layer.kind == "pointwise":
        return 1e-4 + 1e-6 * math.ceil(pixels / 4) * blocks * (1 + layer.inputs / 8)
    return 1e-4 + 1e-6 * pixels * blocks * {"stem": 3, "depthwise": 2, "add": 1}[layer.kind]


def planted_network_ms(layers: tuple[ConvLayer, ...]) -> float:
    weights = sum(layer.inputs * layer.outputs for layer in layers if layer.kind == "pointwise")
    return SHARE * sum(map(planted_ms, layers)) + CALL_MS * len(layers) + WEIGHT_MS * weights


def drawn(kind: str, count: int, seed: int) -> tuple[ConvLayer, ...]:
    """Layers of any sides and channels."""
    draws = np.random.default_rng([seed, len(kind)])
    layers = []
    for _ in range(count):
        side, inputs, outputs = int(draws.integers(3, 60)), int(draws.integers(8, 400)), int(draws.integers(8, 400))
        inputs = {"stem": 3, "pointwise": inputs}.get(kind, outputs)
        layers.append(ConvLayer(kind, side, inputs, outputs, 2 if kind == "stem" else 1))
    return tuple(layers)


def all_kinds(count: int, seed: int) -> tuple[ConvLayer, ...]:
    return tuple(layer for kind in ("stem", "pointwise", "depthwise", "add") for layer in drawn(kind, count, seed))


def planted_timings() -> Timings:
    rows = tuple(LayerTiming(**asdict(layer), ms=planted_ms(layer)) for layer in all_kinds(25, seed=0))
    networks = [all_kinds(count, seed) for count, seed in ((2, 1), (5, 2), (9, 3), (14, 4))]
    return Timings(rows, tuple(NetworkTiming(layers, planted_network_ms(layers)) for layers in networks))


@pytest.fixture(scope="module")
def planted() -> LatencyTable:
    return LatencyTable(planted_timings())


@pytest.fixture(scope="module")
def packaged() -> LatencyTable:
    return LatencyTable.of_this_machine_kind("x86_64")


def test_layers_that_were_never_timed_are_foretold(planted: LatencyTable) -> None:
    layers = all_kinds(20, seed=9)
    wanted = [planted_network_ms((layer,)) for layer in layers]
    assert planted.predict_each(layers) == pytest.approx(wanted, rel=0.01)
    assert planted.predict(layers) == pytest.approx(sum(wanted), rel=0.01)
    assert planted.error < 1e-6


@pytest.mark.parametrize("kind", ["stem", "pointwise", "depthwise"])
def test_channels_within_a_block_cost_the_same_and_the_next_block_more(kind: str, planted: LatencyTable) -> None:
    """A pointwise layer's weights cost something all the same."""
    ms = planted.predict_each([ConvLayer(kind, 56, 3, outputs, 1) for outputs in (17, 32, 33)])
    assert ms[0] == pytest.approx(ms[1], rel=2e-3)
    assert ms[2] > 1.1 * ms[1]


def test_a_table_survives_its_file(planted: LatencyTable, tmp_path: Path) -> None:
    path = tmp_path / "here.json"
    path.write_text(table_text(planted_timings(), "Pi"))
    read, layers = LatencyTable.read(path), all_kinds(3, seed=9)
    assert read.device == "Pi"
    assert read.predict(layers) == pytest.approx(planted.predict(layers), rel=1e-3)


def test_the_packaged_table_agrees_with_its_own_networks(packaged: LatencyTable) -> None:
    content = json.loads((TABLES / "x86-64.json").read_bytes())
    assert packaged.error < 0.02
    for row in content["networks"]:
        assert packaged.predict([ConvLayer(*layer) for layer in row["layers"]]) == pytest.approx(row["ms"], rel=0.03)


@pytest.mark.parametrize("kind", ["stem", "pointwise", "depthwise", "add"])
def test_no_layer_gets_faster_with_more_channels_or_pixels(kind: str, packaged: LatencyTable) -> None:
    for layer in drawn(kind, 30, seed=5):
        wider = ConvLayer(kind, layer.side, layer.inputs, layer.outputs + 8, layer.stride)
        larger = ConvLayer(kind, layer.side + 1, layer.inputs, layer.outputs, layer.stride)
        ms = packaged.predict_each([layer, wider, larger])
        assert 0 < ms[0] <= min(ms[1:])


def content(**changes: Any) -> dict[str, Any]:
    return dict(json.loads(table_text(planted_timings()))) | changes


def first_row(**changes: Any) -> dict[str, Any]:
    rows = [asdict(row) for row in planted_timings().layers]
    return content(rows=[rows[0] | changes, *rows[1:]])


def busy() -> dict[str, Any]:
    """Networks timed while the machine did other work, now and then."""
    networks = content()["networks"]
    return content(networks=[row | {"ms": row["ms"] * (3 if i % 2 else 1)} for i, row in enumerate(networks)])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (lambda: "not JSON {", "cannot be read as a table"),
        (lambda: [1], "not a table of layers"),
        (lambda: content(format="other"), "not a table of layers"),
        (lambda: content(rows=None), "lacks rows"),
        (lambda: content(networks=[]), "lacks rows, or 3 networks"),
        (lambda: content(rows=content()["rows"][25:]), "0 rows of kind stem, expected 4 or more"),
        (lambda: first_row(kind="dense"), "which is no timing"),
        (lambda: first_row(side=0), "which is no timing"),
        (lambda: first_row(inputs=2.5), "which is no timing"),
        (lambda: first_row(outputs=10**9), "which is no timing"),
        (lambda: first_row(ms=0), "which is no timing"),
        (lambda: first_row(ms=float("nan")), "which is no timing"),
        (lambda: first_row(ms=True), "which is no timing"),
        (lambda: content(networks=[{"ms": 1.0, "layers": []}] * 3), "which is no timing"),
        (lambda: content(networks=[{"ms": 1.0, "layers": [["stem", 3]]}] * 3), "which is no timing"),
        (lambda: content(networks=[{"layers": [["stem", 8, 3, 8, 2]]}] * 3), "which is no timing"),
        (busy, r"disagree by \d+%, expected at most 10%"),
    ],
    ids=[
        "no JSON", "a list", "another format", "no rows", "no networks", "no stem", "strange kind", "no side",
        "half a channel", "endless channels", "no time", "NaN", "true", "an empty network",
        "a strange layer", "a network without time", "measured on a busy machine",
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_in_one_line(table: Callable[[], Any], message: str, tmp_path: Path) -> None:
    path, found = tmp_path / "bad.json", table()
    path.write_text(found if isinstance(found, str) else json.dumps(found))
    with pytest.raises(
        UsageError, match=rf"^[^\n]*bad\.json: [^\n]*{message}[^\n]*flora benchmark --layers FILE.json$"
    ):
        LatencyTable.read(path)


def test_what_is_not_known_of_a_table_is_told_in_one_line(tmp_path: Path) -> None:
    path, more = tmp_path / "table.json", content()
    more["rows"][0]["note"] = "warm"
    networks = [{**row, "layers": [[*layer, 3] for layer in row["layers"]], "mood": 1} for row in more["networks"]]
    path.write_text(json.dumps(more | {"networks": networks, "clock_mhz": 1500, "format": f"{KIND}{MAJOR}.4"}))
    table, layers = LatencyTable.read(path), all_kinds(3, seed=9)
    assert table.remarks == (
        f"{path}: holds what this Flora does not know and leaves as it is: "
        "clock_mhz, rows.note, networks.mood, networks.layers",
    )
    path.write_text(json.dumps(content()))
    assert LatencyTable.read(path).remarks == ()
    assert LatencyTable.read(path).predict(layers) == table.predict(layers)


@pytest.mark.parametrize("name", ["format", "device", "machine", "runtime", "threads"])
def test_a_table_that_says_less_is_read(name: str, tmp_path: Path) -> None:
    found = content()
    del found[name]
    (tmp_path / "table.json").write_text(json.dumps(found))
    assert LatencyTable.read(tmp_path / "table.json").device == ("" if name == "device" else content()["device"])


def test_a_table_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(json.dumps(content(format=f"{KIND}{MAJOR + 1}")))
    with pytest.raises(UsageError, match=r"table\.json: is of format 2, this Flora reads format 1; update Flora$"):
        LatencyTable.read(tmp_path / "table.json")


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.json: cannot be read as a table of layers"):
        LatencyTable.read(tmp_path / "none.json")


def test_a_kind_of_machine_without_a_table_is_told_how_to_get_one() -> None:
    with pytest.raises(UsageError, match=r"^riscv64: there is no table .* flora benchmark --layers FILE\.json$"):
        LatencyTable.of_this_machine_kind("riscv64")
