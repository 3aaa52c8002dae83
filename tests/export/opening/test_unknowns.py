"""Pictures given with --unknown: halved by their bytes, for every size, the run's own left out, too few refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import PhotoError
from edge.picture.geometry import model_input, read_photo
from export.opening.finished_run import FinishedRun, open_run
from export.opening.unknowns import FEWEST, read_unknowns
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


SIZES = (colours.SIZE, 24)


def test_one_half_chooses_and_the_other_reports(run: FinishedRun, tmp_path: Path) -> None:
    found = read_unknowns(others(tmp_path, 13), run, [32], silent, silent)
    assert found.choosing(32).shape == (6, 32, 32, 3)
    assert found.reporting(32).shape == (7, 32, 32, 3)
    both = {view.tobytes() for view in (*found.choosing(32), *found.reporting(32))}
    assert len(both) == 13
    assert "6 for the threshold, 7 measured on" in found.note


def test_networks_of_all_sizes_see_the_same_pictures_of_each_half(run: FinishedRun, tmp_path: Path) -> None:
    found = read_unknowns(others(tmp_path, 12), run, SIZES, silent, silent)
    seen = {
        model_input(read_photo(path), size).tobytes(): (path.name, size)
        for path in tmp_path.rglob("*.png")
        for size in SIZES
    }
    for half in (found.choosing, found.reporting):
        large, small = ([seen[view.tobytes()] for view in half(size)] for size in SIZES)
        assert [name for name, _ in large] == [name for name, _ in small]
        assert {size for _, size in small} == {24}


def test_the_halves_follow_the_bytes_and_not_the_names(run: FinishedRun, tmp_path: Path) -> None:
    first = read_unknowns(others(tmp_path / "a", 12), run, [32], silent, silent)
    for number, path in enumerate(sorted(others(tmp_path / "b", 12).rglob("*.png"))):
        path.rename(path.with_name(f"renamed{99 - number}.png"))
    again = read_unknowns(tmp_path / "b", run, [32], silent, silent)
    assert (first.choosing(32) == again.choosing(32)).all()


def test_photos_of_the_run_and_copies_do_not_count(run: FinishedRun, root: Path, tmp_path: Path) -> None:
    folder = others(tmp_path, FEWEST - 1)
    told: list[str] = []
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "own.png").write_bytes((root / run.photos[0].path).read_bytes())
    with pytest.raises(PhotoError, match=f"{FEWEST - 1} different pictures; expected at least {FEWEST}"):
        read_unknowns(folder, run, [32], told.append, silent)
    assert told == ["left out 1 photos that are among the run's own"]


def test_a_folder_that_is_not_there_is_one_line(run: FinishedRun, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no such folder; expected a folder of pictures"):
        read_unknowns(tmp_path / "nowhere", run, [32], silent, silent)
