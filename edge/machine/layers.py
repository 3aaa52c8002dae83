"""How long single layers take on this machine: from this the exporter knows which channels are worth removing.

In:  models/layers.zip: tiny int8 networks of one layer each, several times side by side, and some of many layers.
Out: milliseconds of each with one thread, and JSON that holds them: the table of one kind of device.

A Raspberry Pi gets its table so: on the Pi `flora benchmark --layers pi4.json`; then, with that file on the
workstation, `flora export RUN --device-table pi4.json`. Nothing of it needs TensorFlow.
"""

from __future__ import annotations

import io
import json
import platform
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.base.board import Board
from edge.contract.frame import Clock
from edge.errors import ModelError
from edge.model.interpreter import loaded, runtime_version

ARCHIVE = Path(__file__).parents[1] / "models" / "layers.zip"
NETWORKS = "networks.json"  # its entry that says which layers each network has
SUFFIX = ".tflite"
KIND, MAJOR = "flora-layers-", 1  # a reader refuses a table whose major number is newer
FORMAT = f"{KIND}{MAJOR}"
SECONDS, FEWEST_ROUNDS = 30.0, 20
ALONE = 2 / 3  # of the time, for single layers
QUIET = 10  # percentile of the rounds that counts: the least is a lucky cache, the median on a busy machine other work


@dataclass(frozen=True)
class ConvLayer:
    """What a layer's time depends on."""

    kind: str  # stem (with the QUANTIZE before it), pointwise, depthwise or add
    side: int  # of the map that comes out, pixels
    inputs: int  # channels
    outputs: int  # channels
    stride: int


@dataclass(frozen=True)
class Probe:
    """A network to time: one layer, perhaps several times side by side on the same input, or many in a row."""

    name: str  # of its entry in the archive
    layers: tuple[ConvLayer, ...]
    copies: int = 1  # of a single layer


@dataclass(frozen=True)
class LayerTiming(ConvLayer):
    """How long one layer takes where it finds all that it reads in the cache."""

    ms: float


@dataclass(frozen=True)
class NetworkTiming:
    """How long many layers in a row take."""

    layers: tuple[ConvLayer, ...]
    ms: float


@dataclass(frozen=True)
class Timings:
    """What was measured on one device."""

    layers: tuple[LayerTiming, ...]
    networks: tuple[NetworkTiming, ...]


def single(layer: ConvLayer, copies: int) -> Probe:
    """The probe of one layer."""
    numbers = layer.side, layer.inputs, layer.outputs, layer.stride, copies
    return Probe("_".join([layer.kind, *map(str, numbers)]) + SUFFIX, (layer,), copies)


def read_probes(archive: Path = ARCHIVE) -> dict[Probe, bytes]:
    """The probes and their flatbuffers. Raises ModelError when the archive is missing or damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive.read_bytes())) as entries:
            networks = json.loads(entries.read(NETWORKS))
            names = [name for name in entries.namelist() if name != NETWORKS]
            return {_probe(name, networks.get(name)): entries.read(name) for name in names}
    except (OSError, zipfile.BadZipFile, LookupError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{archive}: the probes of layers cannot be read ({error}); expected the archive that Flora brings: "
            "install Flora again"
        ) from error


def time_probes(
    probes: Mapping[Probe, bytes],
    tick: Callable[[int, int], None] = lambda done, total: None,
    *,
    seconds: float = SECONDS,
    clock: Clock = time.perf_counter,
) -> Timings:
    """Time the probes in turns for about so long, at least 20 rounds. Raises ModelError for one that does not load."""
    singles = {probe: _ready(content, probe.name) for probe, content in probes.items() if len(probe.layers) == 1}
    networks = {probe: _ready(content, probe.name) for probe, content in probes.items() if len(probe.layers) > 1}
    alone_s = ALONE * seconds
    alone = _timed(singles, alone_s, clock, lambda spent: tick(spent, int(seconds)), warm=True)
    rest = _timed(
        networks, seconds - alone_s, clock, lambda spent: tick(int(alone_s) + spent, int(seconds)), warm=False
    )
    return Timings(
        tuple(LayerTiming(**asdict(probe.layers[0]), ms=s * 1e3 / probe.copies) for probe, s in alone.items()),
        tuple(NetworkTiming(probe.layers, s * 1e3) for probe, s in rest.items()),
    )


def _timed(
    interpreters: Mapping[Probe, Any],
    seconds: float,
    clock: Clock,
    tick: Callable[[int], None],
    *,
    warm: bool,
) -> dict[Probe, float]:
    """Seconds of an invoke of each; with `warm` each is invoked once more before.

    Warm, a layer finds its input in the cache, as within a network. A network on a device does not find its weights
    there, for other work was done between two frames: here, the other networks.
    """
    times: dict[Probe, list[float]] = {probe: [] for probe in interpreters}
    began, rounds = clock(), 0
    while interpreters and (rounds < FEWEST_ROUNDS or clock() - began < seconds):
        for probe, interpreter in interpreters.items():
            if warm:
                interpreter.invoke()
            started = clock()
            interpreter.invoke()
            times[probe].append(clock() - started)
        rounds += 1
        tick(min(int(clock() - began), int(seconds)))
    return {probe: float(np.percentile(found, QUIET)) for probe, found in times.items()}


def table_text(timings: Timings, device: str | None = None) -> str:
    """The JSON of a device's table, a line for each layer or network."""
    head = {
        "format": FORMAT,
        "device": device or Board().name(),
        "machine": platform.machine(),
        "runtime": runtime_version(),
        "threads": 1,
    }
    rows = [asdict(one) | {"ms": _rounded(one.ms)} for one in timings.layers]
    networks = [
        {"ms": _rounded(one.ms), "layers": [astuple(layer) for layer in one.layers]} for one in timings.networks
    ]
    return json.dumps(head)[:-1] + f', "rows": {_lines(rows)}, "networks": {_lines(networks)}}}\n'


def _lines(rows: Sequence[Any]) -> str:
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]"


def _rounded(ms: float) -> float:
    """To a nanosecond and no less."""
    return max(1e-6, round(ms, 6))


def _probe(name: str, layers: Sequence[Sequence[Any]] | None) -> Probe:
    if layers is not None:
        return Probe(name, tuple(ConvLayer(*layer) for layer in layers))
    kind, *numbers = name.removesuffix(SUFFIX).split("_")
    side, inputs, outputs, stride, copies = map(int, numbers)
    return single(ConvLayer(kind, side, inputs, outputs, stride), copies)


def _ready(flatbuffer: bytes, name: str) -> Any:
    """An interpreter with noise in its input."""
    interpreter = loaded(flatbuffer, name, 1)
    told = interpreter.get_input_details()[0]
    pixels = np.random.default_rng(0).integers(0, 128, told["shape"])  # within int8 and uint8 alike
    interpreter.set_tensor(told["index"], pixels.astype(told["dtype"]))
    return interpreter
