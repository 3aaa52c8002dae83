"""Which channels a network can do without: those that the others can stand in for.

In:  a flat Keras network and pictures RGB uint8 (n, N, N, 3) as a device would see them.
Out: for each group of channels a ranking, and networks with fewer channels that compute nearly what it computes.

The layer that reads a group's channels is a 1x1 convolution, so what it puts out without some of them is a matter of
least squares: the weights of those that are left are fitted anew to what came out before (as in He et al. 2017). The
channel that explains most of what is still missing comes next in the ranking. Each group is fitted to what the whole
network computes, not to what the cuts before it have left.

A fit has the mean of what it stands in for (the bias behind it sees to that) and less of its variance, by the share
that is lost. BatchNorm's variance is left alone all the same: to scale the outputs up to the old variance would move
them away from the old outputs, to which least squares has brought them as near as they come. A BatchNorm that learns
afterwards takes its statistics from the new network within some tens of batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.network.channels import Kept, consumers, groups, head_of, slim, source_of
from training.network.inference import normalise, predict
from training.network.keras import keras, tf

Matrix = NDArray[np.float64]

BATCH = 16  # pictures
POSITIONS = 512  # of the maps of a batch, drawn at random
RIDGE = 1e-4  # of the channels' mean variance: keeps the fitted weights from exploding
TRIAL_SHARE = 0.2  # of a reader's variance, lost in one group to see what harm it does
LEAST = 1e-7  # probability, and share
HEAD_WEIGHT = 10.0  # of the classes against one feature, both in standard deviations


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Ranking:
    """A group's channels, in the order in which they are worth keeping."""

    group: str
    consumer: str  # name of the convolution that reads them
    order: Kept  # (channels,)
    lost: Matrix  # (channels + 1,): share of the variance of what is computed from them, with the first k kept
    mean: Matrix  # (channels,)
    covariance: Matrix  # (channels, channels)
    harm: Matrix | None = None  # (channels + 1,): foretold divergence of the answers with the first k kept


def rank(model: Any, pictures: NDArray[np.uint8], step: Callable[[int, int], None] = lambda done, total: None,
         seed: int = 0) -> tuple[Ranking, ...]:  # fmt: skip
    """Rank the channels of every group that one 1x1 convolution reads.

    Others have no rank, as those of residual sums, which several read: MobileNetV2's blocks lose channels inside, and
    where no residual passes. MobileNetV1 has no residuals, so all its groups are ranked. The maps are those of `model`
    with an input of the pictures' size.
    """
    readers = _readers(model)
    if not readers:
        return ()
    moments = _moments(slim(model, {}, pictures.shape[1]), readers, pictures, step, seed)
    head = head_of(model)
    return tuple(_ranked(group, reader, *moments[group], is_head=reader is head) for group, reader in readers.items())


def weigh(
    model: Any, rankings: Sequence[Ranking], pictures: NDArray[np.uint8],
    step: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Ranking, ...]:  # fmt: skip
    """The rankings with the harm that cuts in each group do: divergence of the answers, in nats.

    A block with a residual connection may lose a fifth of its variance almost unpunished, the first block of a stage
    not. One group after another is cut to where that share is lost, and the answers are compared; from there harm is
    taken to grow with the square of the share, so that no group is cut to nothing.
    """
    size = pictures.shape[1]
    whole = predict(slim(model, {}, size), pictures).astype(np.float64)
    found = []
    for number, ranking in enumerate(rankings, 1):
        width = _trial_width(ranking)
        cut = predict(reconstruct(model, rankings, {ranking.group: width}, size), pictures).astype(np.float64)
        harm = float((whole * (np.log(whole + LEAST) - np.log(cut + LEAST))).sum(axis=1).mean())
        share = ranking.lost / max(float(ranking.lost[width]), LEAST)
        found.append(replace(ranking, harm=max(harm, 0.0) * share**2))  # rounding may leave a little less than nothing
        step(number, len(rankings))
    return tuple(found)


def _trial_width(ranking: Ranking) -> int:
    """How many channels are left where TRIAL_SHARE is lost; at least one channel less than all."""
    return max(1, min(int(np.argmax(ranking.lost <= TRIAL_SHARE)), len(ranking.order) - 1))


def reconstruct(model: Any, rankings: Iterable[Ranking], widths: Mapping[str, int], size: int) -> Any:
    """The network with the best `widths` channels of each group named, and the weights behind them fitted anew."""
    cut = [ranking for ranking in rankings if widths.get(ranking.group, len(ranking.order)) < len(ranking.order)]
    kept = {ranking.group: np.sort(ranking.order[: widths[ranking.group]]) for ranking in cut}
    thin = slim(model, kept, size)
    made_in = {convolution: group.name for group in groups(model) for convolution in group.convolutions}
    for ranking in cut:
        reader = model.get_layer(ranking.consumer)
        kernel = reader.get_weights()[0][0, 0].astype(np.float64)
        left = kept[ranking.group]
        fitted = _fitted(ranking.covariance, left, kernel)
        missing = ranking.mean @ kernel - ranking.mean[left] @ fitted
        outputs = kept.get(made_in.get(reader.name, ""), np.arange(kernel.shape[1]))
        _replace(thin, reader.name, fitted[:, outputs], missing[outputs])
    return thin


def _readers(model: Any) -> dict[str, Any]:
    """The one 1x1 convolution that reads each group, where there is just one and its mean can be corrected."""
    found = {group.name: consumers(model, group.name) for group in groups(model)}
    return {
        name: layers[0]
        for name, layers in found.items()
        if len(layers) == 1 and layers[0].kernel_size == (1, 1) and (layers[0].use_bias or _norm_behind(layers[0]))
    }


def _moments(
    model: Any, readers: Mapping[str, Any], pictures: NDArray[np.uint8], step: Callable[[int, int], None], seed: int
) -> dict[str, tuple[Matrix, Matrix]]:
    """Mean and covariance of each group's channels, as the layer that reads them sees them."""
    seen = [source_of(model, reader.name).output for reader in readers.values()]
    network = keras.Model(model.input, seen)
    ask = tf.function(lambda batch: network(batch, training=False), reduce_retracing=True)
    draws, head = np.random.default_rng(seed), head_of(model).name
    sums = {name: _Sums(map_.shape[-1]) for name, map_ in zip(readers, seen, strict=True)}
    for start in range(0, len(pictures), BATCH):
        maps = tf.nest.flatten(ask(tf.constant(normalise(pictures[start : start + BATCH]))))
        for (name, reader), map_ in zip(readers.items(), maps, strict=True):
            sums[name].add(_rows(map_.numpy().astype(np.float64), draws, is_pooled=reader.name == head))
        step(min(start + BATCH, len(pictures)), len(pictures))
    return {name: found.moments() for name, found in sums.items()}


class _Sums:
    """Running sums of rows (m, channels)."""

    def __init__(self, channels: int) -> None:
        self.rows, self.total, self.products = 0, np.zeros(channels), np.zeros((channels, channels))

    def add(self, rows: Matrix) -> None:
        self.rows += len(rows)
        self.total += rows.sum(axis=0)
        self.products += rows.T @ rows

    def moments(self) -> tuple[Matrix, Matrix]:
        """Mean and covariance."""
        mean = self.total / self.rows
        return mean, self.products / self.rows - np.outer(mean, mean)


def _rows(map_: Matrix, draws: np.random.Generator, *, is_pooled: bool) -> Matrix:
    """Channels (m, C) of a few positions of maps (n, h, w, C); the head reads their mean over the map."""
    if is_pooled:
        return np.asarray(map_.mean(axis=(1, 2)))
    rows = map_.reshape(-1, map_.shape[-1])
    return np.asarray(rows[draws.permutation(len(rows))[:POSITIONS]])


def _ranked(group: str, reader: Any, mean: Matrix, covariance: Matrix, *, is_head: bool) -> Ranking:
    kernel = reader.get_weights()[0][0, 0].astype(np.float64)
    wanted = _wanted_of_head(kernel, covariance) if is_head else kernel
    order, lost = _greedy(_ridged(covariance), wanted)
    return Ranking(group, reader.name, order, lost, mean, covariance)


def _wanted_of_head(kernel: Matrix, covariance: Matrix) -> Matrix:
    """The linear functions of the features that are to survive (C, m): the classes, and every feature as well.

    The classes alone would make the features a matter of a few channels, from which nothing could be learned anew.
    """
    spread = np.sqrt(np.maximum(np.einsum("ij,ik,kj->j", kernel, covariance, kernel), 1e-12))
    return np.concatenate([HEAD_WEIGHT * kernel / spread, np.diag(1 / np.sqrt(np.diag(covariance) + 1e-9))], axis=1)


def _greedy(covariance: Matrix, wanted: Matrix) -> tuple[Kept, Matrix]:
    """Forward selection: the channel that explains most of what the chosen ones do not, again and again."""
    left, target = covariance.copy(), covariance @ wanted
    total = float(np.einsum("ij,ij->", wanted, target))
    channels, order, lost = len(covariance), [], [1.0]
    is_free, missing = np.ones(channels, bool), total
    for _ in range(channels):
        gains = np.where(is_free, (target**2).sum(axis=1) / np.maximum(np.diag(left), 1e-12), -1.0)
        best = int(gains.argmax())
        missing -= float(gains[best])
        row, aim = left[best].copy(), target[best].copy()
        left -= np.outer(row, row / max(row[best], 1e-12))
        target -= np.outer(row / max(row[best], 1e-12), aim)
        is_free[best] = False
        order.append(best)
        lost.append(max(0.0, missing / max(total, 1e-12)))
    return np.array(order, np.int64), np.array(lost)


def _ridged(covariance: Matrix) -> Matrix:
    return np.asarray(covariance + RIDGE * (np.trace(covariance) / len(covariance) + 1e-12) * np.eye(len(covariance)))


def _fitted(covariance: Matrix, left: Kept, kernel: Matrix) -> Matrix:
    """Weights (k, m) of the channels `left` that come nearest to what all channels gave with `kernel` (C, m)."""
    return np.asarray(np.linalg.solve(_ridged(covariance)[np.ix_(left, left)], covariance[left] @ kernel))


def _replace(thin: Any, name: str, kernel: Matrix, missing: Matrix) -> None:
    """Set a convolution's weights; what its outputs are short of on average is added behind it."""
    layer = thin.get_layer(name)
    layer.kernel.assign(kernel[None, None])
    if layer.use_bias:
        layer.bias.assign_add(missing)
    elif norm := _norm_behind(layer):  # a reader has the one or the other
        norm.moving_mean.assign_sub(missing)


def _norm_behind(layer: Any) -> Any | None:
    """The BatchNorm that takes a layer's output, if it is one that does."""
    follower = layer.outbound_nodes[0].outbound_layer
    return follower if isinstance(follower, keras.layers.BatchNormalization) else None
