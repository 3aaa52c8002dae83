"""What is found among the photos and what is left out: on tiny pictures of noise made here."""

from __future__ import annotations

import hashlib
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import FloraError, PhotoError, UsageError
from edge.photos import damage
from edge.picture.png import TRAIN_ONLY, with_note
from edge.sinks.uncertain.store import UncertainStore
from tests.edge import fakes
from training.photos.split import counts, split
from training.photos.survey import Contradiction, Duplicate, Found, find_photos


def picture(seed: int, suffix: str = ".jpg", size_wh: tuple[int, int] = (24, 16)) -> bytes:
    """An encoded picture whose bytes depend on the seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (4, 6, 3)).astype(np.uint8)
    encoded = cv2.imencode(suffix, cv2.resize(coarse, size_wh))[1]
    return encoded.tobytes()


def fill(where: Path, number: int, first_seed: int) -> None:
    where.mkdir(parents=True, exist_ok=True)
    for seed in range(first_seed, first_seed + number):
        (where / f"{seed}.jpg").write_bytes(picture(seed))


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    """Two classes of ten photos."""
    fill(tmp_path / "photos/daisy", 10, 100)
    fill(tmp_path / "photos/rose", 10, 200)
    return tmp_path / "photos"


def one_line(error: FloraError) -> str:
    assert "\n" not in str(error)
    return str(error)


def reasons(root: Path) -> dict[str, str]:
    return {entry.path: entry.reason for entry in find_photos(root).rejected}


# --- finding and checking ---------------------------------------------------------------------------------------


def test_every_photo_is_found_with_its_class_size_and_hash(garden: Path) -> None:
    survey = find_photos(garden)
    assert survey.root == garden
    assert survey.labels == ("daisy", "rose")
    assert len(survey.photos) == 20
    assert survey.photos[0] == Found(
        "daisy/100.jpg", hashlib.sha256(picture(100)).hexdigest(), "daisy", width=24, height=16
    )
    assert [photo.path for photo in survey.photos] == sorted(photo.path for photo in survey.photos)
    assert (survey.rejected, survey.duplicates, survey.contradictions) == ((), (), ())


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm"])
def test_pictures_are_recognised_by_content_not_by_suffix(garden: Path, suffix: str) -> None:
    (garden / "daisy/no-suffix").write_bytes(picture(1, suffix))
    (garden / "daisy/wrong.txt").write_bytes(picture(2, suffix))
    assert {"daisy/no-suffix", "daisy/wrong.txt"} <= {photo.path for photo in find_photos(garden).photos}


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("empty.jpg", b"", "empty"),
        ("page.jpg", b"<html>404 not found</html>", "not a readable picture"),
        ("notes.txt", b"roses are red", "not a readable picture"),
        ("dot.png", picture(1, ".png", (1, 1)), "1x1 pixels"),
        ("half.jpg", picture(1)[:-200], "without its end marker"),
        ("almost.jpg", picture(1)[:-2], "without its end marker"),
        ("head.jpg", picture(1)[:12], "without its end marker"),
        ("half.png", picture(1, ".png")[:-60], "without its end chunk"),
        ("almost.png", picture(1, ".png")[:-12], "without its end chunk"),
        ("flipped.png", picture(1, ".png")[:-30] + b"?" + picture(1, ".png")[-29:], "checksum is wrong"),
        ("half.webp", picture(1, ".webp")[:-20], "less data than its header says"),
        ("half.bmp", picture(1, ".bmp")[:-200], "not a readable picture"),
        ("phone.jpg", b"\0\0\0\x18ftypheic" + bytes(50), "HEIC"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unusable_file_is_listed_with_its_reason_and_left_out(
    garden: Path, name: str, data: bytes, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (garden / "rose" / name).write_bytes(data)
    survey = find_photos(garden)
    assert [entry.path for entry in survey.rejected] == [f"rose/{name}"]
    assert reason in survey.rejected[0].reason
    assert not survey.rejected[0].reason.startswith("rose/")
    assert len(survey.photos) == 20
    assert capfd.readouterr().err == "" or name == "half.bmp"  # there OpenCV 4.8 writes past its own log level


def test_a_preview_inside_a_cut_jpeg_does_not_hide_the_cut(garden: Path) -> None:
    whole, preview = picture(1), picture(2)
    exif = b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview
    (garden / "rose/whole.jpg").write_bytes(whole[:2] + exif + whole[2:])
    (garden / "rose/cut.jpg").write_bytes(whole[:2] + exif + whole[2:-20])
    assert reasons(garden) == {"rose/cut.jpg": "cut short: a JPEG without its end marker"}


def test_bytes_after_the_end_of_a_picture_do_no_harm(garden: Path) -> None:
    for suffix in (".jpg", ".png", ".webp"):
        (garden / f"rose/tail{suffix}").write_bytes(picture(1, suffix) + bytes(100))
    assert reasons(garden) == {}


def test_a_file_too_large_for_a_photo_is_not_read(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage, "LARGEST_FILE", 2**20)
    with (garden / "rose/film.avi").open("wb") as film:
        film.truncate(3 * 2**20)
    assert reasons(garden) == {"rose/film.avi": "3 MiB; expected a photo of at most 1 MiB"}


def test_what_operating_systems_leave_behind_is_passed_over(garden: Path) -> None:
    for name in ("daisy/Thumbs.db", "daisy/.DS_Store", "daisy/._100.jpg", "LICENSE.txt", ".hidden.jpg"):
        (garden / name).write_bytes(b"not a photo")
    fill(garden / ".git", 10, 300)
    fill(garden / "__MACOSX", 10, 300)
    fill(garden / "rose/.trash", 10, 300)
    survey = find_photos(garden)
    assert (survey.labels, len(survey.photos), survey.rejected) == (("daisy", "rose"), 20, ())


def test_a_photo_beside_the_class_folders_is_listed(garden: Path) -> None:
    (garden / "lost.jpg").write_bytes(picture(1))
    (garden / "LOST").write_bytes(picture(2))
    (garden / "broken.jpg").write_bytes(b"")
    assert set(reasons(garden)) == {"lost.jpg", "LOST", "broken.jpg"}


def test_nested_photos_count_for_the_class_at_the_top(garden: Path) -> None:
    fill(garden / "rose/red/climbing", 3, 300)
    survey = find_photos(garden)
    assert [photo.label for photo in survey.photos if "climbing" in photo.path] == ["rose"] * 3


def test_symlink_loops_end_and_linked_folders_count(garden: Path, tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", 4, 300)
    fill(tmp_path / "unrelated", 4, 400)
    (garden / "rose/linked").symlink_to(tmp_path / "elsewhere")
    (garden / "rose/up").symlink_to(garden)
    (garden / "rose/above").symlink_to(tmp_path)
    (garden / "rose/itself").symlink_to(garden / "rose")
    (garden / "rose/nowhere.jpg").symlink_to(garden / "rose/gone.jpg")
    (garden / "rose/ring").symlink_to(garden / "rose/ring")
    survey = find_photos(garden)
    assert len(survey.photos) == 24
    assert [entry.path for entry in survey.rejected] == ["rose/nowhere.jpg", "rose/ring"]
    assert {entry.reason for entry in survey.rejected} == {"not a file, or a link to nothing"}
    assert survey.contradictions == ()


def test_a_folder_that_cannot_be_listed_is_left_out(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (garden / "rose/locked").mkdir()
    really = Path.iterdir

    def refuse(path: Path) -> object:
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return really(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "Permission denied" in reasons(garden)["rose/locked"]


def test_a_name_with_a_line_break_is_listed_in_one_line(garden: Path) -> None:
    (garden / "rose/a\nb.jpg").write_bytes(picture(1))
    (garden / "rose/ros\u00e9 \u2740.jpg").write_bytes(picture(2))
    survey = find_photos(garden)
    assert [entry.path for entry in survey.rejected] == ["rose/a\\nb.jpg"]
    assert "rose/ros\u00e9 \u2740.jpg" in {photo.path for photo in survey.photos}


def test_progress_counts_up_to_the_number_of_files(garden: Path) -> None:
    (garden / "rose/notes.txt").write_text("text")
    steps: list[tuple[int, int]] = []
    find_photos(garden, bar=lambda done, total: steps.append((done, total)))
    assert steps == [(done, 21) for done in range(1, 22)]


def test_an_interrupt_comes_through(garden: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_photos(garden, bar=interrupt)


# --- folders that cannot be trained on --------------------------------------------------------------------------


def _missing(root: Path) -> None:
    pass


def _a_file(root: Path) -> None:
    root.write_bytes(picture(1))


def _empty(root: Path) -> None:
    root.mkdir()


def _flat(root: Path) -> None:
    fill(root, 3, 0)


def _one_class(root: Path) -> None:
    fill(root / "rose", 10, 0)


def _one_too_deep(root: Path) -> None:
    fill(root / "flower_photos/rose", 10, 0)
    fill(root / "flower_photos/daisy", 10, 10)


def _split_already(root: Path) -> None:
    for number, name in enumerate(("train", "val", "test")):
        fill(root / name / "rose", 10, 10 * number)


def _too_few(root: Path) -> None:
    fill(root / "rose", 10, 0)
    fill(root / "daisy", 9, 10)
    (root / "daisy/bad.jpg").write_bytes(b"")


def _empty_class(root: Path) -> None:
    fill(root / "rose", 10, 0)
    (root / "daisy").mkdir()


def _odd_label(root: Path) -> None:
    fill(root / "rose", 10, 0)
    fill(root / "dai\nsy", 10, 10)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (_missing, "no such folder; expected a folder with one folder of photos per class"),
        (_a_file, "not a folder; expected a folder with one folder of photos per class"),
        (_empty, "no class folders and no photos; expected"),
        (_flat, "3 photos but no class folders; expected"),
        (_one_class, "one class only (rose); expected two or more class folders"),
        (_one_too_deep, "did you mean"),
        (_split_already, "the folders test, train, val are splits, not classes"),
        (_too_few, "too few usable photos in daisy (9); expected at least 10"),
        (_too_few, "left out for example daisy/bad.jpg: the file is empty"),
        (_empty_class, "too few usable photos in daisy (0)"),
        (_odd_label, "class folder 'dai\\nsy' cannot be a label; rename it"),
    ],
)
def test_a_folder_that_cannot_be_trained_on_gets_one_clear_line(
    tmp_path: Path, build: Callable[[Path], None], expected: str
) -> None:
    build(tmp_path / "photos")
    with pytest.raises(PhotoError) as caught:
        find_photos(tmp_path / "photos")
    assert expected in one_line(caught.value)
    assert str(tmp_path / "photos") in str(caught.value)


def test_the_least_number_of_photos_can_be_lowered_to_three_but_not_below(tmp_path: Path) -> None:
    fill(tmp_path / "rose", 3, 0)
    fill(tmp_path / "daisy", 3, 10)
    assert len(find_photos(tmp_path, min_per_class=3).photos) == 6
    with pytest.raises(UsageError, match="expected at least 3"):
        find_photos(tmp_path, min_per_class=2)


# --- copies -----------------------------------------------------------------------------------------------------


def test_an_exact_copy_in_the_same_class_is_kept_once(garden: Path) -> None:
    (garden / "rose/200 copy.jpg").write_bytes(picture(200))
    survey = find_photos(garden)
    assert survey.duplicates == (Duplicate("rose/200.jpg", kept="rose/200 copy.jpg"),)
    assert len(survey.photos) == 20


def test_one_picture_under_two_classes_is_left_out_everywhere(garden: Path) -> None:
    for name in ("rose/x.jpg", "rose/y.jpg", "daisy/z.jpg"):
        (garden / name).write_bytes(picture(1))
    survey = find_photos(garden)
    content = hashlib.sha256(picture(1)).hexdigest()
    assert survey.contradictions == (Contradiction(content, ("daisy/z.jpg", "rose/x.jpg", "rose/y.jpg")),)
    assert survey.duplicates == ()
    assert content not in {photo.sha256 for photo in survey.photos}


def test_copies_do_not_help_a_class_that_is_too_small(tmp_path: Path) -> None:
    fill(tmp_path / "rose", 10, 0)
    fill(tmp_path / "daisy", 5, 10)
    for index in range(10):
        (tmp_path / f"daisy/copy{index}.jpg").write_bytes(picture(10))
    with pytest.raises(PhotoError, match=r"daisy \(5\)"):
        find_photos(tmp_path)


# --- photos that a device kept ----------------------------------------------------------------------------------


def keep(folder: Path, label: str, number: int, first_seed: int) -> Path:
    """Photos as `flora run --keep-uncertain` leaves them, once labelled; the folder of class folders."""
    labelled = folder / "labelled"
    (labelled / label).mkdir(parents=True, exist_ok=True)
    for seed in range(first_seed, first_seed + number):
        (labelled / label / f"{seed}.png").write_bytes(with_note(picture(seed, ".png"), {TRAIN_ONLY: True}))
    return labelled


def splits(root: Path) -> dict[str, str]:
    return {photo.path: photo.split for photo in split(find_photos(root), seed=1)}


def test_kept_photos_are_for_training_only_and_move_no_other(garden: Path, tmp_path: Path) -> None:
    before = splits(garden)
    keep(tmp_path, "daisy", 30, 1000)
    shutil.copytree(keep(tmp_path, "rose", 5, 2000), garden, dirs_exist_ok=True)
    after = splits(garden)
    assert {path: name for path, name in after.items() if path in before} == before
    assert {name for path, name in after.items() if path not in before} == {"train"}
    assert len(after) == len(before) + 35
    assert find_photos(garden).train_only == 35


def test_kept_photos_may_be_linked_below_a_class_or_renamed(garden: Path, tmp_path: Path) -> None:
    labelled = keep(tmp_path, "daisy", 3, 1000)
    (garden / "daisy/field").symlink_to(labelled / "daisy", target_is_directory=True)
    shutil.copy(keep(tmp_path, "rose", 1, 2000) / "rose/2000.png", garden / "rose/IMG_1.jpg")
    found = splits(garden)
    assert [found[path] for path in ("daisy/field/1000.png", "daisy/field/1002.png", "rose/IMG_1.jpg")] == ["train"] * 3


def test_a_frame_kept_and_labelled_on_a_device_trains(garden: Path, tmp_path: Path) -> None:
    store = UncertainStore(tmp_path / "kept", ("daisy", "rose"))
    path = store.offer(fakes.decision((0.5, 0.5), labels=("daisy", "rose")), fakes.frame())
    assert path is not None
    store.label(path.stem, "rose")
    shutil.copytree(tmp_path / "kept/labelled", garden, dirs_exist_ok=True)
    assert splits(garden)[f"rose/{path.name}"] == "train"


def test_kept_photos_alone_have_nothing_to_be_measured_on(tmp_path: Path) -> None:
    keep(tmp_path, "daisy", 12, 1000)
    labelled = keep(tmp_path, "rose", 12, 2000)
    with pytest.raises(PhotoError, match=r"too few photos to measure on in daisy \(0\), rose \(0\)") as caught:
        find_photos(labelled)
    assert f"cp -r {labelled}/. PHOTOS/" in one_line(caught.value)


def test_kept_photos_count_towards_enough_but_not_towards_what_is_measured_on(garden: Path, tmp_path: Path) -> None:
    fill(garden / "tulip", 3, 300)
    shutil.copytree(keep(tmp_path, "tulip", 7, 3000), garden, dirs_exist_ok=True)
    assert counts(split(find_photos(garden), seed=1))["tulip"] == {"train": 8, "validation": 1, "test": 1}
    (garden / "tulip/300.jpg").unlink()
    keep(tmp_path, "tulip", 8, 3000)
    shutil.copytree(tmp_path / "labelled", garden, dirs_exist_ok=True)
    with pytest.raises(PhotoError, match=r"too few photos to measure on in tulip \(2\)"):
        find_photos(garden)


def test_unusable_files_and_copies_move_no_photo(garden: Path) -> None:
    before = split(find_photos(garden), seed=3)
    (garden / "rose/0 bad.jpg").write_bytes(b"nothing")
    (garden / "rose/zz copy.jpg").write_bytes(picture(200))
    assert split(find_photos(garden), seed=3) == before
