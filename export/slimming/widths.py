"""How many channels each group keeps, under limits on time and size.

In:  rankings of channels, weighed; a latency table of the device; limits: milliseconds of an invoke, bytes of the file.
Out: widths: channels left of each ranked group.

From a few channels in each, that group grows next whose channels undo most harm for what they cost. What costs time and
what costs bytes lie in different layers: early ones have nearly all the time, late ones nearly all the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edge.base.formats import Lasting, if_missing
from edge.errors import UsageError
from edge.machine.layers import ConvLayer
from export.network.outline import ADD, DEPTHWISE, STEM, Outline
from export.slimming.latency import LatencyTable
from export.slimming.ranking import Ranking

STEP = 8  # channels; kernels work in such blocks or in twice as many
FEWEST = 16  # below, the kernels gain nothing
BYTES_PER_CHANNEL, BYTES_PER_LAYER = 12, 560  # of a file, beside its weights: scales and biases; tables and names
BYTES_PER_ZERO_POINT = 8
BYTES_OF_FILE = 15_000  # card, golden cases, metadata and what the estimate is short of
PRICES = (0.0, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 3.0)  # of a share of the bytes against one of the time; the best is taken
BYTES_OF_RESIDUAL = 68  # per feature


@dataclass(frozen=True)
class Limits:
    """What a slim network may cost."""

    ms: float  # of one invoke, as the table predicts
    bytes: float


@dataclass(frozen=True)
class Shape(Lasting):
    """How slim a network is to be."""

    size: int  # side of its input, pixels
    widths: dict[str, int]
    ms: float  # predicted
    bytes: float  # predicted
    # foretold, before anything is learned anew: sum over the groups
    harm: float = field(metadata=if_missing(0.0))


def fit_widths(outline: Outline, rankings: Sequence[Ranking], size: int, table: LatencyTable, limits: Limits) -> Shape:
    """The widths that keep most of what is computed, within the limits. Raises UsageError when nothing does."""
    costs = _Costs(outline, size, table, limits)
    widths = _fewest(rankings)
    now = costs.of(widths)
    if not costs.allows(widths):
        raise UsageError(
            f"no network of {size} px is that small: with {FEWEST} channels in each group it takes {now.ms:.3g} ms and "
            f"{now.bytes / 1000:.0f} kB, allowed are {limits.ms:.3g} ms and {limits.bytes / 1000:.0f} kB; "
            "give a smaller --size, a lower --speed or a higher --max-kb"
        )
    grown = [_grown(rankings, widths, costs, price) for price in PRICES]
    best = min(grown, key=lambda found: _harm(rankings, found))
    return Shape(size, best, costs.of(best).ms, costs.of(best).bytes, _harm(rankings, best))


def narrowest(outline: Outline, rankings: Sequence[Ranking], size: int, table: LatencyTable) -> Shape:
    """The shape with the fewest channels: none is faster, none smaller."""
    widths, costs = _fewest(rankings), _Costs(outline, size, table, Limits(np.inf, np.inf))
    cost = costs.of(widths)
    return Shape(size, widths, cost.ms, cost.bytes, _harm(rankings, widths))


def _fewest(rankings: Sequence[Ranking]) -> dict[str, int]:
    return {ranking.group: min(FEWEST, len(ranking.order)) for ranking in rankings}


def _grown(rankings: Sequence[Ranking], widths: dict[str, int], costs: _Costs, price: float) -> dict[str, int]:
    """Add channels where they bring most, until nothing more fits."""
    growing = list(rankings)
    while growing := [r for r in growing if widths[r.group] < len(r.order) and costs.allows(_wider(widths, r))]:
        widths = _wider(widths, max(growing, key=partial(_worth, widths, costs, price)))
    return widths


def _harm(rankings: Sequence[Ranking], widths: Mapping[str, int]) -> float:
    return float(sum(_harms(r)[widths[r.group]] for r in rankings))


@dataclass(frozen=True)
class _Cost:
    ms: float
    bytes: float
    ms_share: float  # of the limit
    bytes_share: float


class _Costs:
    """What widths cost, each asked for once."""

    def __init__(self, outline: Outline, size: int, table: LatencyTable, limits: Limits) -> None:
        self._outline, self._size, self._table, self._limits = outline, size, table, limits
        self._known: dict[tuple[int, ...], _Cost] = {}

    def of(self, widths: Mapping[str, int]) -> _Cost:
        key = tuple(widths.values())
        if key not in self._known:
            layers = self._outline.layers(widths, self._size)
            ms, size = self._table.predict(layers), bytes_of(layers)
            self._known[key] = _Cost(ms, size, ms / self._limits.ms, size / self._limits.bytes)
        return self._known[key]

    def allows(self, widths: Mapping[str, int]) -> bool:
        cost = self.of(widths)
        return max(cost.ms_share, cost.bytes_share) <= 1.0


def bytes_of(layers: Sequence[ConvLayer]) -> float:
    """About how large the written int8 file of such layers is."""
    lengths = {layer.outputs for layer in layers}  # zero points are written once for each number of channels
    total = sum(map(_layer_bytes, layers)) + BYTES_PER_ZERO_POINT * sum(lengths)
    return BYTES_OF_FILE + total + BYTES_OF_RESIDUAL * _features(layers)


def _layer_bytes(layer: ConvLayer) -> int:
    if layer.kind == ADD:
        return BYTES_PER_LAYER // 2
    weights = {DEPTHWISE: 9 * layer.outputs, STEM: 27 * layer.outputs}.get(layer.kind, layer.inputs * layer.outputs)
    return weights + BYTES_PER_CHANNEL * layer.outputs + BYTES_PER_LAYER


def _features(layers: Sequence[ConvLayer]) -> int:
    """Channels that the head reads; it is the last layer."""
    return layers[-1].inputs


def _wider(widths: Mapping[str, int], ranking: Ranking) -> dict[str, int]:
    return {**widths, ranking.group: min(widths[ranking.group] + STEP, len(ranking.order))}


def _worth(widths: Mapping[str, int], costs: _Costs, price: float, ranking: Ranking) -> float:
    """Harm undone by a group's next few channels, for what they take of the limits."""
    wider = _wider(widths, ranking)
    before, after = costs.of(widths), costs.of(wider)
    taken = after.ms_share - before.ms_share + price * (after.bytes_share - before.bytes_share)
    harm = _harms(ranking)
    return float(harm[widths[ranking.group]] - harm[wider[ranking.group]]) / max(taken, 1e-9)


def _harms(ranking: Ranking) -> NDArray[np.float64]:
    return ranking.lost if ranking.harm is None else ranking.harm
