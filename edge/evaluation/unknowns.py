"""How well a surety tells known pictures from unknown ones, and what a threshold below it costs.

In:  sureties (n,), higher = more surely known, of known and of unknown pictures; is_right (n,) bool.
Out: shares in 0..1, with 95 % Wilson intervals where they count pictures. Ties are treated exactly: those of a
     quantised file come in steps of 1/256, and many photos share the highest.

A picture is accepted when its surety is at least the threshold. A figure that nothing was measured for is None.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.base.intervals import Interval, share

USUAL_COVERAGE = 0.95  # share of known pictures kept at which detectors are compared in the literature
ROUNDING = 1e-9  # of a count; 0.07 * 100 is a little more than 7


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class RiskCoverage:
    """What is gained by answering only the surest photos; one point for each distinct confidence, surest first."""

    coverage: NDArray[np.float64]  # (m,) share of photos answered, rising to 1
    risk: NDArray[np.float64]  # (m,) share of wrong answers among them
    area: float  # under the curve (AURC): 0 only when every answer is right


@dataclass(frozen=True)
class Coverage:
    """Known photos through a model with a threshold."""

    photos: int
    coverage: Interval  # share that got an answer other than "unknown"
    accuracy: Interval | None  # share of right answers among those; None: nothing was answered


@dataclass(frozen=True)
class Detected:
    """Unknown pictures through a model, against the known photos of the same measurement."""

    pictures: int
    called_unknown: Interval | None  # share; None: the model has neither a threshold nor a class "unknown"
    auroc: float  # 1/2: it knows nothing, 1: all known photos are surer than all unknown pictures
    fpr_at_95: float  # share accepted by the threshold that keeps 95 % of the known photos


def threshold_for(known: ArrayLike, coverage: float) -> float:
    """The greatest threshold that accepts at least the share `coverage` of the known sureties (n,).

    It is the k-th highest, k = ceil(coverage n): photos tied with it are all accepted, so the share can be more
    than asked, never less. At least 0: what is below, the answer "unknown" by name, no threshold can accept.
    """
    return max(0.0, _lowest_kept(known, coverage))


def auroc(known: ArrayLike, unknown: ArrayLike) -> float:
    """Probability that a known picture is surer than an unknown one, ties counting one half.

    The area under the ROC curve, U / (n m) by Mann and Whitney (Hanley and McNeil 1982, Radiology 143:29).
    """
    sureties, others = np.sort(_checked(known)), _checked(unknown)
    below, up_to = (np.searchsorted(sureties, others, side) for side in ("left", "right"))
    above, tied = int((len(sureties) - up_to).sum()), int((up_to - below).sum())
    return (above + tied / 2) / (len(sureties) * len(others))


def fpr_at_coverage(known: ArrayLike, unknown: ArrayLike, coverage: float = USUAL_COVERAGE) -> float:
    """Share of unknown pictures accepted when the threshold keeps `coverage` of the known (Liang et al. 2018, ICLR).

    The known photos themselves set the threshold: this compares measures, it does not say how a chosen threshold fares.
    """
    return float((_checked(unknown) >= _lowest_kept(known, coverage)).mean())


def risk_coverage(confidence: ArrayLike, is_right: ArrayLike) -> RiskCoverage:
    """Share of wrong answers among the surest k of n photos, for each k that does not part a tie.

    El-Yaniv and Wiener 2010, JMLR 11:1605; the area is the mean risk over k = 1..n (Geifman et al. 2019, ICLR). Within
    a tie it takes the risk expected in random order, so that the order of the photos does not matter.
    """
    sureties, right = _checked(confidence), np.asarray(is_right, np.bool_)
    if right.shape != sureties.shape:
        raise ValueError(f"confidence {sureties.shape}, is_right {right.shape}; expected (n,) twice")
    _, group, sizes = np.unique(-sureties, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    wrong = np.cumsum(np.bincount(group, ~right, len(sizes)))
    answered = np.arange(1, len(sureties) + 1)
    mistakes = np.interp(answered, np.concatenate([[0], ends]), np.concatenate([[0], wrong]))
    return RiskCoverage(ends / len(sureties), wrong / ends, float((mistakes / answered).mean()))


def coverage_of(is_unknown: ArrayLike, is_right: ArrayLike) -> Coverage:
    """Coverage and accuracy of known photos, of which is_unknown (n,) were called unknown and is_right (n,) rightly."""
    is_kept, right = ~np.asarray(is_unknown, np.bool_), np.asarray(is_right, np.bool_)
    kept = int(is_kept.sum())
    accuracy = share(int((right & is_kept).sum()), kept) if kept else None
    return Coverage(len(is_kept), share(kept, len(is_kept)), accuracy)


def detected(is_unknown: ArrayLike | None, known: ArrayLike, unknown: ArrayLike) -> Detected:
    """Unknown pictures, of which is_unknown (m,) were called so, by sureties of known photos (n,) and of them (m,)."""
    called = None if is_unknown is None else np.asarray(is_unknown, np.bool_)
    pictures = len(_checked(unknown))
    return Detected(
        pictures,
        None if called is None else share(int(called.sum()), pictures),
        auroc(known, unknown),
        fpr_at_coverage(known, unknown),
    )


def _lowest_kept(known: ArrayLike, coverage: float) -> float:
    sureties = _checked(known)
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage {coverage}; expected a share above 0, up to 1")
    keep = max(1, int(np.ceil(coverage * len(sureties) - ROUNDING)))
    return float(np.sort(sureties)[-keep])


def _checked(values: ArrayLike) -> NDArray[np.float64]:
    sureties = np.asarray(values, np.float64)
    if sureties.ndim != 1 or len(sureties) == 0 or not np.isfinite(sureties).all():
        raise ValueError(f"sureties {sureties.shape}; expected (n,) finite numbers, n >= 1")
    return sureties
