"""The drill of false sightings: what it shows, what it counts, and that it knows what a run has learned from."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract.rejection import Rejection
from edge.live.scenes import Sighted
from edge.photos.manifest import Photo, Split, write_manifest
from tests.drills import sightings
from tests.drills.sightings import FPS, SIZE_WH, Noise, Planned, Shot, Shown, Stream, evenly, judged, without_end
from tests.edge.model import tiny

RED, GREEN = "red", "green"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Names the colour; grey it calls unknown."""
    return tiny.write_model(tmp_path / "colours.tflite", rejection=Rejection("probability", 0.5, 0.95))


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    folder = tmp_path / "others" / "deeper"
    folder.mkdir(parents=True)
    for number, level in enumerate((40, 128, 200)):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((90, 120, 3), level, np.uint8))
    return folder.parent


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    folder = tmp_path / "flowers"
    for colour in tiny.LABELS:
        for number in range(3):
            tiny.write_photo(folder / colour / f"{number}.png", colour, (60 + number, 50))
    tiny.write_photo(folder / RED / "wrong.png", "blue", (70, 50))
    return folder


def listed(folder: Path, run: Path, split: Split, label: str) -> None:
    """A manifest of all pictures in a folder; `wrong.png` alone is a test photo."""
    photos = [
        Photo(
            path.name, hashlib.sha256(path.read_bytes()).hexdigest(), label,
            "test" if path.name == "wrong.png" else split, 9, 9,
        )
        for path in sorted(folder.rglob("*.png"))
    ]  # fmt: skip
    run.mkdir()
    write_manifest(run / "manifest.csv", photos)


def gradient(width: int, height: int) -> np.ndarray:
    """A picture whose blue says how far right a pixel is, and green how far down."""
    found = np.zeros((height, width, 3), np.uint8)
    found[..., 0] = np.linspace(0, 255, width)[None]
    found[..., 1] = np.linspace(0, 255, height)[:, None]
    return found


@pytest.mark.parametrize("size_wh", [(120, 90), (2000, 900), (300, 1400)], ids=["small", "wide", "tall"])
def test_a_shot_moves_slowly_and_never_leaves_the_picture(size_wh: tuple[int, int]) -> None:
    shot = Shot(gradient(*size_wh), 40, np.random.default_rng(4))
    frames = [shot.frame(number).astype(int) for number in range(40)]
    assert all(frame.shape == (SIZE_WH[1], SIZE_WH[0], 3) for frame in frames)
    steps = [float(np.abs(b - a).mean()) for a, b in pairwise(frames)]
    assert sum(steps) > 0
    assert max(steps) < 8
    assert steps[0] < max(steps) > steps[-1]  # it starts and stops gently
    assert (shot.frame(99) == shot.frame(39)).all()


def test_noise_is_small_and_new_in_each_frame() -> None:
    noise, plain = Noise(np.random.default_rng(0)), np.full((SIZE_WH[1], SIZE_WH[0], 3), 100, np.uint8)
    first, second = noise.add(plain).astype(int), noise.add(plain).astype(int)
    assert first.mean() == pytest.approx(100, abs=0.1)
    assert 2.5 < first.std() < 3.5
    assert (first != second).mean() > 0.5


def test_a_stream_is_stamped_in_its_own_seconds_and_ends_in_time(grey: Path) -> None:
    paths = sorted(grey.rglob("*.png"))
    stream, frames = Stream("things", without_end(paths, 1), 1, seconds=12.0), list[float]()
    while frame := stream.read():
        frames.append(frame.captured_at)
    assert frames == [number / FPS for number in range(120)]
    assert {shown.path for shown in stream.shown[:3]} == set(paths)  # each before one comes again
    assert all(3.0 <= shown.ended_s - shown.began_s <= 5.0 for shown in stream.shown)
    assert [a.ended_s for a in stream.shown[:-1]] == pytest.approx([b.began_s for b in stream.shown[1:]])


def test_classes_take_turns_among_the_flowers() -> None:
    photos = [(Path(f"{label}{number}"), label) for label, count in ((RED, 9), (GREEN, 2)) for number in range(count)]
    assert Counter(one.label for one in evenly(photos, 4, seed=0)) == {RED: 2, GREEN: 2}
    assert Counter(one.label for one in evenly(photos, 60, seed=0)) == {RED: 9, GREEN: 2}
    assert len({one.path for one in evenly(photos, 60, seed=0)}) == 11


def test_a_flower_is_sighted_under_its_name_under_another_or_missed() -> None:
    shown = [Shown(Path("x"), label, 4.0 * i, 4.0 * i + 4) for i, label in enumerate((RED, "unknown", RED, RED, GREEN))]
    seen = [
        Sighted(RED, 0.4, 4.3, 0.9),  # right, and a little into the next picture
        Sighted(GREEN, 4.5, 8.6, 0.9),  # of no flower; its end is no second of the next one
        Sighted(GREEN, 9.0, 11.0, 0.9),  # another name
        Sighted(RED, 16.0, 17.5, 0.9),  # both names
        Sighted(GREEN, 17.6, 20.0, 0.9),
    ]
    assert judged(shown, seen) == {"flowers": 4, "right": 2, "right_alone": 1, "wrong": 1, "missed": 1}


def test_grey_has_no_sighting_and_flowers_are_judged_by_their_names(
    model: Path, grey: Path, flowers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(model), str(grey), "--minutes", "0.5", "--flowers", str(flowers), "--json"]
    assert sightings.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["scene"]["seconds"], found["scene"]["frames"], found["scene"]["named"]) == (30.0, 300, 0.0)
    assert found["scene"]["sightings"] == 0
    figures = {name: found["flowers"][name] for name in ("flowers", "right", "right_alone", "wrong", "missed")}
    assert figures == {"flowers": 10, "right": 9, "right_alone": 9, "wrong": 1, "missed": 0}
    assert sightings.main(arguments) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["flowers"]["stream"]["scene"] == found["flowers"]["stream"]["scene"]


def test_false_sightings_are_counted_by_the_hour(
    model: Path, flowers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sightings.main([str(model), str(flowers), "--minutes", "1"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  other things"))
    _, seconds, frames, named, surely, count, an_hour, sure, _ = line.split(maxsplit=9)[1:10]
    assert (seconds, frames) == ("60.0", "600")
    assert float(named.rstrip("%")) > 95  # of a fade from one colour to another a frame may be unsure
    assert float(an_hour) == 60 * int(count) > 0
    assert int(sure) <= int(count)
    assert surely.endswith("%")


def test_of_a_run_only_test_photos_are_shown(model: Path, grey: Path, flowers: Path, tmp_path: Path) -> None:
    listed(flowers, tmp_path / "run", "train", RED)
    assert [path.name for path, _ in sightings.flowers_of(flowers, tmp_path / "run", tiny.LABELS)] == ["wrong.png"]
    assert [path.name for path in sightings.pictures_of(flowers, tmp_path / "run")] == ["wrong.png"]
    assert len(sightings.pictures_of(grey, tmp_path / "run")) == 3  # the run does not know them


def test_what_cannot_be_shown_is_one_line(
    model: Path, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed(grey, tmp_path / "run", "validation", "unknown")
    assert sightings.main([str(model), str(grey), "--test-of", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err == (
        f"sightings: {grey}: all its pictures were trained or chosen on; expected others\n"
    )


def test_a_picture_that_is_broken_is_left_out(grey: Path) -> None:
    (grey / "broken.png").write_bytes(b"no picture")
    plan = [Planned(grey / "broken.png", "unknown"), *islice(without_end(sorted(grey.rglob("1.png")), 0), 1)]
    stream = Stream("things", iter(plan), 0)
    assert stream.read() is not None
    assert [shown.path.name for shown in stream.shown] == ["1.png"]
    assert len(stream.warnings) == 1
