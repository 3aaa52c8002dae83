"""Which score tells a class that a model was never shown from those it knows: each class left out in turn.

In:  a folder of class folders, and one to keep the trained runs in (about 7 minutes each on two cores).
Out: a Markdown table, one line a score: AUROC and the share of unknown photos that a threshold accepts which keeps 95 %
     of the known ones, averaged over the classes left out. The columns "to choose by" are measured on validation photos
     of the known classes and one half of the unknown class; the rest on test photos and the other half.

All of it is int8: logits, class evidence maps and pooled features are what the quantised network computes.

example: python -m tests.studies.unknowns photos/ work/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base.progress import silent
from edge.contract.rejection import SURETIES, surety
from edge.evaluation.unknowns import auroc, fpr_at_coverage
from edge.model.interpreter import Interpreter
from edge.photos.manifest import Photo
from export.finishing.temperature import fit
from export.graph import edit
from export.graph.asking import answers
from export.graph.metadata import About
from export.graph.residual import features_of, subspace
from export.opening.finished_run import FinishedRun, open_run
from tests.studies.runs import arguments, int8, leave_one_out, left_out, train, with_residual
from training.photos.survey import Survey, find_photos
from training.photos.views import device_views

Array = NDArray[np.float64]
NEIGHBOUR = 10
SHRINKAGE = 0.1  # of the covariance towards a multiple of the unit matrix
SETS = ("validation", "choose", "test", "report")  # known, unknown to choose by; known, unknown to report on


@dataclass(frozen=True, eq=False)
class Seen:
    """What one int8 network computes for n photos."""

    logits: NDArray[np.float32]  # (n, C)
    divided: NDArray[np.float32]  # (n, C) logits over the residual
    evidence: NDArray[np.float32]  # (n, places, C)
    features: NDArray[np.float32]  # (n, d), pooled


@dataclass(frozen=True, eq=False)
class Known:
    """What a score may have learned from training and validation photos of the known classes."""

    features: Array  # (n, d) of training photos
    truth: NDArray[np.int64]
    temperature: float
    divided_temperature: float


def seen(run: FinishedRun, photos: list[Photo], divided: bytes) -> Seen:
    pictures = device_views(run.root, [photo.path for photo in photos], run.config.size, silent(""))
    about = About("study", "", "", "", "")
    mapped = Interpreter(edit.finish(int8(run), run.labels, about, has_evidence=True), "study")
    maps = []
    for picture in pictures:
        mapped(picture)
        found = mapped.evidence()
        assert found is not None
        maps.append(found.reshape(-1, found.shape[-1]))
    flat = int8(run)
    return Seen(
        answers(edit.logits(flat), pictures), answers(edit.logits(divided), pictures), np.stack(maps),
        answers(features_of(flat), pictures),
    )  # fmt: skip


def softmax(logits: NDArray[np.float32], temperature: float) -> Array:
    """Rounded to 256ths, as the file puts them out."""
    powers = np.exp((logits - logits.max(axis=-1, keepdims=True)) / temperature)
    return np.asarray(np.minimum(np.round(256 * powers / powers.sum(axis=-1, keepdims=True)), 255) / 256, np.float64)


def energy(one: Seen, known: Known) -> Array:
    return np.asarray(np.log(np.exp(one.logits.astype(np.float64)).sum(axis=1)))


def local_probability(one: Seen, known: Known) -> Array:
    """Mean over all places of the winner's probability at that place."""
    local = softmax(one.evidence, 1.0)
    return np.asarray(local[np.arange(len(local)), :, one.logits.argmax(axis=1)].mean(axis=1))


def agreement(one: Seen, known: Known) -> Array:
    """Share of places at which the winner has the most evidence."""
    return np.asarray((one.evidence.argmax(axis=2) == one.logits.argmax(axis=1)[:, None]).mean(axis=1))


def mahalanobis(one: Seen, known: Known) -> Array:
    """Less the distance to the nearest class mean, by the covariance that the classes share (Lee et al. 2018)."""
    means = np.stack([known.features[known.truth == c].mean(axis=0) for c in range(known.truth.max() + 1)])
    centred = known.features - means[known.truth]
    covariance = centred.T @ centred / len(centred)
    covariance += SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    precision = np.linalg.inv(covariance)
    gaps = one.features[:, None] - means[None]
    return np.asarray(-np.einsum("ncd,de,nce->nc", gaps, precision, gaps, optimize=True).min(axis=1))


def neighbour(one: Seen, known: Known) -> Array:
    """Cosine with the tenth nearest training photo (Sun et al. 2022)."""
    left, right = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (one.features, known.features))
    return np.asarray(np.sort(left @ right.T, axis=1)[:, -NEIGHBOUR])


def residual(one: Seen, known: Known) -> Array:
    """Less the part of the features outside the principal subspace of training photos."""
    usual = subspace(known.features.astype(np.float32))
    assert usual is not None
    centred = one.features - usual.mean
    return np.asarray(
        -((centred**2).sum(axis=1) - ((centred @ usual.directions.T.astype(np.float64)) ** 2).sum(axis=1))
    )


def of_probabilities(name: str, is_divided: bool) -> Callable[[Seen, Known], Array]:
    def scored(one: Seen, known: Known) -> Array:
        if is_divided:
            return surety(name, softmax(one.divided, known.divided_temperature))
        return surety(name, softmax(one.logits, known.temperature))

    return scored


WAYS: dict[str, Callable[[Seen, Known], Array]] = {
    **{f"output: {name}": of_probabilities(name, False) for name in SURETIES},
    "logits: greatest": lambda one, known: one.logits.max(axis=1).astype(np.float64),
    "logits: energy": energy,
    "map: share of places that agree": agreement,
    "map: mean local probability": local_probability,
    "features: Mahalanobis": mahalanobis,
    "features: tenth neighbour": neighbour,
    "features: residual": residual,
    **{f"output over residual: {name}": of_probabilities(name, True) for name in SURETIES},
}


def scores_of(survey: Survey, folder: Path, label: str) -> dict[str, list[float]]:
    """For each score: AUROC and false positives to choose by, then the same to report."""
    run = open_run(folder)
    divided = with_residual(run)
    choose, report = left_out(survey, label)
    photos = dict(zip(SETS, (run.members("validation"), choose, run.members("test"), report), strict=True))
    found = {name: seen(run, members, divided) for name, members in photos.items()}
    members = run.members("train")
    truth = run.truth(run.members("validation"))
    known = Known(
        answers(features_of(int8(run)), run.views(members, silent("")).pictures).astype(np.float64), run.truth(members),
        fit(found["validation"].logits, truth), fit(found["validation"].divided, truth),
    )  # fmt: skip
    figures = {}
    for name, way in WAYS.items():
        values = {key: way(one, known) for key, one in found.items()}
        pairs = ((values["validation"], values["choose"]), (values["test"], values["report"]))
        figures[name] = [measure(*pair) for pair in pairs for measure in (auroc, fpr_at_coverage)]
    return figures


def table(figures: dict[str, dict[str, list[float]]]) -> str:
    """`figures` are those of each class left out."""
    classes = " | ".join(f"AUROC, no {label}" for label in figures)
    lines = [
        f"| score, int8 | AUROC to choose by | accepted | AUROC | accepted | {classes} |",
        "|---|" + "---|" * (4 + len(figures)),
    ]
    for name in WAYS:
        rows = np.array([found[name] for found in figures.values()])
        choose, choose_fpr, report, report_fpr = rows.mean(axis=0)
        each = " | ".join(f"{row[2]:.3f}" for row in rows)
        lines.append(f"| {name} | {choose:.3f} | {choose_fpr:.1%} | {report:.3f} | {report_fpr:.1%} | {each} |")
    return "\n".join(lines)


def main() -> None:
    asked = arguments("Scores for unknown pictures, each class left out in turn.")
    survey = find_photos(asked.photos)
    runs = train(leave_one_out(survey), asked.photos, asked.work, asked.weights)
    figures = {label: scores_of(survey, run, label) for label, run in zip(survey.labels, runs, strict=True)}
    print(table(figures))


if __name__ == "__main__":
    main()
