"""One HTML page that shows a whole run: results, plots, classes, settings.

In:  `Scores` of each set of photos, PNG plots, (name, text) rows.
Out: one self-contained file: no outside assets and no scripts, so it can be mailed or kept beside the model.

All text is escaped on its way in: class and file names are data, never markup. The plots come
from `training.report.plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edge.evaluation.accuracy import Scores
from training.report.page import Markup, boxes, element, figure, pairs, table, write_page


def write_report(
    path: Path,
    *,
    title: str,
    summary_rows: Sequence[tuple[str, str]],
    scores: Mapping[str, Scores],
    plots: Sequence[tuple[str, Path]],
    notes: Sequence[str] = (),
) -> None:
    """Write the page: results first, then the plots (caption, PNG), the classes, how the run was made, and notes.

    A plot whose file name begins with a key of `HOW_TO_READ` gets that explanation. Raises OutputError if a plot
    cannot be read or the page cannot be written.
    """
    parts = [_results(scores), element("p", HOW_TO_READ["results"])]
    parts += [figure(caption, plot, HOW_TO_READ.get(_kind(plot), "")) for caption, plot in plots]
    parts += [_classes(name, one) for name, one in scores.items()]
    if summary_rows:
        parts += [element("h2", "The run"), pairs(summary_rows)]
    if notes:
        parts += [element("h2", "Notes"), element("ul", *(element("li", note) for note in notes))]
    write_page(path, title, parts)


def _results(scores: Mapping[str, Scores]) -> Markup:
    return boxes(
        [
            (
                f"{one.top1:.1%}",
                f"top-1 on {one.n} {name} photos",
                f"95% interval {one.low:.1%} to {one.high:.1%} · calibration error {one.ece:.3f}",
            )
            for name, one in scores.items()
        ]
    )


def _kind(plot: Path) -> str:
    return plot.stem.split("-")[0].split("_")[0]


def _classes(name: str, scores: Scores) -> Markup:
    rows = [(row.label, *map(_share, (row.precision, row.recall, row.f1)), str(row.support)) for row in scores.classes]
    parts = [element("h2", f"Classes, {name} photos"), element("p", HOW_TO_READ["classes"])]
    parts.append(table(("class", "precision", "recall", "F1", "photos"), rows))
    if scores.top_confusions:
        mistakes = ", ".join(f"{m.truth} → {m.predicted} ({m.count})" for m in scores.top_confusions)
        parts.append(element("p", f"Commonest mistakes, truth → answer: {mistakes}."))
    return element("section", *parts)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


HOW_TO_READ = {
    "results": (
        "Top-1 is the share of photos whose first answer is right. The interval shows how far the luck of which "
        "photos were drawn can move that share: the fewer photos, the wider. Validation photos picked the best epoch,"
        " so their figure is slightly flattering; test photos took no part in training and are the ones to quote."
    ),
    "history": (
        "Both curves should fall (loss) or rise (accuracy) and then level off. When validation turns back while "
        "training goes on improving, the model learns its photos by heart: the gap is overfitting, and more photos, "
        "more augmentation or fewer epochs help. Training accuracy is measured on augmented photos with dropout on, "
        "which is harder than the plain validation photos, so it may well lie below validation. The ring marks the "
        "best epoch."
    ),
    "confusion": (
        "Each row is one true class, each column an answer; right answers lie on the diagonal. A dark cell off the "
        "diagonal names two classes that the model mixes up: look at their photos first."
    ),
    "reliability": (
        "Of the answers given with 80% confidence, 80% should be right: dots on the dashed line. Below it the model"
        " is too sure of itself, above it too modest. Large dots hold many photos, small ones little evidence."
    ),
    "mistakes": (
        "The wrong answers that the model was surest of, truth → answer and its probability. Some are hard photos; "
        "some are labelled wrongly, and correcting those is the cheapest way to a better model."
    ),
    "augmented": (
        "What the network really sees while it trains: random crops, flips and colours. A person should still be able"
        " to name every flower here; if not, the augmentation is too strong."
    ),
    "classes": (
        "Precision: of the photos given this name, the share that deserves it. Recall: of the photos of this class, "
        "the share that was found. F1 is their harmonic mean; a dash means that there was nothing to measure."
    ),
}
