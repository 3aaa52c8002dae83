"""Estimates with their uncertainty: Wilson intervals, percentiles of times, ratios of times.

In:  counts, or times in milliseconds (n,).
Out: `Interval`, 95 % unless said otherwise; `Percentiles`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS, TAILS = 1000, (2.5, 97.5)


def ratio(first: NDArray[np.float64], other: NDArray[np.float64], seed: int = 0) -> Interval:
    """The median of first / other over rounds (n,), how many times as fast `other` is, with a bootstrap interval."""
    speeds = np.asarray(first) / np.asarray(other)
    picked = np.random.default_rng(seed).integers(len(speeds), size=(DRAWS, len(speeds)))
    low, high = np.percentile(np.median(speeds[picked], axis=1), TAILS)
    return Interval(float(np.median(speeds)), float(low), float(high))


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float

    def percent(self) -> str:
        """A share as text."""
        return f"{self.value:.1%} (95% interval {self.low:.1%} to {self.high:.1%})"


Z_95 = 1.959964  # two-sided 95 % quantile of the normal distribution


class Percentiles(NamedTuple):
    """Latency percentiles, in the unit that was given (milliseconds throughout the project)."""

    p50: float
    p95: float
    p99: float


def wilson_interval(hits: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """Score interval (low, high) of a proportion (Wilson 1927, J. Am. Stat. Assoc. 22:209).

    With p = hits/n: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n). No trials tell nothing: (0, 1).
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} hits of {n}; expected 0 <= hits <= n")
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if hits == 0 else (centre - half) / scale
    high = 1.0 if hits == n else (centre + half) / scale
    return low, high


def percentiles(values_ms: ArrayLike) -> Percentiles:
    """p50, p95 and p99 of at least one measurement, linear between neighbours."""
    values = np.asarray(values_ms, np.float64)
    if values.size == 0:
        raise ValueError("no measurements; expected at least one")
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return Percentiles(float(p50), float(p95), float(p99))


def share(hits: int, n: int) -> Interval:
    """hits / n with its Wilson interval, n >= 1."""
    return Interval(hits / n, *wilson_interval(hits, n))
