"""Spoilt photos: each corruption does what its line says, more at each strength, and the table counts by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract.rejection import Rejection
from edge.evaluation.held_out import Read
from tests.edge.fakes import FakeClassifier, result
from tests.edge.model import tiny
from tests.studies import corruptions
from tests.studies.corruptions import CORRUPTIONS, Row, camera_square, spoilt, study


def scene(side: int = 200) -> np.ndarray:
    """Blurred noise: edges of every size, and nothing near black or white."""
    drawn = np.random.default_rng(1).integers(60, 200, (side // 8, side // 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(drawn, (side, side), interpolation=cv2.INTER_CUBIC))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_strength_spoils_more_and_the_same_photo_alike(name: str) -> None:
    square = scene()
    found = [spoilt(square, Row(name, strength), 5) for strength in range(6)]
    assert (found[0] == square).all()
    assert all(one.shape == square.shape and one.dtype == np.uint8 for one in found)
    if name != "out of the frame":
        lost = [float(np.abs(one.astype(int) - square).mean()) for one in found]
        assert lost == sorted(set(lost))
    assert (spoilt(square, Row(name, 3), 5) == found[3]).all()


def test_dark_keeps_a_third_of_the_light_in_the_middle() -> None:
    assert spoilt(np.full((8, 8, 3), 200, np.uint8), Row("dark", 3), 0).mean() == 70


def test_noise_has_the_sigma_that_is_stated() -> None:
    assert spoilt(np.full((99, 99, 3), 128, np.uint8), Row("noise", 3), 0).std() == pytest.approx(18, rel=0.05)


def test_blur_is_a_share_of_the_side() -> None:
    small, large = (spoilt(scene(side), Row("blur", 4), 0).astype(float) for side in (100, 400))
    assert small.std() < scene(100).std()
    edge = np.zeros((400, 400, 3), np.uint8)
    edge[:, 200:] = 255
    line = spoilt(edge, Row("blur", 3), 0)[200, :, 0]
    assert np.flatnonzero((line > 255 * 0.16) & (line < 255 * 0.84)).size == pytest.approx(2 * 4, abs=1)  # 1 % of 400
    assert large.shape == (400, 400, 3)


def test_what_leaves_the_frame_is_gone_and_the_other_edge_is_mirrored() -> None:
    square = np.tile(np.arange(100, dtype=np.uint8)[None, :, None], (100, 1, 3))
    seen = {tuple(spoilt(square, Row("out of the frame", 3), seed)[0, :, 0].tolist()) for seed in range(20)}
    left = (*range(35, 100), *range(98, 63, -1))
    right = (*range(35, 0, -1), *range(65))
    assert seen == {left, right}


def test_a_photo_is_cut_to_its_square_and_reduced_to_a_cameras_size() -> None:
    assert camera_square(np.zeros((900, 1600, 3), np.uint8)).shape == (480, 480, 3)
    assert camera_square(np.zeros((100, 160, 3), np.uint8)).shape == (100, 100, 3)
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = 9
    assert (camera_square(wide) == 9).all()


def test_the_table_counts_unknown_and_right_among_those_named() -> None:
    """A model that calls the dark unknown, and all else roses."""
    model = FakeClassifier(
        lambda frame_bgr: result(0.1, 0.4 if frame_bgr.mean() < 40 else 0.8, 0.1, threshold=0.5)
    )
    grey = np.full((20, 20, 3), 100, np.uint8)
    photos = [Read(label, f"{number:08x}", grey) for number, label in enumerate(("roses", "tulips"))]
    table = study(model, [*photos, Read("unknown", "9" * 8, np.zeros((20, 20, 3), np.uint8))])
    rows = {(row.name, row.strength): (row.photos, row.unknown, row.right) for row in table.rows}
    assert len(rows) == 26
    assert rows["as it is", 0] == rows["dark", 2] == rows["JPEG", 5] == (2, 0, 1)
    assert rows["dark", 3] == rows["dark", 5] == (2, 2, 0)
    lines = table.text().splitlines()
    assert "| dark | 3, middle | 100.0% (34.2% to 100.0%) | - |" in lines
    assert "| as it is | - | 0.0% (0.0% to 65.8%) | 50.0% (9.5% to 90.5%) |" in lines


def test_a_folder_or_a_run_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny.write_model(tmp_path / "colours.tflite", rejection=Rejection("probability", 0.5, 0.95))
    for colour in tiny.LABELS:
        tiny.write_photo(tmp_path / "photos" / colour / "1.png", colour)
    assert corruptions.main([str(model), "--photos", str(tmp_path / "photos")]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"colours.tflite on 3 photos of {tmp_path}/photos\n\n| corruption |")
    assert "| JPEG | 1 | 0.0% (0.0% to 56.1%) | 100.0% (43.9% to 100.0%) |" in out
    assert corruptions.main([str(model), "--photos", str(tmp_path / "gone")]) == 1
    assert "gone: no such folder" in capsys.readouterr().err
