"""Frames that the model was unsure about: which are kept, how many, and what becomes of them."""

from __future__ import annotations

import contextlib
import resource
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.contract.decision import Decision
from edge.contract.frame import Frame
from edge.errors import FloraError, OutputError, UsageError
from edge.picture.geometry import decode, model_input
from edge.picture.png import group_of, is_train_only, note_of
from edge.picture.region import Roi
from edge.sinks.uncertain.store import SURE, UncertainStore, is_unsure
from tests.edge import fakes
from tests.edge.fakes import LABELS, FakeClock, one_line, result

UNSURE = (0.5, 0.4, 0.1)


def scene(seed: int, size_wh: tuple[int, int] = (64, 48)) -> Frame:
    """A frame unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    factor = (size_wh[1] // 6, size_wh[0] // 8)
    return replace(fakes.frame(seed), image_bgr=coarse.repeat(factor[0], axis=0).repeat(factor[1], axis=1))


def unsure(number: int = 0) -> Decision:
    return fakes.decision(UNSURE, number=number, time=1_800_000_000.5 + number)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> UncertainStore:
    return UncertainStore(tmp_path / "kept", LABELS, clock=clock)


def keep(store: UncertainStore, clock: FakeClock, number: int) -> str:
    """Keep one more; its name."""
    path = store.offer(unsure(number), scene(number))
    clock.now += 10
    assert path is not None
    return path.stem


@pytest.mark.parametrize(
    ("values", "threshold", "expected"),
    [
        pytest.param((0.9, 0.1, 0.0), None, False, id="sure"),
        pytest.param((SURE, 0.3, 0.0), None, False, id="just sure"),
        pytest.param((0.69, 0.3, 0.01), None, True, id="improbable"),
        pytest.param((0.8, 0.2, 0.0), 0.85, True, id="unknown by the model's own rule"),
    ],
)
def test_unsure_is_improbable_or_unknown(
    values: tuple[float, ...], threshold: float | None, expected: bool
) -> None:  # fmt: skip
    assert is_unsure(result(*values, threshold=threshold)) is expected


@pytest.mark.parametrize(
    ("values", "threshold", "expected"),
    [
        pytest.param((0.95, 0.05), None, False, id="surely another thing"),
        pytest.param((SURE, 0.3), None, False, id="just surely another thing"),
        pytest.param((SURE, 0.3), 0.9, False, id="surely another thing, whatever the threshold"),
        pytest.param((0.69, 0.31), None, True, id="perhaps another thing"),
        pytest.param((0.1, 0.9), 0.95, True, id="a class below the threshold"),
    ],
)
def test_a_model_that_was_taught_other_things_leaves_nothing_to_ask_where_it_is_sure_of_one(
    values: tuple[float, ...], threshold: float | None, expected: bool
) -> None:
    assert is_unsure(result(*values, labels=("unknown", "roses"), threshold=threshold)) is expected


def test_the_raw_answer_counts_and_not_the_smoothed_one(store: UncertainStore) -> None:
    sure = replace(unsure(), probabilities=fakes.probabilities(0.99, 0.01, 0.0))
    assert store.offer(sure, scene(1)) is not None


def test_sure_and_held_answers_are_not_kept(store: UncertainStore) -> None:
    assert store.offer(fakes.decision((0.95, 0.05, 0.0)), scene(1)) is None
    assert store.offer(replace(unsure(), is_held=True), scene(1)) is None
    assert store.waiting() == []


def test_kept_picture_is_what_the_model_saw_bit_by_bit(store: UncertainStore) -> None:
    frame = replace(scene(1), roi=Roi(0.25, 0.0, 1.0, 1.0))
    path = store.offer(unsure(), frame)
    assert path is not None
    kept = decode(path.read_bytes(), "it")
    assert (kept == frame.seen_bgr).all()
    assert (model_input(kept, 32) == model_input(frame.seen_bgr, 32)).all()


def test_answers_lie_within_the_file(store: UncertainStore) -> None:
    path = store.offer(unsure(), scene(1))
    assert path is not None
    note = note_of(path.read_bytes())
    assert note is not None
    assert note["answers"] == [["daisy", 0.5], ["roses", 0.4], ["tulips", 0.1]]
    assert (note["source"], note["name"]) == ("clip.avi", "clip.avi")


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [
        pytest.param(lambda picture, noise: picture, False, id="the same"),
        pytest.param(lambda picture, noise: np.clip(picture + noise, 0, 255), False, id="sensor noise"),
        pytest.param(lambda picture, noise: np.clip(picture + noise + 12.0, 0, 255), False, id="brighter"),
        pytest.param(lambda picture, noise: picture[:, ::-1], True, id="another scene"),
    ],
)
def test_near_duplicates_are_skipped(store: UncertainStore, clock: FakeClock, change, is_kept: bool) -> None:  # type: ignore[no-untyped-def]
    first = scene(1, (640, 480))
    store.offer(unsure(), first)
    clock.now += 60
    noise = np.random.default_rng(2).normal(0, 10, first.image_bgr.shape)
    second = replace(first, image_bgr=np.ascontiguousarray(change(first.image_bgr, noise), np.uint8))
    assert (store.offer(unsure(1), second) is not None) is is_kept


def test_a_dark_noisy_scene_is_kept_once(store: UncertainStore, clock: FakeClock) -> None:
    random = np.random.default_rng(5)
    kept = 0
    for number in range(20):
        dark = np.clip(random.normal(12, 6, (480, 640, 3)), 0, 255).astype(np.uint8)
        kept += store.offer(unsure(number), replace(scene(0), image_bgr=dark)) is not None
        clock.now += 60
    assert kept == 1


def test_near_duplicates_of_an_earlier_run_are_skipped(store: UncertainStore, clock: FakeClock, tmp_path: Path) -> None:
    keep(store, clock, 1)
    again = UncertainStore(tmp_path / "kept", LABELS, clock=clock)
    assert again.offer(unsure(9), scene(1)) is None
    assert again.offer(unsure(9), scene(2)) is not None


def test_rate_is_capped(store: UncertainStore, clock: FakeClock) -> None:
    kept = 0
    for number in range(600):  # a minute of new scenes, ten a second
        kept += store.offer(unsure(number), scene(number)) is not None
        clock.now += 0.1
    assert kept == 6


def test_beyond_the_limit_the_oldest_goes(tmp_path: Path, clock: FakeClock) -> None:
    size = len(UncertainStore(tmp_path / "one", LABELS).offer(unsure(), scene(0)).read_bytes())  # type: ignore[union-attr]
    store = UncertainStore(tmp_path / "kept", LABELS, max_mb=3.5 * size / 1e6, clock=clock)
    names = [keep(store, clock, number) for number in range(5)]
    assert [one.name for one in store.waiting()] == names[:1:-1]
    assert sorted(path.stem for path in (tmp_path / "kept/waiting").iterdir()) == names[2:]


def test_what_was_labelled_is_never_deleted(tmp_path: Path, clock: FakeClock) -> None:
    size = len(UncertainStore(tmp_path / "one", LABELS).offer(unsure(), scene(0)).read_bytes())  # type: ignore[union-attr]
    store = UncertainStore(tmp_path / "kept", LABELS, max_mb=1.5 * size / 1e6, clock=clock)
    labelled = store.label(keep(store, clock, 0), "roses")
    keep(store, clock, 1)
    keep(store, clock, 2)
    assert labelled.exists()
    assert store.count() == 1


def test_a_picture_larger_than_all_the_room_is_left_out(tmp_path: Path) -> None:
    store = UncertainStore(tmp_path / "kept", LABELS, max_mb=0.0001)
    assert store.offer(unsure(), scene(1)) is None
    assert list((tmp_path / "kept/waiting").iterdir()) == []


def test_waiting_is_newest_first_with_answers(store: UncertainStore, clock: FakeClock) -> None:
    names = [keep(store, clock, number) for number in range(3)]
    waiting = store.waiting(2)
    assert [one.name for one in waiting] == [names[2], names[1]]
    assert waiting[0].answers == [("daisy", 0.5), ("roses", 0.4), ("tulips", 0.1)]
    assert waiting[0].time == pytest.approx(unsure(2).captured)
    assert store.waiting(0) == []


def test_a_clock_that_was_set_back_changes_only_the_order(store: UncertainStore, clock: FakeClock) -> None:
    first = keep(store, clock, 5)
    earlier = keep(store, clock, 1)
    assert [one.name for one in store.waiting()] == [first, earlier]


def test_frames_of_one_millisecond_have_names_of_their_own(store: UncertainStore, clock: FakeClock) -> None:
    first = store.offer(unsure(), scene(1))
    assert first is not None
    store.label(first.stem, "roses")
    clock.now += 10
    second = store.offer(unsure(), scene(2))
    assert second is not None
    assert second.stem == f"{first.stem}-2"
    assert store.label(second.stem, "roses").exists()


def test_labelling_moves_the_file_to_its_class(store: UncertainStore, clock: FakeClock, tmp_path: Path) -> None:
    name = keep(store, clock, 1)
    before = store.png(name)
    path = store.label(name, "roses")
    assert path == tmp_path / "kept/labelled/roses" / f"{name}.png"
    assert path.read_bytes() == before
    assert is_train_only(before)
    assert store.waiting() == []
    assert "for training only" in (tmp_path / "kept/labelled/README.txt").read_text()


def test_discarding_deletes_the_file(store: UncertainStore, clock: FakeClock, tmp_path: Path) -> None:
    store.discard(keep(store, clock, 1))
    assert list((tmp_path / "kept/waiting").iterdir()) == []
    assert store.count() == 0


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "20261123T100211123Z/../x", "/etc/passwd", "20261123T100211123Z\n", "x", "%2e%2e",
     "20261123T100211123Z.png", "20261123T100211123Z-99999", "2" * 5000, "\u0662" * 8 + "T100211123Z\0"],
)  # fmt: skip
def test_names_that_are_none_are_refused(store: UncertainStore, name: str) -> None:
    for call in (store.png, store.discard, lambda name: store.label(name, "roses")):
        with pytest.raises(UsageError, match="no such name") as caught:
            call(name)
        assert len(one_line(caught)) < 200


def test_a_frame_that_is_gone_is_said_to_be(store: UncertainStore, clock: FakeClock) -> None:
    name = keep(store, clock, 1)
    store.discard(name)
    for call in (store.png, store.discard, lambda name: store.label(name, "roses")):
        with pytest.raises(UsageError, match="no such one is waiting"):
            call(name)


def test_none_of_these_may_be_said_of_a_frame_though_the_model_has_no_such_class(
    store: UncertainStore, clock: FakeClock, tmp_path: Path
) -> None:
    name = keep(store, clock, 1)
    path = store.label(name, "unknown")
    assert path == tmp_path / "kept/labelled/unknown" / f"{name}.png"
    assert is_train_only(path.read_bytes())
    assert group_of(path.read_bytes()) is None


@pytest.mark.parametrize("label", ["", "tulip", "../roses", "ROSES", "roses/", "UNKNOWN", "nothing known"])
def test_only_labels_of_the_model_are_taken(store: UncertainStore, clock: FakeClock, label: str) -> None:
    name = keep(store, clock, 1)
    with pytest.raises(UsageError, match=r"expected one of daisy, roses, tulips, unknown$"):
        store.label(name, label)
    assert store.count() == 1


@pytest.mark.parametrize("label", ["a/b", "..", ".hidden", "a\0b", "a\\b"])
def test_a_label_that_cannot_be_a_folder_is_refused(tmp_path: Path, clock: FakeClock, label: str) -> None:
    store = UncertainStore(tmp_path / "kept", (label, "roses"), clock=clock)
    with pytest.raises(UsageError):
        store.label(keep(store, clock, 1), label)


@contextlib.contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Inside, the kernel writes a file up to `size` bytes and refuses the rest, as a disk that fills up does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_is_one_line_and_leaves_nothing(store: UncertainStore, tmp_path: Path) -> None:
    with files_end_at(1000), pytest.raises(OutputError, match="File too large") as caught:
        store.offer(unsure(), scene(1))
    one_line(caught)
    assert list((tmp_path / "kept/waiting").iterdir()) == []
    assert store.offer(unsure(), scene(1)) is not None  # at once: what was not kept does not count


def test_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(OutputError) as caught:
        UncertainStore(tmp_path / "kept", LABELS)
    assert str(tmp_path / "kept") in one_line(caught)


@pytest.mark.parametrize(("max_mb", "per_minute"), [(0, 6), (200, 0), (float("nan"), 6), (200, -1)])
def test_limits_that_are_none_are_refused(tmp_path: Path, max_mb: float, per_minute: float) -> None:
    with pytest.raises(UsageError, match="expected more than 0"):
        UncertainStore(tmp_path, LABELS, max_mb=max_mb, per_minute=per_minute)


def test_what_a_killed_run_left_half_written_is_deleted(
    store: UncertainStore, clock: FakeClock, tmp_path: Path
) -> None:  # fmt: skip
    name = keep(store, clock, 1)
    (tmp_path / "kept/waiting/.20261123T100211123Z.png.4711.tmp").write_bytes(b"half")
    again = UncertainStore(tmp_path / "kept", LABELS)
    assert [path.name for path in (tmp_path / "kept/waiting").iterdir()] == [f"{name}.png"]
    assert [one.name for one in again.waiting()] == [name]


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path, clock: FakeClock) -> None:
    mine = tmp_path / "kept/waiting/holiday.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"x" * 1000)
    store = UncertainStore(tmp_path / "kept", LABELS, max_mb=0.002, clock=clock)
    store.offer(unsure(), scene(1))
    assert mine.exists()
    assert "holiday" not in [one.name for one in store.waiting()]


def test_a_picture_without_a_note_waits_without_answers(tmp_path: Path) -> None:
    path = tmp_path / "kept/waiting/99999999T999999999Z.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing of ours")
    waiting = UncertainStore(tmp_path / "kept", LABELS).waiting()
    assert [(one.name, one.answers) for one in waiting] == [("99999999T999999999Z", [])]


def test_two_threads_may_keep_and_label_at_once(tmp_path: Path) -> None:
    clock = FakeClock()
    store = UncertainStore(tmp_path / "kept", LABELS, max_mb=0.01, clock=clock)  # so that it is deleting all the time
    errors: list[Exception] = []
    done = threading.Event()

    def label_all() -> None:
        try:
            while not done.is_set():
                for one in store.waiting():
                    try:
                        store.label(one.name, "roses")
                    except UsageError:
                        continue  # it had made room for a newer one
        except (FloraError, OSError) as error:
            errors.append(error)

    thread = threading.Thread(target=label_all)
    thread.start()
    for number in range(150):
        clock.now += 60
        store.offer(unsure(number), scene(number))
    done.set()
    thread.join()
    assert errors == []
    labelled = list((tmp_path / "kept/labelled/roses").glob("*.png"))
    assert labelled
    assert all(is_train_only(path.read_bytes()) for path in labelled)
    assert store.count() == len(list((tmp_path / "kept/waiting").iterdir()))
