"""The plots of a run: what each figure shows, and that a file is written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from edge.errors import OutputError
from edge.evaluation.unknowns import risk_coverage
from training.network.keras import tf
from training.report import plots

PNG = b"\x89PNG\r\n\x1a\n"


def history(head: int = 2, fine_tune: int = 4) -> list[dict[str, float | str]]:
    """Rows whose validation loss is lowest in the last but one epoch."""
    phases = ["head"] * head + ["fine-tune"] * fine_tune
    rows: list[dict[str, float | str]] = []
    for number, phase in enumerate(phases):
        val_loss = 1.0 - 0.1 * number + (0.5 if number == len(phases) - 1 else 0)
        rows.append(
            {
                "phase": phase,
                "epoch": number + 1,
                "loss": 1.2 - 0.15 * number,
                "accuracy": 0.5 + 0.05 * number,
                "val_loss": val_loss,
                "val_accuracy": 0.6 + 0.05 * number,
            }
        )
    return rows


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved, so that a test can look at their curves and texts."""
    figures: list[Figure] = []
    save = Figure.savefig

    def record(self: Figure, *args: Any, **kwargs: Any) -> None:
        figures.append(self)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", record)
    return figures


def texts(figure: Figure) -> list[str]:
    """All texts of a figure: those of its axes, their legends, and its own."""
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        legend = axes.get_legend()
        found += [text.get_text() for text in axes.texts]
        found += [text.get_text() for text in legend.get_texts()] if legend else []
    return found


def curve(figure: Figure, axes: int, label: str) -> list[float]:
    line = next(line for line in figure.axes[axes].lines if line.get_label() == label)
    return [float(value) for value in np.asarray(line.get_ydata())]


def test_history_shows_training_against_validation(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = history()
    plots.plot_history(rows, tmp_path / "history.png")
    for axes, quantity in enumerate(("loss", "accuracy")):
        assert curve(drawn[0], axes, "training") == [row[quantity] for row in rows]
        assert curve(drawn[0], axes, "validation") == [row[f"val_{quantity}"] for row in rows]


def test_history_marks_phases_and_best_epoch(tmp_path: Path, drawn: list[Figure]) -> None:
    plots.plot_history(history(), tmp_path / "history.png")
    assert {"head", "fine-tune", "best epoch: 5", "80.0% on validation"} <= set(texts(drawn[0]))


def test_history_reads_the_text_of_a_csv_and_leaves_gaps_open(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [{name: str(value) for name, value in row.items()} for row in history(1, 1)]
    rows[0]["val_loss"] = ""
    plots.plot_history(rows, tmp_path / "history.png")
    assert np.isnan(curve(drawn[0], 0, "validation")[0])
    assert "best epoch: 2" in texts(drawn[0])


def test_history_without_validation_has_no_best_epoch(tmp_path: Path, drawn: list[Figure]) -> None:
    plots.plot_history([{"phase": "head", "loss": 1.0, "accuracy": 0.5}], tmp_path / "history.png")
    assert not any("best" in text for text in texts(drawn[0]))


def test_an_empty_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="history is empty"):
        plots.plot_history([], tmp_path / "history.png")


def test_validation_alone_shows_its_accuracy_phases_and_best_epoch(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = history()
    plots.plot_validation(rows, tmp_path / "lessons.png")
    assert len(drawn[0].axes) == 1
    assert curve(drawn[0], 0, "validation") == [row["val_accuracy"] for row in rows]
    assert {"head", "fine-tune", "validation", "80.0% on validation"} <= set(texts(drawn[0]))
    assert "training" not in texts(drawn[0])


def test_validation_alone_of_no_epochs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="history is empty"):
        plots.plot_validation([], tmp_path / "lessons.png")


def test_confusion_shows_counts_and_row_shares(tmp_path: Path, drawn: list[Figure]) -> None:
    plots.plot_confusion([[3, 1], [0, 0]], ["daisy", "rose"], tmp_path / "confusion.png")
    assert texts(drawn[0]) == ["3\n75%", "1\n25%", "0", "0"]
    shares = np.asarray(drawn[0].axes[0].images[0].get_array())
    assert shares.tolist() == [[0.75, 0.25], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("classes", "numbers"),
    [
        pytest.param(2, 4, id="two-classes"),
        pytest.param(plots.MOST_NUMBERED, plots.MOST_NUMBERED**2, id="the-most-with-numbers"),
        pytest.param(40, 0, id="too-many-for-numbers"),
    ],
)
def test_confusion_numbers_only_cells_that_can_be_read(
    tmp_path: Path, drawn: list[Figure], classes: int, numbers: int
) -> None:
    labels = [f"a class with a long name, number {number}" for number in range(classes)]
    plots.plot_confusion(np.eye(classes, dtype=int), labels, tmp_path / "confusion.png")
    assert len(texts(drawn[0])) == numbers


def test_long_class_names_keep_their_two_ends() -> None:
    short = plots._shorten("Leucanthemum vulgare subspecies 17")
    assert len(short) == plots.LABEL_LETTERS
    assert short.startswith("Leucanthemum")
    assert short.endswith("cies 17")


@pytest.mark.parametrize("label", ["$5 rose$", "$\\frac$", "雛菊", "<b>", "a_b^c", "\\alpha"])
def test_any_class_name_can_be_drawn(tmp_path: Path, drawn: list[Figure], label: str) -> None:
    plots.plot_confusion([[1, 0], [0, 1]], [label, "rose"], tmp_path / "confusion.png")
    assert drawn[0].axes[0].get_yticklabels()[0].get_text() == label


def test_reliability_draws_one_dot_for_each_filled_bin(tmp_path: Path, drawn: list[Figure]) -> None:
    plots.plot_reliability([[0.9, 0.1], [0.88, 0.12], [0.6, 0.4]], [0, 1, 0], tmp_path / "reliability.png")
    dots = np.asarray(drawn[0].axes[0].collections[0].get_offsets())
    assert dots == pytest.approx(np.array([[0.6, 1.0], [0.89, 0.5]]))


def test_calibration_shows_both_errors_side_by_side(tmp_path: Path, drawn: list[Figure]) -> None:
    before, after = [[0.9, 0.1], [0.9, 0.1]], [[0.6, 0.4], [0.6, 0.4]]
    plots.plot_calibration(before, after, [0, 1], tmp_path / "calibration.png")
    assert [axes.get_title() for axes in drawn[0].axes] == ["before: error 0.400", "after: error 0.100"]
    dots = [np.asarray(axes.collections[0].get_offsets()).tolist() for axes in drawn[0].axes]
    assert np.array(dots) == pytest.approx(np.array([[[0.9, 0.5]], [[0.6, 0.5]]]))


def test_risk_coverage_draws_the_curve_and_where_the_threshold_stands(tmp_path: Path, drawn: list[Figure]) -> None:
    found = risk_coverage([0.9, 0.8, 0.7, 0.6], [True, True, False, False])
    plots.plot_risk_coverage(found, (0.75, 1 / 3), tmp_path / "risk.png")
    assert curve(drawn[0], 0, "surest first") == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert curve(drawn[0], 0, "in random order") == [0.5, 0.5]
    assert curve(drawn[0], 0, "the threshold: 75.0% answered") == pytest.approx([1 / 3])


def test_risk_coverage_without_a_threshold_has_no_mark(tmp_path: Path, drawn: list[Figure]) -> None:
    plots.plot_risk_coverage(risk_coverage([0.5], [True]), None, tmp_path / "risk.png")
    assert texts(drawn[0]) == ["surest first", "in random order"]


def test_scores_are_shares_of_each_kind_of_picture(tmp_path: Path, drawn: list[Figure]) -> None:
    plots.plot_scores([0.99, 0.98, 0.4, 1.0], [-1.5, 0.01], 0.5, tmp_path / "scores.png")
    known, unknown = ([bar.get_height() for bar in bars] for bars in drawn[0].axes[0].containers)
    assert (known[-1], known[12]) == (0.75, 0.25)
    assert (sum(known), unknown[0]) == (1.0, 1.0)  # the answer of a class "unknown" stands at the left end
    assert texts(drawn[0]) == ["known (4)", "unknown (2)", "threshold 0.500"]


def test_scores_of_known_pictures_alone_can_be_drawn(tmp_path: Path, drawn: list[Figure]) -> None:
    plots.plot_scores([0.9], None, None, tmp_path / "scores.png")
    assert texts(drawn[0]) == ["known (1)"]


def test_sheet_places_tiles_row_by_row_in_rgb(tmp_path: Path) -> None:
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    tiles = [(np.full((20, 20, 3), colour, np.uint8), "x") for colour in colours]
    plots.sheet(tiles, tmp_path / "sheet.png", columns=2)
    seen = cv2.imread(str(tmp_path / "sheet.png"))
    assert seen is not None
    cell_w, cell_h = plots.TILE_PX + plots.GAP_PX, plots.TILE_PX + plots.CAPTION_PX + plots.GAP_PX
    assert seen.shape == (2 * cell_h + plots.GAP_PX, 2 * cell_w + plots.GAP_PX, 3)
    middle = plots.GAP_PX + plots.TILE_PX // 2
    corners = [(middle, middle), (middle, middle + cell_w), (middle + cell_h, middle)]
    assert [tuple(int(value) for value in seen[y, x, ::-1]) for y, x in corners] == colours


def test_sheet_keeps_the_aspect_of_a_picture() -> None:
    tile = plots._fit_tile(np.zeros((10, 40, 3), np.uint8))
    dark = (tile == 0).all(axis=2)
    assert int(dark.any(axis=1).sum()) == plots.TILE_PX // 4
    assert int(dark.any(axis=0).sum()) == plots.TILE_PX


def test_sheet_wraps_a_long_caption_to_two_lines(tmp_path: Path, drawn: list[Figure]) -> None:
    caption = "a caption that is far too long for the width of one tile → and longer still 0.97"
    plots.sheet([(np.zeros((8, 8, 3), np.uint8), caption)], tmp_path / "sheet.png")
    lines = texts(drawn[0])[0].splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("…")


def test_a_sheet_of_nothing_says_so(tmp_path: Path, drawn: list[Figure]) -> None:
    plots.sheet([], tmp_path / "sheet.png")
    assert texts(drawn[0]) == ["there is nothing to show here"]


def test_a_plot_makes_its_folder_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "run" / "plots" / "history.png"
    plots.plot_history(history(), path)
    assert path.read_bytes().startswith(PNG)
    assert list(path.parent.iterdir()) == [path]


def test_drawing_leaves_matplotlib_as_it_was(tmp_path: Path) -> None:
    import matplotlib

    plots.plot_history(history(), tmp_path / "history.png")
    changed = ("font.size", "text.parse_math", "axes.grid", "grid.color")
    now, usual = dict[Any, Any](matplotlib.rcParams), dict[Any, Any](matplotlib.rcParamsDefault)
    assert [now[name] for name in changed] == [usual[name] for name in changed]


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("a file, not a folder")
    with pytest.raises(OutputError, match=r"history\.png: cannot be written \(.+\); free some space") as caught:
        plots.plot_history(history(), tmp_path / "plots" / "history.png")
    assert "\n" not in str(caught.value)


def test_augmented_tile_is_drawn_as_it_is(tmp_path: Path) -> None:
    tile = np.zeros((32, 32, 3), np.uint8)
    plots.sheet([(tile, "daisy")], tmp_path / "sheet.png")
    assert tf.io.decode_png((tmp_path / "sheet.png").read_bytes()).shape[0] > 220
