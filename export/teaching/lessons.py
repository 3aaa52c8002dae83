"""Lessons for slim networks: augmented photos, and what the trained network answers to them, kept on disk.

In:  a teacher, float32 [-1, 1] (batch, N, N, 3) -> probabilities (batch, K), and augmented batches of training photos.
Out: Lessons: pictures uint8 (n, size, size, 3) for each size asked for, log-probabilities float32 (n, K).

The teacher is asked once, however many pupils and epochs follow. Its pictures are mixtures of two photos (Beyer et al.
2022, on patient and consistent teachers); a pupil sees the very same ones, perhaps smaller, and never a label.
Lessons for a single pupil as large as its teacher take gigabytes and are used once: LiveLessons keeps nothing.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge.base.files import write_atomically
from edge.base.formats import FIRST, Lasting, plain, read_fields, require_readable
from edge.base.progress import Bar, no_bar
from edge.errors import ModelError, OutputError
from training.fitting.augmentation import untuned
from training.network.keras import tf

DONE, ANSWERS = "done.json", "answers.npy"
FORMAT = 1  # of done.json; a reader refuses one whose major number is newer
LEAST = 1e-7  # probability


@dataclass(frozen=True)
class Course(Lasting):
    """What lessons there are to be."""

    sizes: tuple[int, ...]  # sides of the pupils' inputs, pixels
    passes: int  # over the training photos, each augmented anew
    photos: int  # of a pass
    mixing: float = 0.5  # greatest share of a second photo; 0 mixes none
    seed: int = 0


@dataclass(frozen=True)
class Lessons:
    """Lessons on disk."""

    folder: Path
    course: Course

    def batches(self, size: int, epoch: int, batch: int, seed: int) -> Any:
        """One pass in random order, as a dataset of (float32 (batch, size, size, 3) in [-1, 1], log-probabilities).

        Every lesson of the pass comes once, but for those that are too few for a last batch.
        """
        pictures = np.load(self.folder / _pictures(size), mmap_mode="r")
        answers = np.load(self.folder / ANSWERS, mmap_mode="r")
        start = epoch % self.course.passes * self.course.photos
        order = start + np.random.default_rng([seed, epoch]).permutation(self.course.photos)

        def rows() -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
            for at in range(0, len(order) - batch + 1, batch):
                chosen = np.sort(order[at : at + batch])
                yield pictures[chosen], answers[chosen]

        signature = (
            tf.TensorSpec((batch, *pictures.shape[1:]), tf.uint8), tf.TensorSpec((batch, answers.shape[1]), tf.float32)
        )  # fmt: skip
        data = tf.data.Dataset.from_generator(rows, output_signature=signature)
        return _to_learn_from(data)

    def steps(self, batch: int) -> int:
        """Batches of a pass."""
        return self.course.photos // batch


@dataclass(frozen=True, eq=False)
class LiveLessons:
    """Lessons that are made while they are learned from: nothing is kept, and the teacher is asked in every epoch."""

    teacher: Any
    drawn: Callable[[int], Any]  # `batches` of `prepare`
    course: Course

    def batches(self, size: int, epoch: int, batch: int, seed: int) -> Any:
        """As those of Lessons; in the order in which the photos are drawn, so `seed` changes nothing."""
        ask, classes = _teaching(self.teacher, self.course), int(self.teacher.output_shape[-1])

        def rows() -> Iterator[tuple[Any, Any]]:
            for given in _asked(ask, self.drawn(epoch), self.course, epoch):
                yield given[_pictures(size)].numpy(), given[ANSWERS].numpy()

        signature = tf.TensorSpec((None, size, size, 3), tf.uint8), tf.TensorSpec((None, classes), tf.float32)
        data = tf.data.Dataset.from_generator(rows, output_signature=signature)
        return _to_learn_from(data.unbatch().batch(batch, drop_remainder=True))

    def steps(self, batch: int) -> int:
        """Batches of an epoch."""
        return self.course.photos // batch


def _to_learn_from(data: Any) -> Any:
    """Of pictures uint8, what a pupil takes."""
    return untuned(data.map(lambda seen, answer: (tf.cast(seen, tf.float32) / 127.5 - 1.0, answer)).prefetch(4))


def prepare(
    teacher: Any, batches: Callable[[int], Any], course: Course, folder: Path, progress: Bar = no_bar
) -> Lessons:
    """Write the lessons into `folder`, or go on with those that this teacher has begun there.

    `batches(epoch)` is as in training: ((photos, keep), target, weight), `course.photos` photos in all. Raises
    OutputError when they cannot be written.
    """
    classes = int(teacher.output_shape[-1])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ask = _teaching(teacher, course)
        course, done = _begun(folder, course)
        for number in range(done, course.passes):
            with _opened(folder, course, classes, number) as files:
                _write_pass(ask, batches(number), course, number, files, progress)
            write_atomically(folder / DONE, json.dumps(_record(course, number + 1)).encode())
    except OSError as error:
        raise OutputError(
            f"{folder}: the lessons cannot be written ({error.strerror or error}); they take about "
            f"{_bytes(course) / 1e9:.1f} GB: give a folder with room with --cache"
        ) from error
    return Lessons(folder, course)


def _write_pass(
    ask: Any, batches: Any, course: Course, number: int, files: dict[str, BinaryIO], progress: Bar
) -> None:
    before, count = number * course.photos, 0
    for given in _asked(ask, batches, course, number):
        for name, rows in given.items():
            files[name].write(rows.numpy().tobytes())
        count += len(given[ANSWERS])
        progress(before + count, course.passes * course.photos, f"pass {number + 1}/{course.passes}")
    if count != course.photos:
        raise ValueError(f"pass {number} had {count} photos, the course says {course.photos}")


def _asked(ask: Any, batches: Any, course: Course, number: int) -> Iterator[dict[str, Any]]:
    """What goes into each file, for the mixtures of one batch after another of pass `number`."""
    for step, ((photos, _), _, _) in enumerate(batches):
        draws = np.random.default_rng([course.seed, number, step])
        yield ask(photos, draws.uniform(0.0, course.mixing, (len(photos), 1, 1, 1)).astype(np.float32))


def _teaching(teacher: Any, course: Course) -> Any:
    """(photos, shares) -> what goes into each file, for mixtures of each two neighbours."""

    @tf.function(reduce_retracing=True)
    def ask(photos: Any, share: Any) -> Any:
        mixed = photos * (1.0 - share) + tf.roll(photos, 1, axis=0) * share
        answers = tf.math.log(tf.clip_by_value(teacher(mixed, training=False), LEAST, 1.0))
        return {ANSWERS: answers, **{_pictures(size): _seen(mixed, size) for size in course.sizes}}

    return ask


def _seen(pictures: Any, size: int) -> Any:
    """Pictures [-1, 1] as a device with this input would see them: uint8."""
    smaller = tf.image.resize(pictures, (size, size), antialias=True)
    return tf.cast(tf.round((tf.clip_by_value(smaller, -1.0, 1.0) + 1.0) * 127.5), tf.uint8)


def _pictures(size: int) -> str:
    return f"pictures-{size}.npy"


def _bytes(course: Course) -> int:
    return course.passes * course.photos * sum(3 * size**2 for size in course.sizes)


def _begun(folder: Path, course: Course) -> tuple[Course, int]:
    """The course with what else its record holds, and the whole passes of it; lessons of another course are none."""
    path = folder / DONE
    if not path.exists() or not all((folder / name).exists() for name in (ANSWERS, *map(_pictures, course.sizes))):
        return course, 0
    try:
        content = json.loads(path.read_bytes())
        require_readable(content.get("format", FIRST), FORMAT)
        done, found = content.pop("done", 0), read_fields(Course, content)
        if done not in range(found.passes + 1):
            raise ValueError(f"done is {done!r:.20}, expected 0 to {found.passes}")
    except (ValueError, AttributeError) as error:
        raise ModelError(f"{path}: no record of lessons ({error}); delete it to have them made anew") from error
    asked = replace(course, others=found.others)
    return (asked, done) if asked == found else (course, 0)


def _record(course: Course, passes: int) -> dict[str, Any]:
    return {**plain(course), "done": passes}


@contextmanager
def _opened(folder: Path, course: Course, classes: int, number: int) -> Iterator[dict[str, BinaryIO]]:
    """The files by name, each where the rows of a pass begin; when it is left, they are on disk.

    Written as files and not mapped into memory: on a full disk a mapped file ends the process without an error.
    """
    rows = course.passes * course.photos
    arrays: dict[str, tuple[type, tuple[int, ...]]] = {ANSWERS: (np.float32, (classes,))}
    arrays |= {_pictures(size): (np.uint8, (size, size, 3)) for size in course.sizes}
    with ExitStack() as stack:
        files = {}
        for name, (dtype, row) in arrays.items():
            file = files[name] = stack.enter_context((folder / name).open("r+b" if number else "wb"))
            file.write(_header(dtype, (rows, *row)))
            file.seek(number * course.photos * int(np.prod(row)) * np.dtype(dtype).itemsize, os.SEEK_CUR)
        yield files
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())


def _header(dtype: type, shape: Sequence[int]) -> bytes:
    """What an .npy file begins with."""
    written = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(written, described)
    return written.getvalue()
