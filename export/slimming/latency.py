"""How long a network will take on a device, layer by layer, before it is made.

In:  a table of single layers measured on that kind of device, as `flora benchmark --layers pi4.json` writes it there
     (`flora export RUN --device-table pi4.json` reads it here); a network, how many channels its groups keep, its size.
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

from edge.errors import ModelError, UsageError
from edge.machine.layers import FORMAT, LayerTiming, NetworkTiming, Timings
from edge.machine.layers import ConvLayer as ConvLayer
from export.network.channels import _makers, _sources, groups
from training.network.keras import keras

Numbers = NDArray[np.float64]

TABLES = Path(__file__).parent / "tables"
MACHINES = {"x86_64": "x86-64", "AMD64": "x86-64"}  # what a machine calls its kind: the table that Flora brings for it
MEASURE = "measure one on the device with: flora benchmark --layers FILE.json"

STEM, POINTWISE, DEPTHWISE, ADD = KINDS = ("stem", "pointwise", "depthwise", "add")
PIXEL_BLOCKS = {POINTWISE: (1, 2, 4, 5, 6, 7, 8)}  # of a matrix product; the other kinds go pixel by pixel
CHANNEL_BLOCKS = (1, 4, 8, 16, 32)
FEWEST_ROWS = 4  # of each kind
FEWEST_NETWORKS = 3
MOST_ERROR = 0.1  # root mean square; 1 to 2 % where nothing else ran, 30 % on a busy machine
LARGEST, LEAST_MS, MOST_MS = 1 << 16, 1e-7, 1e6  # no layer comes near these
SIZES = ("side", "inputs", "outputs", "stride")


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

    def __init__(self, timings: Timings, device: str = "") -> None:
        self.device = device
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
        table = cls(_timings(content, path), str(content.get("device", "")))
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
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UsageError(f"{path}: not a table of layers; {MEASURE}")
    rows, networks = content.get("rows"), content.get("networks")
    if not isinstance(rows, list) or not isinstance(networks, list) or len(networks) < FEWEST_NETWORKS:
        raise UsageError(f"{path}: lacks rows, or {FEWEST_NETWORKS} networks; {MEASURE}")
    layers = tuple(_layer_timing(row, path) for row in rows)
    for kind in KINDS:
        count = sum(row.kind == kind for row in layers)
        if count < FEWEST_ROWS:
            raise UsageError(f"{path}: {count} rows of kind {kind}, expected {FEWEST_ROWS} or more; {MEASURE}")
    return Timings(layers, tuple(_network_timing(network, path) for network in networks))


def _layer_timing(row: Any, path: Path) -> LayerTiming:
    if not isinstance(row, dict) or set(row) != {"kind", *SIZES, "ms"}:
        raise _strange(row, path)
    layer = _layer([row[field] for field in ("kind", *SIZES)], path)
    return LayerTiming(layer.kind, layer.side, layer.inputs, layer.outputs, layer.stride, _ms(row, path))


def _network_timing(network: Any, path: Path) -> NetworkTiming:
    if not isinstance(network, dict) or not isinstance(network.get("layers"), list) or not network["layers"]:
        raise _strange(network, path)
    return NetworkTiming(tuple(_layer(layer, path) for layer in network["layers"]), _ms(network, path))


def _layer(fields: Any, path: Path) -> ConvLayer:
    if not isinstance(fields, list) or len(fields) != 1 + len(SIZES) or fields[0] not in KINDS:
        raise _strange(fields, path)
    if not all(type(size) is int and 0 < size <= LARGEST for size in fields[1:]):
        raise _strange(fields, path)
    return ConvLayer(*fields)


def _ms(row: Mapping[str, Any], path: Path) -> float:
    ms: Any = row.get("ms")
    if type(ms) not in (int, float) or not LEAST_MS <= ms <= MOST_MS:
        raise _strange(row, path)
    return float(ms)


def _strange(found: Any, path: Path) -> UsageError:
    text = json.dumps(found)
    return UsageError(f"{path}: holds {text:.80}, which is no timing of a layer; {MEASURE}")


@dataclass(frozen=True)
class _Step:
    """One layer of a network that has a time or changes the side of the map."""

    name: str
    kind: str  # "" takes no time of its own
    source: str  # name of the layer whose output it takes
    inputs: str  # group of the channels that go in; "" is the picture
    outputs: str  # group of the channels that come out
    kernel: int
    stride: int
    padding: int  # pixels on both edges together; -1: as many as keep the side

    def side(self, before: int) -> int:
        """Of the map that comes out."""
        if self.padding < 0:
            return -(-before // self.stride)
        return (before + self.padding - self.kernel) // self.stride + 1


@dataclass(frozen=True)
class Outline:
    """What of a network decides its time: made once, then asked for many widths and sizes."""

    steps: tuple[_Step, ...]
    channels: Mapping[str, int]  # of each group, and of the head and the picture

    @classmethod
    def of(cls, model: Any) -> Outline:
        """Raises ModelError for layers that no table has."""
        made = _makers(model)
        channels = {"": int(model.input_shape[-1])} | {group.name: group.channels for group in groups(model)}
        for layer in model.layers:
            channels.setdefault(made[layer.name], int(layer.output_shape[-1]) if made[layer.name] else 0)
        return cls(tuple(_step(layer, made) for layer in model.layers if _sources(layer)), channels)

    def layers(self, widths: Mapping[str, int], size: int) -> tuple[ConvLayer, ...]:
        """The layers, with so many channels left of each group that is named, at this side of the input."""
        channels = {**self.channels, **widths}
        sides: dict[str, int] = {}
        found = []
        for step in self.steps:
            side = sides[step.name] = step.side(sides.get(step.source, size))
            inputs, outputs = channels[step.inputs], channels[step.outputs]
            if step.kind == POINTWISE:
                found.append(ConvLayer(POINTWISE, side, inputs * step.kernel**2, outputs, 1))
            elif step.kind:
                found.append(ConvLayer(step.kind, side, inputs, outputs, step.stride))
        return tuple(found)


def layers_of(model: Any, widths: Mapping[str, int], size: int) -> tuple[ConvLayer, ...]:
    """A flat Keras network's layers, with so many channels left of each group that is named in `widths`.

    `size` is the side of its input. Ask `Outline.of(model)` when there is more than one question.
    """
    return Outline.of(model).layers(widths, size)


def _step(layer: Any, made: Mapping[str, str]) -> _Step:
    source = _sources(layer)[0]
    kernel, stride, padding = _window(layer)
    return _Step(layer.name, _kind(layer), source, made[source], made[layer.name], kernel, stride, padding)


def _window(layer: Any) -> tuple[int, int, int]:
    """Kernel, stride and padding of a layer."""
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return 1, 1, sum(layer.padding[0])
    if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
        return layer.kernel_size[0], layer.strides[0], -1 if layer.padding == "same" else 0
    return 1, 1, 0


def _kind(layer: Any) -> str:
    if isinstance(layer, keras.layers.Add):
        return ADD
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        if layer.kernel_size != (3, 3):
            raise ModelError(
                f"{layer.name}: a depthwise kernel of {layer.kernel_size}; expected 3 x 3, as in MobileNets"
            )
        return DEPTHWISE
    if not isinstance(layer, keras.layers.Conv2D):
        return ""
    return STEM if layer.kernel_size == (3, 3) and layer.strides == (2, 2) else POINTWISE
