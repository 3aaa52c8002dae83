"""The pictures of a run and of an export: learning curves, confusion matrix, calibration, unknowns, contact sheets.

In:  history rows, a confusion matrix (K, K), probabilities (n, K) in 0..1, scores (n,), RGB uint8 tiles (h, w, 3).
Out: PNG files, written whole or not at all.

Matplotlib is imported when something is drawn, so that importing this module costs nothing, and without pyplot, which
keeps every figure alive and may look for a display. Class names are data: a `$` in one starts no formula.
"""

from __future__ import annotations

import contextlib
import io
import math
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.base.files import write_atomically
from edge.evaluation import calibration
from edge.evaluation.unknowns import RiskCoverage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Layout = Literal["constrained", "compressed"]
HistoryRow = Mapping[str, float | str]
Tile = tuple[NDArray[np.uint8], str]

DPI = 150
PAGE_WIDTH_IN = 6.4  # at this width an 11 pt letter is still 8 pixels high on a phone
TRAIN, VALIDATION, MARK = "#d55e00", "#0072b2", "#222222"  # told apart by colour-blind readers too
MOST_NUMBERED = 20  # classes; numbers in smaller cells cannot be read
MOST_WITH_SHARE = 10
LABEL_LETTERS = 24
SCORE_BINS = 32
TILE_PX, GAP_PX, CAPTION_PX, CAPTION_LETTERS = 220, 12, 44, 21
# Tried in turn for class names in scripts that the first one lacks; those not installed are passed over.
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC")


def plot_history(history: Sequence[HistoryRow], path: Path) -> None:
    """Loss and accuracy of training and validation over the epochs, one panel each, phases and best epoch marked.

    Rows hold phase, loss, accuracy, val_loss, val_accuracy (numbers, or their text as read from CSV); at least one.
    The best epoch is the one with the lowest validation loss; epochs are counted through both phases.
    """
    if not history:
        raise ValueError("the history is empty; expected one row for each epoch")
    with drawing(path, PAGE_WIDTH_IN, 6.6) as figure:
        loss, accuracy = figure.subplots(2, 1, sharex=True)
        _draw_curves(loss, history, "loss")
        _draw_curves(accuracy, history, "accuracy")
        for axes in (loss, accuracy):
            _mark_phases(axes, [str(row.get("phase", "")) for row in history], has_names=axes is loss)
        _mark_best({"loss": loss, "accuracy": accuracy}, history)
        in_percent(accuracy.yaxis)
        accuracy.set_xlabel("epoch")
        accuracy.legend(loc="lower right")
        loss.legend(loc="upper right")


def plot_validation(history: Sequence[HistoryRow], path: Path) -> None:
    """The accuracy panel of `plot_history` for validation photos alone: where training sees no labels."""
    if not history:
        raise ValueError("the history is empty; expected one row for each epoch")
    with drawing(path, PAGE_WIDTH_IN, 3.4) as figure:
        axes = figure.add_subplot()
        _draw_curve(axes, history, "val_accuracy", "o-", VALIDATION, "validation")
        _mark_phases(axes, [str(row.get("phase", "")) for row in history], has_names=True)
        _mark_best({"accuracy": axes}, history)
        _in_epochs(axes, len(history), "accuracy")
        in_percent(axes.yaxis)
        axes.set_xlabel("epoch")
        axes.legend(loc="lower right")


def plot_confusion(confusion: ArrayLike, labels: Sequence[str], path: Path) -> None:
    """A (K, K) matrix of counts, row = truth, coloured by the share of its row; over 20 classes go without numbers."""
    counts = np.asarray(confusion, np.int64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    side_in = min(max(4.2, 2.0 + 0.62 * len(labels)), 11.0)
    with drawing(path, side_in + 0.6, side_in, layout="compressed") as figure:
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
        bar.ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f}%")
        bar.set_label("share of the true class")
        names = [_shorten(label) for label in labels]
        size = 10 if len(labels) <= MOST_NUMBERED else 7
        axes.set_xticks(range(len(labels)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
        axes.set_yticks(range(len(labels)), names, fontsize=size)
        axes.set_xlabel("answer of the model")
        axes.set_ylabel("truth")
        axes.grid(False)
        if len(labels) <= MOST_NUMBERED:
            _number_cells(axes, counts, shares)


def plot_reliability(probabilities: ArrayLike, truth: ArrayLike, path: Path) -> None:
    """Accuracy against confidence in 15 bins; probabilities (n, K), truth (n,). The area of a dot is its photos."""
    with drawing(path, 4.6, 4.6) as figure:
        axes = figure.add_subplot()
        error = _draw_reliability(axes, probabilities, truth)
        axes.set_title(f"expected calibration error {error:.3f}")
        axes.legend(loc="upper left")


def plot_calibration(before: ArrayLike, after: ArrayLike, truth: ArrayLike, path: Path) -> None:
    """`plot_reliability` without and with a temperature, side by side; before and after (n, K), truth (n,)."""
    with drawing(path, PAGE_WIDTH_IN, 3.5) as figure:
        for axes, name, answers in zip(
            figure.subplots(1, 2, sharey=True), ("before", "after"), (before, after), strict=True
        ):
            axes.set_title(f"{name}: error {_draw_reliability(axes, answers, truth):.3f}")
        figure.axes[0].legend(loc="lower right", fontsize=9)
        figure.axes[1].set_ylabel("")


def plot_risk_coverage(curve: RiskCoverage, answered: tuple[float, float] | None, path: Path) -> None:
    """Share of wrong answers against share of photos answered; `answered` is where the threshold stands on it."""
    with drawing(path, PAGE_WIDTH_IN, 3.6) as figure:
        axes = figure.add_subplot()
        axes.plot(curve.coverage, curve.risk, drawstyle="steps-post", color=VALIDATION, label="surest first")
        axes.axhline(curve.risk[-1], linestyle="--", color="#888888", label="in random order")
        if answered:
            axes.plot(*answered, "o", color=TRAIN, label=f"the threshold: {answered[0]:.1%} answered")
        axes.set(xlim=(0, 1.02), ylim=(0, None), xlabel="share of photos answered", ylabel="share of wrong answers")
        in_percent(axes.xaxis, axes.yaxis)
        axes.legend(loc="center left")


def plot_scores(known: ArrayLike, unknown: ArrayLike | None, threshold: float | None, path: Path) -> None:
    """How the scores (n,) and (m,), 0 to 1, of known and of unknown pictures are spread; lower ones count as 0."""
    edges: Any = np.linspace(0, 1, SCORE_BINS + 1)
    with drawing(path, PAGE_WIDTH_IN, 3.4) as figure:
        axes = figure.add_subplot()
        for name, scores, colour in (("known", known, VALIDATION), ("unknown", unknown, TRAIN)):
            if scores is not None:
                values = np.maximum(np.asarray(scores, np.float64), 0)
                weights = np.full(len(values), 1 / len(values))
                axes.hist(values, edges, weights=weights, color=colour, alpha=0.6, label=f"{name} ({len(values)})")
        if threshold is not None:
            axes.axvline(threshold, color=MARK, linestyle=":", label=f"threshold {threshold:.3f}")
        axes.set(xlim=(0, 1), xlabel="score", ylabel="share of the pictures")
        in_percent(axes.yaxis)
        axes.legend(loc="upper left")


def sheet(tiles: Sequence[Tile], path: Path, columns: int = 5) -> None:
    """A contact sheet of (RGB uint8 (h, w, 3), caption) tiles, row by row; each picture whole, aspect kept."""
    if not tiles:
        with drawing(path, PAGE_WIDTH_IN, 0.6) as figure:
            figure.text(0.5, 0.5, "there is nothing to show here", ha="center", va="center")
        return
    columns = min(columns, len(tiles))
    cell_w, cell_h = TILE_PX + GAP_PX, TILE_PX + CAPTION_PX + GAP_PX
    height, width = math.ceil(len(tiles) / columns) * cell_h + GAP_PX, columns * cell_w + GAP_PX
    canvas = np.full((height, width, 3), 255, np.uint8)
    corners = [(GAP_PX + i // columns * cell_h, GAP_PX + i % columns * cell_w) for i in range(len(tiles))]
    for (top, left), (picture, _) in zip(corners, tiles, strict=True):
        canvas[top : top + TILE_PX, left : left + TILE_PX] = _fit_tile(picture)
    with drawing(path, width / DPI, height / DPI, layout=None) as figure:
        figure.figimage(canvas, origin="upper")
        for (top, left), (_, caption) in zip(corners, tiles, strict=True):
            text = "\n".join(textwrap.wrap(caption, CAPTION_LETTERS, max_lines=2, placeholder="…"))
            x, y = (left + TILE_PX / 2) / width, 1 - (top + TILE_PX + 5) / height
            figure.text(x, y, text, ha="center", va="top", fontsize=8.5, linespacing=1.1)


@contextlib.contextmanager
def drawing(path: Path, width_in: float, height_in: float, layout: Layout | None = "constrained") -> Iterator[Figure]:
    """A figure without pyplot's global state, written to `path` as PNG when the block ends well."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    style: dict[Any, Any] = {
        "font.family": [name for name in FONTS if name in installed] or ["sans-serif"],
        "font.size": 11,
        "text.parse_math": False,  # a class called "$5" is no formula
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#dddddd",
        "legend.edgecolor": "none",
    }
    with matplotlib.rc_context(style), warnings.catch_warnings():
        # A script that no installed font has is drawn as boxes; the page beside the plot still spells the name.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout=layout)
        yield figure
        png = io.BytesIO()
        figure.savefig(png, format="png")
    write_atomically(path, png.getvalue())


def _column(history: Sequence[HistoryRow], name: str) -> NDArray[np.float64]:
    """One column (epochs,) of the history; NaN, which Matplotlib leaves out, where a row has no value."""
    return np.array([float(row.get(name, "") or "nan") for row in history])


def _draw_curves(axes: Axes, history: Sequence[HistoryRow], quantity: str) -> None:
    _draw_curve(axes, history, quantity, "s--", TRAIN, "training")
    _draw_curve(axes, history, f"val_{quantity}", "o-", VALIDATION, "validation")
    _in_epochs(axes, len(history), quantity)


def _draw_curve(axes: Axes, history: Sequence[HistoryRow], column: str, style: str, colour: str, label: str) -> None:
    epochs = np.arange(1, len(history) + 1)
    axes.plot(epochs, _column(history, column), style, color=colour, markersize=4, label=label)


def _in_epochs(axes: Axes, epochs: int, quantity: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_ylabel(quantity)
    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(y=0.12)


def _mark_phases(axes: Axes, phases: Sequence[str], has_names: bool) -> None:
    starts = [i for i, phase in enumerate(phases) if i == 0 or phase != phases[i - 1]]
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(phases)], strict=True)):
        if number % 2 == 0:
            axes.axvspan(start + 0.5, end + 0.5, color="#f1f1ec", zorder=0)
        if has_names:
            middle = (start + end + 1) / 2
            where = axes.get_xaxis_transform()
            axes.text(middle, 1.02, phases[start], transform=where, ha="center", va="bottom", fontsize=10)


def _mark_best(panels: Mapping[str, Axes], history: Sequence[HistoryRow]) -> None:
    """A ring and a line at the epoch of the lowest validation loss, in each panel, named by its quantity."""
    losses = _column(history, "val_loss")
    if np.isnan(losses).all():
        return
    best = int(np.nanargmin(losses))
    for quantity, axes in panels.items():
        value = _column(history, f"val_{quantity}")[best]
        label = f"best epoch: {best + 1}" if quantity == "loss" else f"{value:.1%} on validation"
        axes.axvline(best + 1, color=MARK, linewidth=0.8, linestyle=":")
        axes.plot(best + 1, value, "o", color="none", markeredgecolor=MARK, markersize=11, label=label)


def _draw_reliability(axes: Axes, probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Draw the bins; returns the calibration error."""
    bins = calibration.reliability(probabilities, truth)
    confidence, accuracy, photos = (np.array(column) for column in zip(*bins, strict=True))
    axes.plot([0, 1], [0, 1], "--", color="#888888", label="perfectly calibrated")
    axes.scatter(confidence, accuracy, s=20 + 380 * photos / photos.max(), color=VALIDATION, alpha=0.6)
    axes.set(xlim=(0, 1.05), ylim=(-0.05, 1.05), xlabel="confidence of the answer", ylabel="share of right answers")
    return calibration.expected_calibration_error(probabilities, truth)


def in_percent(*axes: Axis) -> None:
    for axis in axes:
        axis.set_major_formatter(lambda share, _: f"{100 * share:.4g}%")


def _number_cells(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    is_roomy = len(counts) <= MOST_WITH_SHARE
    for row, column in np.ndindex(*counts.shape):
        share = shares[row, column]
        text = (
            f"{counts[row, column]}\n{100 * share:.0f}%"
            if is_roomy and counts[row, column]
            else f"{counts[row, column]}"
        )
        colour = "white" if share > 0.55 else "#333333"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9 if is_roomy else 8)


def _shorten(label: str) -> str:
    """Cut out the middle: long class names often differ only in their last letters."""
    if len(label) <= LABEL_LETTERS:
        return label
    end = LABEL_LETTERS // 3
    return f"{label[: LABEL_LETTERS - end - 1]}…{label[-end:]}"


def _fit_tile(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale a picture (h, w, 3) into the middle of a light square (TILE_PX, TILE_PX, 3)."""
    height, width = picture.shape[:2]
    scale = TILE_PX / max(height, width)
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    tile = np.full((TILE_PX, TILE_PX, 3), 238, np.uint8)
    top, left = (TILE_PX - size_wh[1]) // 2, (TILE_PX - size_wh[0]) // 2
    tile[top : top + size_wh[1], left : left + size_wh[0]] = scaled
    return tile
