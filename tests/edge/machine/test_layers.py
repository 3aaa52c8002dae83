"""Timing single layers: the archive of probes, the rounds, and the table that is written."""

from __future__ import annotations

import io
import itertools
import json
import platform
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.errors import ModelError
from edge.machine.layers import (
    ARCHIVE,
    NETWORKS,
    ConvLayer,
    LayerTiming,
    NetworkTiming,
    Probe,
    Timings,
    read_probes,
    single,
    table_text,
    time_probes,
)
from edge.model.interpreter import loaded
from tests.making import layer_probes

POINTWISE, DEPTHWISE = ConvLayer("pointwise", 4, 8, 16, 1), ConvLayer("depthwise", 2, 16, 16, 2)
ROW = Probe("row.tflite", (POINTWISE, DEPTHWISE))


def ticking(step_s: Callable[[int], float]) -> Callable[[], float]:
    """A clock whose n-th reading comes step_s(n) after the one before."""
    readings = itertools.accumulate(step_s(number) for number in itertools.count())
    return lambda: next(readings)


def flatbuffers(*probes: Probe) -> dict[Probe, bytes]:
    return {probe: layer_probes.network(probe) for probe in probes}


def test_the_archive_holds_what_its_script_makes() -> None:
    assert read_probes(ARCHIVE) == flatbuffers(*layer_probes.grid())


def test_the_archive_covers_every_kind_of_layer_and_is_small() -> None:
    probes = read_probes()
    alone = [probe.layers[0] for probe in probes if len(probe.layers) == 1]
    assert {layer.kind for layer in alone} == {"stem", "pointwise", "depthwise", "add"}
    assert {3, 7, 14, 28, 56, 112} <= {layer.side for layer in alone}
    assert sum(len(probe.layers) > 1 for probe in probes) >= 3
    assert ARCHIVE.stat().st_size <= 200_000


@pytest.mark.parametrize("is_random", [False, True], ids=["zeros", "random weights"])
@pytest.mark.parametrize("kind", ["stem", "pointwise", "depthwise", "add"])
def test_a_probe_puts_out_the_layer_as_often_as_it_says(kind: str, is_random: bool) -> None:
    layer = {"stem": ConvLayer("stem", 8, 3, 16, 2), "pointwise": POINTWISE, "depthwise": DEPTHWISE}.get(
        kind, ConvLayer("add", 4, 8, 8, 1)
    )
    weights = np.random.default_rng(0) if is_random else None
    interpreter = loaded(layer_probes.network(single(layer, 3), weights), kind, 1)
    assert list(interpreter.get_input_details()[0]["shape"]) == [1, *[layer.side * layer.stride] * 2, layer.inputs]
    assert [list(output["shape"]) for output in interpreter.get_output_details()] == [
        [1, layer.side, layer.side, layer.outputs]
    ] * 3


def test_a_layer_takes_its_part_of_the_copies_and_a_network_all_of_its_time() -> None:
    probes = flatbuffers(single(POINTWISE, 4), single(DEPTHWISE, 1), ROW)
    found = time_probes(probes, seconds=0.0, clock=ticking(lambda number: 1.0))
    assert found.layers == (
        LayerTiming("pointwise", 4, 8, 16, 1, 250.0),
        LayerTiming("depthwise", 2, 16, 16, 2, 1000.0),
    )
    assert found.networks == (NetworkTiming((POINTWISE, DEPTHWISE), 1000.0),)


@pytest.mark.parametrize(("quiet", "ms"), [(1, 5000), (4, 2000)], ids=["one lucky round", "four quiet rounds"])
def test_quiet_rounds_count_and_a_lucky_one_does_not(quiet: int, ms: float) -> None:
    steps = itertools.chain([5.0] * 11, [2.0, 5.0, 5.0] * quiet, itertools.repeat(5.0))  # a round has three
    found = time_probes(flatbuffers(single(POINTWISE, 1)), seconds=0.0, clock=ticking(lambda number: next(steps)))
    assert found.layers[0].ms == pytest.approx(ms, rel=0.1)


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 20), (300.0, 55)], ids=["at least 20", "until the time is up"])
def test_rounds_go_on_until_the_time_is_up(seconds: float, rounds: int) -> None:
    """Single layers have two thirds of the time; a round reads this clock four times, the first 20 three times."""
    told: list[tuple[int, int]] = []
    time_probes(
        flatbuffers(single(POINTWISE, 1)),
        lambda done, total: told.append((done, total)),
        seconds=seconds,
        clock=ticking(lambda number: 1.0),
    )
    assert len(told) == pytest.approx(rounds, abs=1)
    assert (max(done for done, _ in told), {total for _, total in told}) == (int(seconds * 2 / 3), {int(seconds)})


def test_a_table_tells_the_device_and_has_a_line_for_each() -> None:
    text = table_text(
        Timings((LayerTiming("pointwise", 4, 8, 16, 1, 1e-9),), (NetworkTiming((DEPTHWISE,), 2.0),)), "Pi"
    )
    table = json.loads(text)
    assert (table["device"], table["machine"], table["threads"]) == ("Pi", platform.machine(), 1)
    assert table["rows"] == [{"kind": "pointwise", "side": 4, "inputs": 8, "outputs": 16, "stride": 1, "ms": 1e-6}]
    assert table["networks"] == [{"ms": 2.0, "layers": [["depthwise", 2, 16, 16, 2]]}]
    assert len(text.splitlines()) == 5


def archives() -> Iterator[tuple[str, dict[str, bytes] | bytes | None]]:
    yield "missing", None
    yield "no zip", b"PK but nothing else"
    yield "no list of networks", {single(POINTWISE, 1).name: b""}
    yield "a list that is no list", {NETWORKS: b"[]", single(POINTWISE, 1).name: b""}
    yield "a strange name", {NETWORKS: b"{}", "pointwise_4_x.tflite": b""}
    yield "a strange network", {NETWORKS: b'{"a.tflite": [[1, 2]]}', "a.tflite": b""}


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in archives()])
def test_a_damaged_archive_is_one_line(content: dict[str, bytes] | bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "layers.zip"
    if isinstance(content, dict):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        content = packed.getvalue()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"^[^\n]+layers\.zip: the probes [^\n]+ install Flora again$"):
        read_probes(path)
