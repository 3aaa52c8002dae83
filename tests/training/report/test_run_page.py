"""The page of a run: complete, self-contained, and safe with any class name."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from edge.errors import OutputError
from edge.evaluation.accuracy import Scores, score
from training.report import run_page
from training.report.plots import plot_history

LABELS = ["daisy", "rose", "tulip"]


class Reader(HTMLParser):
    """Collects tags, addresses and text, and checks that what is opened is closed."""

    VOID = frozenset({"meta", "img"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.attributes: set[str] = set()
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def scores() -> Scores:
    return score([0, 0, 1, 1], np.eye(3)[[0, 1, 1, 1]], LABELS)


@pytest.fixture
def plot(tmp_path: Path) -> Path:
    path = tmp_path / "plots" / "history.png"
    plot_history([{"phase": "head", "loss": 1, "accuracy": 0, "val_loss": 1, "val_accuracy": 0}], path)
    return path


def write(path: Path, test_scores: Scores, **changes: object) -> Reader:
    options = {"title": "Run", "summary_rows": [], "scores": {"test": test_scores}, "plots": [], **changes}
    run_page.write_report(path, **options)  # type: ignore[arg-type]
    return Reader(path.read_text(encoding="utf-8"))


def test_report_tells_the_result_of_each_set_of_photos(tmp_path: Path, scores: Scores) -> None:
    page = write(tmp_path / "report.html", scores, scores={"validation": scores, "test": scores})
    assert page.text.count("75.0%") >= 2
    assert "top-1 on 4 validation photos" in page.text
    assert "top-1 on 4 test photos" in page.text
    assert "95% interval 30.1% to 95.4%" in page.text


def test_report_lists_classes_mistakes_settings_and_notes(tmp_path: Path, scores: Scores) -> None:
    page = write(tmp_path / "report.html", scores, summary_rows=[("batch", "32")], notes=["few tulips"])
    for expected in ("tulip", "daisy → rose (1)", "batch", "32", "few tulips"):
        assert expected in page.text


def test_report_shows_an_undefined_score_as_a_dash(tmp_path: Path, scores: Scores) -> None:
    write(tmp_path / "report.html", scores)
    row = re.search(r'<tr><th scope="row">tulip</th>(.*?)</tr>', (tmp_path / "report.html").read_text("utf-8"))
    assert row is not None
    assert row[1] == "<td>-</td><td>-</td><td>-</td><td>0</td>"


def test_report_holds_its_pictures_and_explains_them(tmp_path: Path, scores: Scores, plot: Path) -> None:
    page = write(tmp_path / "report.html", scores, plots=[("Learning curves", plot)])
    [address] = page.addresses
    assert base64.b64decode(address.removeprefix("data:image/png;base64,")) == plot.read_bytes()
    assert "the gap is overfitting" in page.text


@pytest.mark.parametrize(
    ("name", "key"),
    [("confusion.png", "confusion"), ("confusion-test.png", "confusion"), ("mistakes_test.png", "mistakes")],
)
def test_report_finds_the_explanation_by_file_name(
    tmp_path: Path, scores: Scores, plot: Path, name: str, key: str
) -> None:
    page = write(tmp_path / "report.html", scores, plots=[("A plot", plot.rename(tmp_path / name))])
    assert run_page.HOW_TO_READ[key] in page.text


def test_report_shows_a_plot_that_needs_no_explanation(tmp_path: Path, scores: Scores, plot: Path) -> None:
    page = write(tmp_path / "report.html", scores, plots=[("Anything", plot.rename(tmp_path / "other.png"))])
    assert "Anything" in page.text
    assert len(page.addresses) == 1


def test_report_needs_nothing_from_outside(tmp_path: Path, scores: Scores, plot: Path) -> None:
    write(tmp_path / "report.html", scores, plots=[("Learning curves", plot)])
    page = re.sub(r'src="data:[^"]*"', "", (tmp_path / "report.html").read_text("utf-8"))
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link", page)
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", 'a" onerror="b', "rose & thorn", "$body ${style}"])
def test_report_takes_all_text_as_text(tmp_path: Path, plot: Path, text: str) -> None:
    scores = score([0, 1], np.eye(2)[[1, 1]], [text, "rose"])
    page = write(
        tmp_path / "report.html",
        scores,
        title=text,
        summary_rows=[(text, text)],
        scores={text: scores},
        plots=[(text, plot)],
        notes=[text],
    )
    assert "script" not in page.tags
    assert "onerror" not in page.attributes
    assert page.text.count(text) >= 7
    assert [address[:5] for address in page.addresses] == ["data:"]


def test_a_missing_plot_is_one_clear_line_and_leaves_no_page(tmp_path: Path, scores: Scores) -> None:
    with pytest.raises(OutputError, match=r"gone\.png: cannot be read \(.+\); draw it before the report"):
        write(tmp_path / "report.html", scores, plots=[("Gone", tmp_path / "gone.png")])
    assert list(tmp_path.iterdir()) == []


def test_report_that_cannot_be_written_is_one_clear_line(tmp_path: Path, scores: Scores) -> None:
    (tmp_path / "run").write_text("a file, not a folder")
    with pytest.raises(OutputError, match=r"report\.html: cannot be written"):
        write(tmp_path / "run" / "report.html", scores)
