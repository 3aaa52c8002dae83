"""When the file answers "unknown": a threshold on how surely a picture shows a known class.

In:  sureties (n,) of known photos, and perhaps (m,) of pictures of other things, none of them seen in training.
Out: a Rejection.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.contract.rejection import PROBABILITY, Rejection
from edge.evaluation.unknowns import threshold_for

HALF_STEP = 1 / 512  # of a quantised answer; a device that rounds otherwise then keeps the same photos
SCORE = PROBABILITY  # export/STUDIES.md has what it was compared with


def choose_rejection(
    known: NDArray[np.float64], unknown: NDArray[np.float64] | None, coverage: float, score: str = SCORE
) -> Rejection:
    """The greatest threshold that keeps at least the share `coverage` of the known photos.

    With unknown pictures, no known photo is given up for nothing: the threshold sinks as far as it goes without
    accepting one of them that it rejected, and half of that way, to be safe.
    """
    strictest = threshold_for(known, coverage)
    rejected = unknown[unknown < strictest] if unknown is not None else np.zeros(0)
    if not len(rejected):
        return Rejection(score, max(0.0, strictest - HALF_STEP), coverage)
    surest = max(0.0, float(rejected.max()))
    kept = known[(known > surest) & (known < strictest)]
    lowest = float(kept.min()) if len(kept) else strictest
    return Rejection(score, (surest + lowest) / 2, coverage)
