"""Pictures given with --unknown: halved by their bytes, the run's own left out, too few refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import PhotoError
from export.trained import FinishedRun, open_run
from export.unknowns import FEWEST, read_unknowns
from tests.export import colours


@pytest.fixture(scope="module")
def run(run_folder: Path) -> FinishedRun:
    return open_run(run_folder)


def others(folder: Path, count: int) -> Path:
    """Pictures of noise, in folders of several depths."""
    for number in range(count):
        path = folder / ("deep/er" if number % 2 else "") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        path.write_bytes(cv2.imencode(".png", noise)[1].tobytes())
    return folder


def silent(*_: object) -> None:
    """No one listens."""


def test_one_half_chooses_and_the_other_reports(run: FinishedRun, tmp_path: Path) -> None:
    found = read_unknowns(others(tmp_path, 13), run, silent, silent)
    assert (found.choosing.shape, found.reporting.shape) == ((6, colours.SIZE, colours.SIZE, 3), (7, 32, 32, 3))
    both = {view.tobytes() for view in (*found.choosing, *found.reporting)}
    assert len(both) == 13
    assert "6 for the threshold, 7 measured on" in found.note


def test_the_halves_follow_the_bytes_and_not_the_names(run: FinishedRun, tmp_path: Path) -> None:
    first = read_unknowns(others(tmp_path / "a", 12), run, silent, silent)
    for number, path in enumerate(sorted(others(tmp_path / "b", 12).rglob("*.png"))):
        path.rename(path.with_name(f"renamed{99 - number}.png"))
    again = read_unknowns(tmp_path / "b", run, silent, silent)
    assert (first.choosing == again.choosing).all()


def test_photos_of_the_run_and_copies_do_not_count(run: FinishedRun, root: Path, tmp_path: Path) -> None:
    folder = others(tmp_path, FEWEST - 1)
    told: list[str] = []
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "own.png").write_bytes((root / run.photos[0].path).read_bytes())
    with pytest.raises(PhotoError, match=f"{FEWEST - 1} different pictures; expected at least {FEWEST}"):
        read_unknowns(folder, run, told.append, silent)
    assert told == ["left out 1 photos that are among the run's own"]


def test_a_folder_that_is_not_there_is_one_line(run: FinishedRun, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no such folder; expected a folder of pictures"):
        read_unknowns(tmp_path / "nowhere", run, silent, silent)
