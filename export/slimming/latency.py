"""How long a network will take on a device, layer by layer, before it is made.

In:  a table of single layers measured on that kind of device, as `flora benchmark --layers pi4.json` writes it there
     (`flora export RUN --device-table pi4.json` reads it here); the layers of a network, as its Outline has them.
Out: milliseconds of one int8 invoke with one thread.

Kernels work on blocks of output pixels and channels and take as long for a part of a block as for all of it: where
blocks hold 16, a network is no faster with 20 channels than with 32. For each kind of layer the sizes of the blocks and
a few non-negative coefficients are fitted to the table, errors taken in percent. Alone, a layer finds its weights and
its code in the cache; in a network it does not: what that costs, by layer and by weight, is fitted to the networks.
"""

from __future__ import annotations

import itertools
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.formats import remark, require_readable
from edge.errors import UsageError
from edge.machine.layers import FORMAT, KIND, MAJOR, ConvLayer, LayerTiming, NetworkTiming, Timings
from export.network.outline import DEPTHWISE, KINDS, POINTWISE

Numbers = NDArray[np.float64]

TABLES = Path(__file__).parent / "tables"
MACHINES = {"x86_64": "x86-64", "AMD64": "x86-64"}  # what a machine calls its kind: the table that Flora brings for it
MEASURE = "measure one on the device with: flora benchmark --layers FILE.json"

PIXEL_BLOCKS = {POINTWISE: (1, 2, 4, 5, 6, 7, 8)}  # of a matrix product; the other kinds go pixel by pixel
CHANNEL_BLOCKS = (1, 4, 8, 16, 32)
FEWEST_ROWS = 4  # of each kind
FEWEST_NETWORKS = 3
MOST_ERROR = 0.1  # root mean square; 1 to 2 % where nothing else ran, 30 % on a busy machine
LARGEST, LEAST_MS, MOST_MS = 1 << 16, 1e-7, 1e6  # no layer comes near these
SIZES = ("side", "inputs", "outputs", "stride")
LAYER_FIELDS = 1 + len(SIZES)  # of one in a network: its kind and its sizes
HEAD = {"format", "device", "machine", "runtime", "threads", "rows", "networks"}  # what a table has


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class _Fit:
    """Milliseconds of one kind of layer: coefficients of what `_terms` counts, for kernels with these blocks."""

    kind: str
    pixels: int  # in a block
    channels: int  # in a block
    coefficients: Numbers  # milliseconds per unit of each term
    error: float  # root mean square, relative

    def ms(self, shapes: Numbers) -> Numbers:
        """Milliseconds (n,) of layers with these shapes (n, 4): side, inputs, outputs, stride."""
        return np.asarray(_terms(self.kind, shapes, self.pixels, self.channels) @ self.coefficients, np.float64)


class LatencyTable:
    """A device's table, ready to predict."""

    def __init__(self, timings: Timings, device: str = "", remarks: tuple[str, ...] = ()) -> None:
        """`remarks` are what a person should hear of the file that it comes from."""
        self.device, self.remarks = device, remarks
        self._fits = {kind: _fitted(kind, [row for row in timings.layers if row.kind == kind]) for kind in KINDS}
        counted = np.array([self._counted(network.layers).sum(axis=0) / network.ms for network in timings.networks])
        self._coefficients, self.error = _non_negative(counted)  # error: of the networks, relative root mean square

    @classmethod
    def read(cls, path: Path) -> LatencyTable:
        """Raises UsageError for a file that is not a table."""
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: cannot be read as a table of layers ({error}); {MEASURE}") from error
        timings = _timings(content, path)
        table = cls(timings, str(content.get("device", "")), remark(path, _unknown(content)))
        if table.error > MOST_ERROR:
            raise UsageError(
                f"{path}: its layers and its networks disagree by {table.error:.0%}, expected at most "
                f"{MOST_ERROR:.0%}, for the device did other work as well; {MEASURE}"
            )
        return table

    @classmethod
    def of_this_machine_kind(cls, machine: str | None = None) -> LatencyTable:
        """The table that Flora brings for machines such as this. Raises UsageError where it brings none."""
        kind = machine or platform.machine()
        if kind not in MACHINES:
            raise UsageError(f"{kind}: there is no table of layers for this kind of machine; {MEASURE}")
        return cls.read(TABLES / f"{MACHINES[kind]}.json")

    def predict(self, layers: Sequence[ConvLayer]) -> float:
        """Milliseconds of one invoke of a network of these layers."""
        return float(self.predict_each(layers).sum())

    def predict_each(self, layers: Sequence[ConvLayer]) -> Numbers:
        """Milliseconds (n,) of each layer within a network."""
        return np.asarray(self._counted(layers) @ self._coefficients, np.float64)

    def _counted(self, layers: Sequence[ConvLayer]) -> Numbers:
        """What a layer's time within a network is a sum of (n, 3): its time alone, a layer, its weights."""
        kinds = np.array([KINDS.index(layer.kind) for layer in layers])
        shapes = np.array([(layer.side, layer.inputs, layer.outputs, layer.stride) for layer in layers], np.float64)
        found = np.ones((len(layers), 3))
        found[:, 2] = shapes[:, 1] * shapes[:, 2] * (kinds == KINDS.index(POINTWISE))  # the others hardly have any
        for number, kind in enumerate(KINDS):
            chosen = kinds == number
            found[chosen, 0] = self._fits[kind].ms(shapes[chosen])
        return found


def _terms(kind: str, shapes: Numbers, pixel_block: int, channel_block: int) -> Numbers:
    """What a kind of layer's time is a sum of, (n, terms): a call, pixels, blocks, multiply-adds, bytes."""
    side, inputs, outputs, stride = shapes.T
    pixels, call = side * side, np.ones(len(shapes))
    channels = np.ceil(outputs / channel_block) * channel_block
    if kind == POINTWISE:
        rows = np.ceil(pixels / pixel_block) * pixel_block
        moved = pixels * (inputs + outputs)
        return np.stack([call, pixels, rows * channels, rows * channels * inputs, inputs * outputs, moved], axis=1)
    if kind == DEPTHWISE:
        return np.stack([call, pixels, pixels * channels, pixels * stride**2 * inputs], axis=1)
    return np.stack([call, pixels, pixels * channels], axis=1)


def _fitted(kind: str, rows: Sequence[LayerTiming]) -> _Fit:
    """The best of the fits with all sizes of blocks."""
    shapes = np.array([(row.side, row.inputs, row.outputs, row.stride) for row in rows], np.float64)
    ms = np.array([row.ms for row in rows])
    tries = []
    for pixels, channels in itertools.product(PIXEL_BLOCKS.get(kind, (1,)), CHANNEL_BLOCKS):
        relative = _terms(kind, shapes, pixels, channels) / ms[:, None]
        coefficients, error = _non_negative(relative)
        tries.append(_Fit(kind, pixels, channels, coefficients, error))
    return min(tries, key=lambda fit: fit.error)


def _non_negative(terms: Numbers) -> tuple[Numbers, float]:
    """Non-negative coefficients that bring terms (n, m) to 1, in least squares, and their root mean square error.

    Exact, by trying every set of terms that may be above 0: there are few.
    """
    count = terms.shape[1]
    best, least = np.zeros(count), float("inf")
    for size in range(1, count + 1):
        for chosen in map(list, itertools.combinations(range(count), size)):
            found = np.linalg.lstsq(terms[:, chosen], np.ones(len(terms)), rcond=None)[0]
            error = float(np.sqrt(((terms[:, chosen] @ found - 1) ** 2).mean()))
            if (found >= 0).all() and error < least:
                best, least = np.zeros(count), error
                best[chosen] = found
    return best, least


def _timings(content: Any, path: Path) -> Timings:
    """What a table's JSON holds, checked. Raises UsageError."""
    named = content.get("format", FORMAT) if isinstance(content, dict) else None
    if not isinstance(named, str) or not named.startswith(KIND):
        raise UsageError(f"{path}: not a table of layers; {MEASURE}")
    try:
        require_readable(named.removeprefix(KIND), MAJOR)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    rows, networks = content.get("rows"), content.get("networks")
    if not isinstance(rows, list) or not isinstance(networks, list) or len(networks) < FEWEST_NETWORKS:
        raise UsageError(f"{path}: lacks rows, or {FEWEST_NETWORKS} networks; {MEASURE}")
    layers = tuple(_layer_timing(row, path) for row in rows)
    for kind in KINDS:
        count = sum(row.kind == kind for row in layers)
        if count < FEWEST_ROWS:
            raise UsageError(f"{path}: {count} rows of kind {kind}, expected {FEWEST_ROWS} or more; {MEASURE}")
    return Timings(layers, tuple(_network_timing(network, path) for network in networks))


def _unknown(content: Mapping[str, Any]) -> list[str]:
    """Names in a table's JSON that this Flora does not know, each once; `_timings` has read it."""
    found = [name for name in content if name not in HEAD]
    found += [f"rows.{name}" for row in content["rows"] for name in row if name not in ("kind", *SIZES, "ms")]
    found += [f"networks.{name}" for row in content["networks"] for name in row if name not in ("layers", "ms")]
    found += ["networks.layers" for row in content["networks"] for layer in row["layers"] if len(layer) > LAYER_FIELDS]
    return list(dict.fromkeys(found))


def _layer_timing(row: Any, path: Path) -> LayerTiming:
    if not isinstance(row, dict):
        raise _strange(row, path)
    layer = _layer([row.get(field) for field in ("kind", *SIZES)], path)
    return LayerTiming(layer.kind, layer.side, layer.inputs, layer.outputs, layer.stride, _ms(row, path))


def _network_timing(network: Any, path: Path) -> NetworkTiming:
    if not isinstance(network, dict) or not isinstance(network.get("layers"), list) or not network["layers"]:
        raise _strange(network, path)
    return NetworkTiming(tuple(_layer(layer, path) for layer in network["layers"]), _ms(network, path))


def _layer(fields: Any, path: Path) -> ConvLayer:
    if not isinstance(fields, list) or len(fields) < LAYER_FIELDS or fields[0] not in KINDS:
        raise _strange(fields, path)
    kind, *sizes = fields[:LAYER_FIELDS]
    if not all(type(size) is int and 0 < size <= LARGEST for size in sizes):
        raise _strange(fields, path)
    return ConvLayer(kind, *sizes)


def _ms(row: Mapping[str, Any], path: Path) -> float:
    ms: Any = row.get("ms")
    if type(ms) not in (int, float) or not LEAST_MS <= ms <= MOST_MS:
        raise _strange(row, path)
    return float(ms)


def _strange(found: Any, path: Path) -> UsageError:
    text = json.dumps(found)
    return UsageError(f"{path}: holds {text:.80}, which is no timing of a layer; {MEASURE}")
