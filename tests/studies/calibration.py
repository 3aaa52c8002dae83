"""How far int8 probabilities can be believed, pooled over five folds, so that every photo is a test photo once.

In:  a folder of class folders, and one to keep the five trained runs in (about 8 minutes each on two cores).
Out: a Markdown table: calibration error (15 bins) of the int8 files with a temperature of 1, with a fitted temperature,
     and with the residual and its temperature, as flora export writes them; and the coverage of known photos against
     what was asked.

example: python -m tests.studies.calibration photos/ work/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.base.progress import silent
from edge.contract.rejection import surety
from edge.evaluation.calibration import error_interval, expected_calibration_error, luck
from edge.evaluation.unknowns import threshold_for
from export.finishing.temperature import fit
from export.finishing.threshold import SCORE
from export.graph import edit
from export.graph.asking import answers
from export.opening.finished_run import FinishedRun, Views, open_run
from tests.studies.runs import arguments, folds, int8, train, with_residual
from training.photos.survey import find_photos

COVERAGES = (0.90, 0.95, 0.98)


@dataclass(frozen=True, eq=False)
class Row:
    """One way to calibrate, over all folds."""

    temperatures: list[float]
    errors: list[float]  # of each fold
    confidence: NDArray[np.float32]  # (n,) of all test photos
    is_right: NDArray[np.bool_]
    coverages: dict[float, list[NDArray[np.bool_]]]  # asked -> which test photos were answered, by fold


def measured(flatbuffer: bytes, validation: Views, test: Views, temperature: float | None) -> tuple[float, Row]:
    """One fold: fit, if asked to, and choose on validation photos, then measure on test photos."""
    if temperature is None:
        temperature = fit(answers(edit.logits(flatbuffer), validation.pictures), validation.truth)
    finished = edit.set_temperature(flatbuffer, temperature)
    chosen, seen = answers(finished, validation.pictures), answers(finished, test.pictures)
    known = surety(SCORE, chosen)
    kept = {asked: [surety(SCORE, seen) >= threshold_for(known, asked)] for asked in COVERAGES}
    error = expected_calibration_error(seen, test.truth)
    is_right = seen.argmax(axis=1) == test.truth
    return temperature, Row([temperature], [error], seen.max(axis=1), is_right, kept)


def pooled(rows: list[Row]) -> Row:
    return Row(
        [temperature for row in rows for temperature in row.temperatures],
        [error for row in rows for error in row.errors],
        np.concatenate([row.confidence for row in rows]),
        np.concatenate([row.is_right for row in rows]),
        {asked: [kept for row in rows for kept in row.coverages[asked]] for asked in COVERAGES},
    )


WAYS: dict[str, tuple[Callable[[FinishedRun], bytes], float | None]] = {
    "as quantised (T = 1)": (int8, 1.0),
    "temperature": (int8, None),
    "residual and temperature (shipped)": (with_residual, None),
}


def table(rows: dict[str, Row]) -> str:
    asked = " | ".join(f"coverage, {coverage:.0%} asked" for coverage in COVERAGES)
    lines = [
        "| int8, five folds pooled | top-1 | calibration error (95 %) | by luck alone | by fold | temperatures "
        f"| {asked} |",
        "|---|---|---|---|---|---|" + "---|" * len(COVERAGES),
    ]
    for name, row in rows.items():
        error = error_interval(row.confidence, row.is_right)
        spread = f"{min(row.errors):.3f} to {max(row.errors):.3f}"
        temperatures = f"{min(row.temperatures):.2f} to {max(row.temperatures):.2f}"
        kept = " | ".join(f"{np.concatenate(row.coverages[coverage]).mean():.1%}" for coverage in COVERAGES)
        lines.append(
            f"| {name} | {row.is_right.mean():.1%} | {error.value:.4f} ({error.low:.4f} to {error.high:.4f}) "
            f"| {luck(row.confidence)[0]:.4f} | {spread} | {temperatures} | {kept} |"
        )
    return "\n".join(lines)


def main() -> None:
    asked = arguments("The calibration of int8 files over five folds.")
    found: dict[str, list[Row]] = {name: [] for name in WAYS}
    for folder in train(folds(find_photos(asked.photos)), asked.photos, asked.work, asked.weights):
        run = open_run(folder)
        validation, test = (run.views(run.members(split), silent("")) for split in ("validation", "test"))
        for name, (made, temperature) in WAYS.items():
            found[name].append(measured(made(run), validation, test, temperature)[1])
    photos = sum(len(row.is_right) for row in next(iter(found.values())))
    print(f"{photos} test photos, each of exactly one of the five models.\n")
    print(table({name: pooled(rows) for name, rows in found.items()}))


if __name__ == "__main__":
    main()
