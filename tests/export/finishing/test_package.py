from __future__ import annotations

import datetime
import errno
import hashlib
import resource
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from edge.contract.rejection import Rejection
from edge.errors import ModelError, OutputError
from edge.evaluation.accuracy import score
from edge.model.card import Accuracy, Calibration, ModelCard, labels_text, pack, read_model
from edge.model.classifier import Classifier
from export.finishing import package
from export.finishing.finish import Finished
from export.finishing.package import Provenance, make_card, require_place, write_model
from export.quantising import convert
from tests.export import colours
from training.network.keras import keras

Damage = Callable[[bytes, ModelCard], tuple[bytes, ModelCard]]

PICTURE = colours.photo("poppy", 3, (70, 50))
SCORES = score([0, 1, 2, 2], np.eye(3)[[0, 1, 2, 1]], colours.LABELS)
FLOAT_SCORES = score([0, 1, 2, 2], np.eye(3)[[0, 1, 2, 2]], colours.LABELS)


@pytest.fixture
def flatbuffer(flatbuffers: dict[str, bytes]) -> bytes:
    return flatbuffers["int8"]


@pytest.fixture
def card(flatbuffer: bytes, tmp_path: Path) -> ModelCard:
    (tmp_path / "config.json").write_text("{}\n")
    finished = Finished(flatbuffer, 0.5, 3, Rejection("probability", 0.4, 0.95), (), np.zeros((0, 3), np.float32))
    provenance = Provenance("ab" * 32, tmp_path / "config.json", "CC0", "A. Gardener")
    return make_card(
        finished, colours.LABELS, colours.SIZE, "int8",
        scores=SCORES, float_scores=FLOAT_SCORES, ece_before=0.25, provenance=provenance,
    )  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder, and in it the name of the model file."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models" / "flowers.tflite"


def test_card_says_where_the_model_comes_from_and_how_good_it_is(card: ModelCard, flatbuffer: bytes) -> None:
    assert card.sha256 == hashlib.sha256(flatbuffer).hexdigest()
    assert card.labels_sha256 == hashlib.sha256(labels_text(colours.LABELS)).hexdigest()
    assert card.config_sha256 == hashlib.sha256(b"{}\n").hexdigest()
    assert card.accuracy == Accuracy(0.75, SCORES.low, SCORES.high, 4)
    assert card.float_accuracy == Accuracy(1.0, FLOAT_SCORES.low, FLOAT_SCORES.high, 4)
    assert (card.labels, card.input_size, card.variant) == (("bluebell", "fern", "poppy"), 32, "int8")
    assert (card.manifest_sha256, card.licence, card.attribution) == ("ab" * 32, "CC0", "A. Gardener")
    assert card.calibration == Calibration(0.5, 3, 0.25, SCORES.ece, 4)
    assert card.rejection == Rejection("probability", 0.4, 0.95)
    assert card.flatbuffer_bytes == len(flatbuffer)
    assert card.multiply_adds > 16 * 16 * 8 * 27  # more than its first layer alone
    assert set(card.minimum_runtime) == {"ai-edge-litert", "tflite-runtime"}
    assert card.tools["tensorflow"] == version("tensorflow")
    assert abs(datetime.date.fromisoformat(card.created) - datetime.date.today()) <= datetime.timedelta(days=1)


def test_written_model_names_a_photo(place: Path, flatbuffer: bytes, card: ModelCard) -> None:
    size = write_model(place, flatbuffer, card, PICTURE)
    assert size == place.stat().st_size == len(pack(flatbuffer, card))
    assert Classifier(place)(PICTURE).label == "poppy"
    assert read_model(place).card == card
    assert [path.name for path in place.parent.iterdir()] == ["flowers.tflite"]


def test_same_model_gives_the_same_bytes(place: Path, flatbuffer: bytes, card: ModelCard) -> None:
    write_model(place, flatbuffer, card, PICTURE)
    write_model(place.with_name("again.tflite"), flatbuffer, replace(card), PICTURE)
    assert place.read_bytes() == place.with_name("again.tflite").read_bytes()


def test_older_file_is_replaced_whole(place: Path, flatbuffer: bytes, card: ModelCard) -> None:
    place.write_bytes(b"x" * 100_000)
    size = write_model(place, flatbuffer, card, PICTURE)
    assert place.stat().st_size == size < 100_000


def sums_to_half(flatbuffer: bytes, card: ModelCard) -> tuple[bytes, ModelCard]:
    """A network whose last layer is no softmax: each answer is 0.17."""
    picture = keras.Input((colours.SIZE, colours.SIZE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 1, kernel_initializer="zeros")(picture))
    wrong = convert.convert_float(keras.Model(picture, pooled + 1 / 6))
    return wrong, replace(card, sha256=hashlib.sha256(wrong).hexdigest(), flatbuffer_bytes=len(wrong))


def other_labels(flatbuffer: bytes, card: ModelCard) -> tuple[bytes, ModelCard]:
    labels = (*card.labels, "daisy")
    return flatbuffer, replace(card, labels=labels, labels_sha256=hashlib.sha256(labels_text(labels)).hexdigest())


def other_hash(flatbuffer: bytes, card: ModelCard) -> tuple[bytes, ModelCard]:
    return flatbuffer, replace(card, sha256="0" * 64)


def cut(flatbuffer: bytes, card: ModelCard) -> tuple[bytes, ModelCard]:
    short = flatbuffer[: len(flatbuffer) // 2]
    return short, replace(card, sha256=hashlib.sha256(short).hexdigest(), flatbuffer_bytes=len(short))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (sums_to_half, "probabilities add up to 0.500, expected 1"),
        (other_labels, "4 labels"),
        (other_hash, "sha256 differs"),
        (cut, "refuses it"),
    ],
    ids=["no softmax", "labels of another model", "hash of another model", "damaged network"],
)
def test_model_that_does_not_read_back_is_not_written(
    damage: Damage, message: str, place: Path, flatbuffer: bytes, card: ModelCard
) -> None:
    wrong, wrong_card = damage(flatbuffer, card)
    place.write_bytes(b"the old one")
    with pytest.raises(ModelError, match=message) as refusal:
        write_model(place, wrong, wrong_card, PICTURE)
    assert "\n" not in str(refusal.value)
    assert_untouched(place)


def test_card_that_reads_back_differently_is_refused(place: Path, flatbuffer: bytes, card: ModelCard) -> None:
    """A list becomes no tuple again on its way through JSON."""
    place.write_bytes(b"the old one")
    with pytest.raises(ModelError, match="the card reads back differently"):
        write_model(place, flatbuffer, replace(card, labels=list(card.labels)), PICTURE)  # type: ignore[arg-type]
    assert_untouched(place)


def test_disk_that_is_full_half_way_leaves_the_old_file(place: Path, flatbuffer: bytes, card: ModelCard) -> None:
    place.write_bytes(b"the old one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(flatbuffer) // 2, hard))  # a file cannot grow beyond this
    try:
        with pytest.raises(OutputError) as refusal:
            write_model(place, flatbuffer, card, PICTURE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(refusal.value).startswith(f"{place}: the model cannot be written (File too large); free some space")
    assert_untouched(place)


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_failure_at_the_last_moment_leaves_the_old_file(
    step: str, place: Path, flatbuffer: bytes, card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    place.write_bytes(b"the old one")
    monkeypatch.setattr(step, full)
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\); free some space"):
        write_model(place, flatbuffer, card, PICTURE)
    assert_untouched(place)


def test_interruption_leaves_the_old_file(
    place: Path, flatbuffer: bytes, card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    place.write_bytes(b"the old one")
    monkeypatch.setattr(package, "_read_back", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_model(place, flatbuffer, card, PICTURE)
    assert_untouched(place)


def test_leftover_of_a_killed_export_is_written_over(place: Path, flatbuffer: bytes, card: ModelCard) -> None:
    place.with_name(".flowers.tflite.part").write_bytes(b"half" * 100_000)
    write_model(place, flatbuffer, card, PICTURE)
    assert Classifier(place)(PICTURE).label == "poppy"
    assert [path.name for path in place.parent.iterdir()] == ["flowers.tflite"]


@pytest.mark.parametrize(
    ("place_name", "message"),
    [
        (".", "a folder; expected the name of a file"),
        ("absent/flowers.tflite", "there is no folder .*absent; make it first"),
        ("config.json/flowers.tflite", "there is no folder .*config.json"),
        ("/dev/null", "a device or a pipe; expected the name of a file"),
        ("/proc/flowers.tflite", "no file can be written to that folder"),
    ],
)
def test_impossible_place_is_refused_in_one_line(place_name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}\n")
    with pytest.raises(OutputError, match=message) as refusal:
        require_place(tmp_path / place_name)
    assert "\n" not in str(refusal.value)


def test_possible_place_is_left_as_it_was(place: Path) -> None:
    require_place(place)
    assert list(place.parent.iterdir()) == []
    place.write_bytes(b"the old one")
    require_place(place)
    assert_untouched(place)


def assert_untouched(place: Path) -> None:
    assert place.read_bytes() == b"the old one"
    assert [path.name for path in place.parent.iterdir()] == [place.name]
