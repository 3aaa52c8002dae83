"""Widths under limits: kept, spent where they bring most, and refused in one line when they are too narrow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge.errors import UsageError
from edge.machine.layers import ConvLayer
from export.network.channels import groups, slim
from export.network.outline import Outline
from export.quantising import convert
from export.slimming import widths
from export.slimming.latency import LatencyTable
from export.slimming.ranking import Ranking
from export.slimming.widths import FEWEST, STEP, Limits, Shape, bytes_of, fit_widths
from tests.export import colours

SIZE = 96
NONE = float("inf")

Fit = Callable[..., Shape]


def ranking(group: str, channels: int, harm: float = 1.0, *, is_weighed: bool = True) -> Ranking:
    """A group that does so much harm when it is cut to nothing, less and less for each channel more."""
    lost = (1.0 - np.arange(channels + 1) / channels) ** 2
    nothing = np.zeros(channels)
    return Ranking(
        group, "", np.arange(channels), lost, nothing, np.diag(nothing), harm=harm * lost if is_weighed else None
    )


@pytest.fixture(scope="module")
def model() -> Any:
    return colours.stages(SIZE)


@pytest.fixture(scope="module")
def outline(model: Any) -> Outline:
    return Outline.of(model)


@pytest.fixture(scope="module")
def rankings(model: Any) -> tuple[Ranking, ...]:
    """With harms as different as those of real groups."""
    draws = np.random.default_rng(1)
    return tuple(ranking(group.name, group.channels, float(draws.uniform(0.2, 3.0))) for group in groups(model))


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    return LatencyTable.of_this_machine_kind("x86_64")


@pytest.fixture(scope="module")
def whole(outline: Outline, table: LatencyTable) -> Limits:
    """What the network costs as it is."""
    layers = outline.layers({}, SIZE)
    return Limits(table.predict(layers), bytes_of(layers))


@pytest.fixture
def fit(outline: Outline, rankings: tuple[Ranking, ...], table: LatencyTable, whole: Limits) -> Fit:
    """Widths for shares of what the whole network costs."""

    def call(ms: float = NONE, size: float = NONE, found: tuple[Ranking, ...] = rankings) -> Shape:
        return fit_widths(outline, found, SIZE, table, Limits(ms * whole.ms, size * whole.bytes))

    return call


@pytest.mark.parametrize("ms", [0.5, 0.75, NONE], ids="{} of the time".format)
@pytest.mark.parametrize("size", [0.4, 0.7, NONE], ids="{} of the bytes".format)
def test_limits_are_kept_and_used(
    ms: float, size: float, fit: Fit, outline: Outline, table: LatencyTable, whole: Limits
) -> None:
    shape = fit(ms, size)
    layers = outline.layers(shape.widths, SIZE)
    assert shape.ms == pytest.approx(table.predict(layers))
    assert shape.bytes == pytest.approx(bytes_of(layers))
    assert shape.ms <= ms * whole.ms
    assert shape.bytes <= size * whole.bytes
    if min(ms, size) < 1:
        assert shape.ms > 0.95 * ms * whole.ms or shape.bytes > 0.95 * size * whole.bytes
        assert shape.harm > 0
    assert shape.size == SIZE


def test_without_limits_all_channels_stay(fit: Fit, rankings: tuple[Ranking, ...], whole: Limits) -> None:
    shape = fit()
    assert shape.widths == {ranking.group: len(ranking.order) for ranking in rankings}
    assert shape.harm == 0
    assert shape.ms == pytest.approx(whole.ms)
    assert shape.bytes == pytest.approx(whole.bytes)


def test_widths_are_in_blocks_that_kernels_like(fit: Fit, rankings: tuple[Ranking, ...]) -> None:
    channels = {ranking.group: len(ranking.order) for ranking in rankings}
    for group, width in fit(0.5, 0.5).widths.items():
        assert width == channels[group] or (width >= FEWEST and (width - FEWEST) % STEP == 0)


@pytest.mark.parametrize("resource", ["ms", "size"])
def test_more_room_does_no_more_harm(resource: str, fit: Fit) -> None:
    """But for what one block of channels is worth: they are added one after another and never taken back."""
    harms = [fit(**{resource: share}).harm for share in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)]
    for wider, narrower in zip(harms[1:], harms[:-1], strict=True):
        assert wider <= 1.02 * narrower
    assert harms[-1] == 0


def test_of_all_prices_of_a_byte_the_best_is_taken(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    best, alone = fit(0.6, 0.5).harm, []
    for price in widths.PRICES:
        monkeypatch.setattr(widths, "PRICES", (price,))
        alone.append(fit(0.6, 0.5).harm)
    assert best == min(alone) < max(alone)


def kept(shape: Shape, rankings: tuple[Ranking, ...], groups_asked: tuple[str, ...]) -> float:
    return float(np.mean([shape.widths[r.group] / len(r.order) for r in rankings if r.group in groups_asked]))


def test_a_limit_on_bytes_cuts_late_layers_and_one_on_time_early_ones(fit: Fit, model: Any) -> None:
    alike = tuple(ranking(group.name, group.channels) for group in groups(model))
    early, late = ("stem", "wide_1"), ("wide_3", "last")
    small, fast = fit(size=0.5, found=alike), fit(ms=0.5, found=alike)
    assert kept(small, alike, early) > kept(small, alike, late) + 0.2
    assert kept(small, alike, early) > kept(fast, alike, early) + 0.2
    assert kept(fast, alike, late) > kept(small, alike, late) + 0.1


def test_what_does_no_harm_is_cut_first(fit: Fit, rankings: tuple[Ranking, ...]) -> None:
    spare = "wide_2"
    changed = tuple(ranking(r.group, len(r.order), 1e-6) if r.group == spare else r for r in rankings)
    before, after = fit(0.7, 0.7), fit(0.7, 0.7, changed)
    assert after.widths[spare] <= 2 * FEWEST < before.widths[spare]
    assert after.harm < before.harm


def test_rankings_that_were_not_weighed_count_by_what_is_lost(fit: Fit, rankings: tuple[Ranking, ...]) -> None:
    plain = tuple(ranking(r.group, len(r.order), is_weighed=False) for r in rankings)
    weighed = tuple(ranking(r.group, len(r.order), 1.0) for r in rankings)
    assert fit(0.6, 0.6, plain) == fit(0.6, 0.6, weighed)


@pytest.mark.parametrize(("ms", "size"), [(0.01, NONE), (NONE, 0.01)], ids=["time", "bytes"])
def test_impossible_limits_are_refused_in_one_line(ms: float, size: float, fit: Fit) -> None:
    expected = (
        r"^no network of 96 px is that small: with 16 channels in each group it takes 0\.\d+ ms and \d+ kB, allowed "
        r"are [^\n]* ms and [^\n]* kB; give a smaller --size, a lower --speed or a higher --max-kb$"
    )
    with pytest.raises(UsageError, match=expected):
        fit(ms, size)


@pytest.mark.parametrize("divisor", [1, 3], ids=["whole", "a third of the channels"])
@pytest.mark.parametrize("is_residual", [False, True], ids=["blocks", "a sum"])
def test_bytes_are_those_of_a_converted_file(is_residual: bool, divisor: int, model: Any) -> None:
    """What finishing adds is counted too: residual and card, about 5 kB here and 68 bytes for each feature."""
    network = colours.network() if is_residual else model
    size = int(network.input_shape[1])
    channels = {group.name: max(8, group.channels // divisor) for group in groups(network)}
    thin = slim(network, {name: np.arange(width) for name, width in channels.items()})
    pictures = np.random.default_rng(2).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    layers = Outline.of(network).layers(channels, size)
    written = len(convert.convert_int8(thin, pictures)) + 68 * layers[-1].inputs + 5_000
    assert written <= bytes_of(layers) <= 1.02 * written + 10_000


def test_layers_with_as_many_channels_share_their_zero_points() -> None:
    alike, others = (
        [ConvLayer("pointwise", 7, inputs, outputs, 1) for inputs, outputs in zip((32, 64, 64), made, strict=True)]
        for made in ((64, 64, 64), (64, 48, 80))
    )
    assert bytes_of(others) - bytes_of(alike) == 8 * (48 + 80)  # as many weights, channels and layers in both
