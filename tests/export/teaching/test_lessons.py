"""Lessons on disk: what the teacher was asked and answered, the same after a break, every one once in a pass."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import ModelError, OutputError
from export.teaching.lessons import ANSWERS, DONE, Course, Lessons, LiveLessons, prepare
from training.network.keras import keras, tf

SIZE, BATCH, CLASSES = 16, 4, 3  # of the teacher's pictures
COURSE = Course((SIZE, 8), passes=3, photos=12, seed=7)

Batches = Callable[[int], Iterator[Any]]


def augmented(photos: int = COURSE.photos) -> Batches:
    """Passes over blotches of colour, different in each pass; without labels, for nobody may look at them."""

    def batches(number: int) -> Iterator[Any]:
        draws = np.random.default_rng([11, number])
        blotches = draws.uniform(-1, 1, (photos, 4, 4, 3)).astype(np.float32)
        pictures = tf.image.resize(blotches, (SIZE, SIZE), "nearest").numpy()
        for start in range(0, photos, BATCH):
            yield (pictures[start : start + BATCH], None), None, None

    return batches


@pytest.fixture(scope="module")
def teacher() -> Any:
    """Answers from the mean colour, so with the same to a picture of any size."""
    picture = keras.Input((None, None, 3))
    logits = keras.layers.Dense(CLASSES)(keras.layers.GlobalAveragePooling2D()(picture))
    model = keras.Model(picture, keras.layers.Softmax()(logits))
    model.set_weights([4 * np.eye(3, dtype=np.float32), np.zeros(3, np.float32)])
    return model


@pytest.fixture(scope="module")
def lessons(teacher: Any, tmp_path_factory: pytest.TempPathFactory) -> Lessons:
    """Made in one go. Not to be changed."""
    return prepare(teacher, augmented(), COURSE, tmp_path_factory.mktemp("lessons"))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def arrays(lessons: Lessons, size: int = SIZE) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    return np.load(lessons.folder / f"pictures-{size}.npy"), np.load(lessons.folder / ANSWERS)


@pytest.mark.parametrize("size", COURSE.sizes)
def test_pictures_are_those_that_the_teacher_was_asked_about(size: int, lessons: Lessons, teacher: Any) -> None:
    pictures, answers = arrays(lessons, size)
    assert pictures.shape == (36, size, size, 3)
    again = teacher(pictures.astype(np.float32) / 127.5 - 1).numpy()
    assert np.exp(answers) == pytest.approx(again, abs=0.01)
    assert np.ptp(np.exp(answers), axis=0).min() > 0.3  # or it would prove nothing


def test_pictures_are_mixtures_of_two_neighbours(lessons: Lessons) -> None:
    """The first share of each is at least a half; what is left of the second is found by least squares."""
    photos = next(augmented()(0))[0][0].astype(np.float64)
    mixed = arrays(lessons)[0][:BATCH].astype(np.float64) / 127.5 - 1
    shares = []
    for number in range(BATCH):
        parts = np.stack([photos[number].ravel(), photos[number - 1].ravel()], axis=1)
        found, *_ = np.linalg.lstsq(parts, mixed[number].ravel(), rcond=None)
        assert found.sum() == pytest.approx(1, abs=0.01)
        shares.append(found[1])
    assert 0 <= min(shares) < max(shares) <= 0.5 + 0.01
    assert len({round(share, 3) for share in shares}) == BATCH


def test_nothing_is_mixed_where_mixing_is_off(teacher: Any, tmp_path: Path) -> None:
    found = prepare(teacher, augmented(4), Course((SIZE,), 1, 4, mixing=0.0), tmp_path)
    photos = next(augmented(4)(0))[0][0]
    assert np.abs(arrays(found)[0] / 127.5 - 1 - photos).max() <= 0.5 / 127.5 + 1e-6


def test_answers_are_logarithms_of_probabilities_and_finite(tmp_path: Path) -> None:
    certain = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(CLASSES, use_bias=False)])
    certain.build((None, SIZE, SIZE, 3))
    certain.set_weights([np.zeros((3, CLASSES), np.float32)])  # a probability of nought
    answers = arrays(prepare(certain, augmented(), Course((SIZE,), 1, 12), tmp_path))[1]
    assert answers == pytest.approx(np.log(1e-7))


def test_a_pass_is_the_same_whenever_it_is_made(lessons: Lessons, teacher: Any, tmp_path: Path) -> None:
    again = prepare(teacher, augmented(), COURSE, tmp_path)
    assert content(again.folder) == content(lessons.folder)


def test_passes_and_seeds_differ(lessons: Lessons, teacher: Any, tmp_path: Path) -> None:
    pictures, _ = arrays(lessons)
    assert (pictures[:12] != pictures[12:24]).any()

    def one_pass(number: int) -> Iterator[Any]:
        return augmented()(0)  # the photos of the first pass, again and again

    same_photos = arrays(prepare(teacher, one_pass, Course((SIZE,), 2, 12, seed=7), tmp_path / "passes"))[0]
    assert (same_photos[:12] == pictures[:12]).all()
    assert (same_photos[12:] != pictures[:12]).any()  # mixed otherwise
    other = arrays(prepare(teacher, one_pass, Course((SIZE,), 1, 12, seed=8), tmp_path / "seeds"))[0]
    assert (other != pictures[:12]).any()


@pytest.mark.parametrize("batch", [4, 5])
def test_live_lessons_are_those_on_disk(batch: int, lessons: Lessons, teacher: Any) -> None:
    pictures, answers = arrays(lessons)
    live = LiveLessons(teacher, augmented(), COURSE)
    for epoch in (0, 2):
        data = live.batches(SIZE, epoch, batch, 0)
        assert data.options().autotune.enabled is False  # the thread that tunes holds up the end of an epoch
        given = list(data.as_numpy_iterator())
        assert len(given) == live.steps(batch) == 12 // batch
        assert {seen.shape for seen, _ in given} == {(batch, SIZE, SIZE, 3)}
        rows = slice(12 * epoch, 12 * epoch + len(given) * batch)
        assert np.concatenate([seen for seen, _ in given]) == pytest.approx(pictures[rows] / 127.5 - 1.0, abs=1e-6)
        assert np.concatenate([answer for _, answer in given]) == pytest.approx(answers[rows], abs=1e-5)


def broken(at_pass: int, at_step: int) -> Batches:
    """As `augmented`, but it breaks off."""

    def batches(number: int) -> Iterator[Any]:
        for step, batch in enumerate(augmented()(number)):
            if (number, step) == (at_pass, at_step):
                raise KeyboardInterrupt
            yield batch

    return batches


@pytest.mark.parametrize(("at_pass", "at_step"), [(0, 1), (1, 0), (2, 2)], ids=["at first", "between", "at the end"])
def test_a_break_changes_nothing(at_pass: int, at_step: int, lessons: Lessons, teacher: Any, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(teacher, broken(at_pass, at_step), COURSE, tmp_path)
    asked: list[int] = []

    def batches(number: int) -> Iterator[Any]:
        asked.append(number)
        return augmented()(number)

    prepare(teacher, batches, COURSE, tmp_path)
    assert asked == list(range(at_pass, 3))  # whole passes are not made again
    assert content(tmp_path) == content(lessons.folder)


def test_lessons_that_are_there_are_not_made_again(lessons: Lessons, teacher: Any) -> None:
    again = prepare(teacher, lambda number: pytest.fail("made again"), COURSE, lessons.folder)
    assert again == lessons


def change_record(folder: Path, **changes: Any) -> None:
    """What the record of lessons says, changed."""
    found = json.loads((folder / DONE).read_bytes())
    (folder / DONE).write_text(json.dumps(found | changes))


def test_lessons_whose_record_says_more_or_less_are_gone_on_with(teacher: Any, tmp_path: Path) -> None:
    course = Course((SIZE,), 2, 12, seed=0)
    with pytest.raises(KeyboardInterrupt):
        prepare(teacher, broken(1, 0), course, tmp_path)
    change_record(tmp_path, hardness=[1], format="1.1")
    found = json.loads((tmp_path / DONE).read_bytes())
    del found["seed"], found["mixing"]  # they are as the course states them
    (tmp_path / DONE).write_text(json.dumps(found))
    lessons = prepare(teacher, broken(0, 0), course, tmp_path)  # the first pass is not asked for
    assert lessons.course == replace(course, others={"hardness": [1], "format": "1.1"})
    assert json.loads((tmp_path / DONE).read_bytes()) == found | {"done": 2, "seed": 0, "mixing": 0.5}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "is of format 2, this Flora reads format 1; update Flora"),
        ({"passes": "three"}, "passes is 'three', expected a whole number"),
        ({"done": 4}, "done is 4, expected 0 to 3"),
    ],
    ids=str,
)
def test_a_record_of_lessons_that_is_none_is_told_in_one_line(
    changes: dict[str, Any], said: str, teacher: Any, tmp_path: Path
) -> None:
    prepare(teacher, augmented(), COURSE, tmp_path)
    change_record(tmp_path, **changes)
    with pytest.raises(ModelError) as caught:
        prepare(teacher, augmented(), COURSE, tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "spoil",
    [lambda folder: (folder / "pictures-8.npy").unlink(), lambda folder: (folder / ANSWERS).unlink()],
    ids=["pictures", "answers"],
)
def test_lessons_with_a_file_gone_are_made_anew(
    spoil: Callable[[Path], None], lessons: Lessons, teacher: Any, tmp_path: Path
) -> None:
    prepare(teacher, augmented(), COURSE, tmp_path)
    spoil(tmp_path)
    prepare(teacher, augmented(), COURSE, tmp_path)
    assert content(tmp_path) == content(lessons.folder)


@pytest.mark.parametrize(
    "other", [Course((8,), 3, 12, seed=7), Course((SIZE, 8), 4, 12, seed=7), Course((SIZE, 8), 3, 12, seed=8)], ids=str
)
def test_lessons_of_another_course_are_not_gone_on_with(other: Course, teacher: Any, tmp_path: Path) -> None:
    prepare(teacher, augmented(), COURSE, tmp_path / "both")
    both = prepare(teacher, augmented(), other, tmp_path / "both")
    alone = prepare(teacher, augmented(), other, tmp_path / "alone")
    for size in other.sizes:
        for found, expected in zip(arrays(both, size), arrays(alone, size), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_a_last_smaller_batch_is_kept(teacher: Any, tmp_path: Path) -> None:
    photos = 10  # in batches of 4, 4 and 2
    lessons = prepare(teacher, augmented(photos), Course((SIZE,), 2, photos), tmp_path)
    pictures, answers = arrays(lessons)
    assert len(pictures) == len(answers) == 20
    assert np.exp(answers) == pytest.approx(teacher(pictures.astype(np.float32) / 127.5 - 1).numpy(), abs=0.01)
    assert (np.ptp(pictures, axis=(1, 2)) > 0).any(axis=1).all()  # none was left blank


@pytest.mark.parametrize("photos", [8, 16], ids=["too few", "too many"])
def test_a_pass_of_another_length_is_a_defect(photos: int, teacher: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"pass 0 had {photos} photos, the course says 12"):
        prepare(teacher, augmented(photos), COURSE, tmp_path)
    assert not (tmp_path / DONE).exists()


def test_progress_counts_all_passes_to_the_end(teacher: Any, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    prepare(teacher, augmented(), COURSE, tmp_path, lambda *state: seen.append(state))
    assert [done for done, _, _ in seen] == list(range(4, 37, 4))
    assert seen[-1] == (36, 36, "pass 3/3")


def test_a_full_disk_is_told_in_one_line(teacher: Any, tmp_path: Path) -> None:
    (tmp_path / "pictures-8.npy").symlink_to("/dev/full")
    expected = (
        r"^[^\n]*: the lessons cannot be written \(No space left on device\); they take about 0\.0 GB: [^\n]*--cache$"
    )
    with pytest.raises(OutputError, match=expected):
        prepare(teacher, augmented(), COURSE, tmp_path)


def test_a_folder_that_cannot_be_made_is_told_in_one_line(teacher: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"^[^\n]*lessons cannot be written \(Not a directory\)[^\n]*--cache$"):
        prepare(teacher, augmented(), COURSE, tmp_path / "file" / "lessons")


def taken(lessons: Lessons, epoch: int, batch: int, seed: int = 1, size: int = SIZE) -> list[bytes]:
    """The pictures of a pass, in the order in which they come."""
    batches = list(lessons.batches(size, epoch, batch, seed))
    assert len(batches) == lessons.steps(batch)
    assert all(len(pictures) == len(answers) == batch for pictures, answers in batches)
    return [row.tobytes() for pictures, _ in batches for row in pictures.numpy()]


def stored(lessons: Lessons, number: int, size: int = SIZE) -> set[bytes]:
    pictures = arrays(lessons, size)[0][12 * number : 12 * (number + 1)]
    return {row.tobytes() for row in pictures.astype(np.float32) / np.float32(127.5) - 1}


@pytest.mark.parametrize("epoch", range(5))
def test_each_epoch_has_every_lesson_of_one_pass_once(epoch: int, lessons: Lessons) -> None:
    found = taken(lessons, epoch, BATCH)
    assert len(found) == len(set(found)) == 12
    assert set(found) == stored(lessons, epoch % 3)


def test_lessons_that_fill_no_batch_wait_for_another_epoch(lessons: Lessons) -> None:
    found = taken(lessons, 0, 5)
    assert len(set(found)) == 10
    assert set(found) < stored(lessons, 0)
    assert set(taken(lessons, 3, 5)) != set(found)


def test_the_order_is_decided_by_seed_and_epoch(lessons: Lessons) -> None:
    assert taken(lessons, 0, 4) == taken(lessons, 0, 4)
    assert taken(lessons, 0, 4) != taken(lessons, 0, 4, seed=2)
    assert taken(lessons, 0, 4) != taken(lessons, 3, 4)


@pytest.mark.parametrize("size", COURSE.sizes)
def test_pictures_come_with_their_own_answers(size: int, lessons: Lessons, teacher: Any) -> None:
    for pictures, answers in lessons.batches(size, 1, BATCH, 1):
        assert pictures.shape == (BATCH, size, size, 3)
        assert np.exp(answers) == pytest.approx(teacher(pictures).numpy(), abs=0.01)
