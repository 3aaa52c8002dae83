"""Make a converted network ready for the device: calibrated, with a threshold, golden cases and standard metadata.

In:  a flatbuffer, and pictures RGB uint8 (n, N, N, 3) that it was not trained on.
Out: Finished: the flatbuffer as it will be in the file, and what the card says of it.

Order matters: residual and temperature change probabilities, and so the threshold and the golden answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.contract.rejection import UNKNOWN, Rejection, known_sureties
from edge.model.golden import GoldenCase
from edge.model.interpreter import Interpreter
from export.finishing.golden import choose_cases, plain_kernels
from export.finishing.temperature import fit
from export.finishing.threshold import SCORE, choose_rejection
from export.graph import edit
from export.graph.asking import answers
from export.graph.metadata import About
from export.graph.residual import (
    Raise,
    Subspace,
    divide_by_residual,
    features_of,
    has_features,
    raise_unknown,
    subspace,
)
from export.opening.finished_run import Views

SHARE_BY_CLASS = 0.8  # of the known photos that may be called unknown: so many by the class, the rest by the threshold


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Finished:
    """A flatbuffer that only lacks its card."""

    flatbuffer: bytes
    temperature: float
    components: int  # of the subspace behind the residual; 0: none
    rejection: Rejection
    golden: tuple[GoldenCase, ...]
    validation: NDArray[np.float32]  # (n, num_classes) answers to the validation pictures


def finish(
    flatbuffer: bytes,
    labels: Sequence[str],
    validation: Views,
    about: About,
    *,
    coverage: float,
    usual: NDArray[np.uint8],
    unknown: NDArray[np.uint8] | None = None,
    has_evidence: bool = False,
    seed: int = 0,
    step: Callable[[str], None] = lambda what: None,
) -> Finished:
    """Calibrate on validation pictures, choose threshold and golden cases. Raises ModelError when there are none.

    `usual` are training pictures of the classes, whose features say what is strange; `unknown` are pictures of other
    things that may decide the threshold; `step` is told what comes next.
    """
    step("features")
    learned = subspace(answers(features_of(flatbuffer), usual)) if has_features(flatbuffer) else None
    if learned:
        flatbuffer = _doubting(flatbuffer, labels, learned, validation, coverage)
    step("temperature")
    temperature = fit(answers(edit.logits(flatbuffer), validation.pictures), validation.truth)
    flatbuffer = edit.set_temperature(flatbuffer, temperature)
    flatbuffer = edit.finish(flatbuffer, labels, about, has_evidence=has_evidence)
    step("threshold for unknown")
    seen = answers(flatbuffer, validation.pictures)
    is_known = np.array(labels)[validation.truth] != UNKNOWN
    known = known_sureties(SCORE, seen[is_known], labels)
    others = None if unknown is None else known_sureties(SCORE, answers(flatbuffer, unknown), labels)
    rejection = choose_rejection(known, others, coverage)
    step("golden cases")
    size, interpreter = validation.pictures.shape[1], Interpreter(flatbuffer, about.name)
    golden = choose_cases(interpreter, labels, size, seed, witnesses=[plain_kernels(flatbuffer)])
    return Finished(flatbuffer, temperature, learned.components if learned else 0, rejection, golden, seen)


def _doubting(flatbuffer: bytes, labels: Sequence[str], usual: Subspace, validation: Views, coverage: float) -> bytes:
    """The model that doubts what is strange; by itself it calls few of the known validation photos unknown.

    The rest of what may be called so is left to the threshold.
    """
    if UNKNOWN not in labels:
        return divide_by_residual(flatbuffer, usual)
    index = list(labels).index(UNKNOWN)
    known = validation.pictures[validation.truth != index]
    logits = answers(edit.logits(flatbuffer), known).astype(np.float64)
    how = Raise(index, float(np.median(logits[:, index])), 0.0)
    unknown = how.of(logits[:, index], usual.strangeness(answers(features_of(flatbuffer), known)))
    lead = np.sort(np.delete(logits, index, axis=1).max(axis=1) - unknown)
    offset = float(lead[int(SHARE_BY_CLASS * (1 - coverage) * len(lead))])
    return raise_unknown(flatbuffer, usual, replace(how, offset=offset))
