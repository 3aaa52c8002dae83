"""A Keras file of anybody's is opened like a run: labels in its own order, photos split, pixels converted."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge.errors import FloraError, ModelError, PhotoError, UsageError
from edge.evaluation.accuracy import score
from edge.model.card import labels_text
from edge.model.interpreter import Interpreter
from edge.photos.manifest import read_manifest
from export.finishing.finish import Finished, finish
from export.graph import edit
from export.graph.asking import answers
from export.graph.metadata import About
from export.opening import from_keras
from export.opening.finished_run import FinishedRun
from export.opening.from_keras import is_keras_file, open_keras
from export.quantising import convert
from tests.export import colours, elsewhere
from training.network.inference import predict
from training.network.keras import keras

Saved = Callable[..., "Net"]
Opened = Callable[[str], "tuple[Net, FinishedRun]"]


@dataclass
class Net:
    """A Keras file with its labels."""

    path: Path
    labels: Path
    photos: str
    told: list[str] = field(default_factory=list)

    def open(self, pixels: str = "auto") -> FinishedRun:
        return open_keras(self.path, str(self.labels), self.photos, pixels, tell=self.told.append)


@pytest.fixture(scope="session")
def albums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo folder. Not to be changed."""
    root = tmp_path_factory.mktemp("albums")
    colours.write_photos(root)
    return root


def save(network: Any, folder: Path, albums: Path, labels: tuple[str, ...], suffix: str = "keras") -> Net:
    net = Net(folder / f"net.{suffix}", folder / "labels.txt", str(albums))
    network.save(net.path)
    net.labels.write_bytes(labels_text(labels))
    return net


@pytest.fixture
def saved(tmp_path: Path, albums: Path) -> Saved:
    return lambda network, labels=elsewhere.LABELS, suffix="keras": save(network, tmp_path, albums, labels, suffix)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory, albums: Path, model: Any) -> Net:
    """A file that takes 0 to 255 and gives logits. Not to be changed."""
    return save(elsewhere.tutorial(model), tmp_path_factory.mktemp("net"), albums, elsewhere.LABELS)


@pytest.fixture(scope="module")
def run(net: Net) -> FinishedRun:
    """The same, opened."""
    return net.open()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, albums: Path, model: Any) -> Opened:
    """A file by the name of its kind, and what was opened of it. Not to be changed."""

    @functools.cache
    def open_one(kind: str) -> tuple[Net, FinishedRun]:
        net = save(elsewhere.KINDS[kind][0](model), tmp_path_factory.mktemp(kind), albums, elsewhere.LABELS)
        return net, net.open()

    return open_one


def right(run: FinishedRun) -> float:
    """Share of test photos that the network names rightly."""
    views = run.views(run.members("test"), lambda *done: None)
    return score(views.truth, predict(run.model, views.pictures), run.labels).top1


@pytest.mark.parametrize("kind", ["rescaled", "standardised"])
def test_the_range_of_pixels_is_found_and_every_photo_named(kind: str, opened: Opened) -> None:
    assert right(opened(kind)[1]) == 1


def test_labels_keep_the_order_of_their_file(run: FinishedRun) -> None:
    assert run.labels == elsewhere.LABELS == ("poppy", "bluebell", "fern")
    photos = run.members("test")
    assert [run.labels[number] for number in run.truth(photos)] == [photo.label for photo in photos]


def test_photos_are_split_the_same_way_every_time(net: Net, run: FinishedRun) -> None:
    assert read_manifest(run.folder / "manifest.csv") == run.photos
    assert replace(net).open().photos == run.photos
    assert [len(run.members(split)) for split in ("train", "validation", "test")] == [48, 12, 12]


def test_photos_that_were_added_since_are_seen(run: FinishedRun, model: Any, saved: Saved, tmp_path: Path) -> None:
    net = saved(elsewhere.nested(model))
    net.photos = str(shutil.copytree(net.photos, tmp_path / "here"))
    before = net.open().photos
    (tmp_path / "here" / "fern" / "new.png").write_bytes(
        cv2.imencode(".png", colours.photo("fern", 900))[1].tobytes()
    )  # fmt: skip
    assert {photo.path for photo in net.open().photos} - {photo.path for photo in before} == {"fern/new.png"}


def test_what_a_run_would_tell_of_itself_is_there(net: Net, run: FinishedRun) -> None:
    assert (run.source, run.folder, run.exports) == (net.path, *[net.path.parent / "net-export"] * 2)
    assert (run.config.size, run.config.from_scratch, run.config.batch) == (32, False, 32)
    assert (
        run.remark == "network from elsewhere (net.keras); whether it was trained on the photos measured is not known"
    )
    norms = [layer for layer in run.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(layer.trainable, layer.momentum) for layer in norms} == {(False, 0.9)}


def test_what_a_person_should_know_is_told(net: Net, run: FinishedRun) -> None:
    photos, pixels, logits, doubt = net.told[:4]
    assert photos == "photos: 72 in 3 classes: 48 train, 12 validation, 12 test"
    assert "pixels in the range 0,255: of 48 training photos it names rightly " in pixels
    assert pixels.endswith(", 48 with 0,255")
    assert "tutorial ends in logits: a softmax was added" in logits
    assert "nobody knows whether it was trained on these photos" in doubt


def test_a_network_that_can_only_be_quantised_says_so(opened: Opened) -> None:
    net, run = opened("hidden")
    assert run.why_fixed
    assert any("can only be quantised, not pruned, slimmed or trained further: its head" in line for line in net.told)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
def test_an_hdf5_file_is_as_good(model: Any, saved: Saved) -> None:
    assert right(saved(elsewhere.nested(model), suffix="h5").open("-1,1")) == 1


def test_a_range_that_fits_worse_than_another_is_asked_about(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = from_keras._Trial({"-1,1": 18, "0,1": 48, "0,255": 30}, 48)
    monkeypatch.setattr(from_keras, "_tried", lambda *_: trial)
    asked = replace(net, told=[])
    asked.open("0,255")
    assert f"{net.path}: is --pixels 0,255 right? {trial}" in asked.told


def test_the_first_convolution_takes_the_scaling_of_pixels_in(opened: Opened) -> None:
    net, run = opened("standardised")
    kinds = [type(layer).__name__ for layer in run.model.layers]
    assert kinds[1] == "Conv2D"
    assert any("first convolution now converts the pixels; 0 of 48 answers are others" in line for line in net.told)


def test_but_not_where_that_would_change_answers(
    model: Any, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(from_keras, "MOST_CHANGED", -0.1)
    net = saved(elsewhere.standardised(model))
    assert [layer.name for layer in net.open().model.layers[1:2]] == ["pixels"]
    assert not any("converts the pixels" in line for line in net.told)


def test_labels_in_another_order_are_refused(model: Any, saved: Saved) -> None:
    require_guessing(saved(elsewhere.nested(model), colours.LABELS))


def test_a_range_that_makes_all_photos_alike_is_refused(net: Net) -> None:
    require_guessing(replace(net), "0,1")


def require_guessing(net: Net, pixels: str = "auto") -> None:
    message = r"of 48 training photos it names rightly .* no better than guessing with .*; put the labels in the order"
    with pytest.raises(ModelError, match=message) as refusal:
        net.open(pixels)
    assert "\n" not in str(refusal.value)


def no_labels(net: Net) -> None:
    net.labels.unlink()


def no_photos(net: Net) -> None:
    net.photos = ""


def other_labels(*labels: str) -> Callable[[Net], None]:
    def write(net: Net) -> None:
        net.labels.write_text("\n".join(labels) + "\n")

    return write


def fewer_outputs(net: Net) -> None:
    colours.network(num_classes=2).save(net.path)


WRONG: dict[str, tuple[Callable[[Net], None], type[FloraError], str]] = {
    "no photos": (no_photos, UsageError, "a Keras file; give --labels FILE, its labels one a line, and --photos"),
    "no labels file": (no_labels, ModelError, "labels.txt: cannot be read"),
    "one label": (other_labels("fern"), ModelError, "expected two or more labels, all different"),
    "a label twice": (other_labels("fern", "poppy", "fern"), ModelError, r"\['fern', 'fern'\]; expected two or more"),
    "an empty line": (other_labels("fern", "", "poppy"), ModelError, r"\[''\]; expected two or more labels"),
    "a label without photos": (
        other_labels(*elsewhere.LABELS, "rose"), PhotoError, "no folder for rose; expected one for each label of",
    ),
    "photos without a label": (
        other_labels("poppy", "fern"), PhotoError, "no label in .*labels.txt for the folder bluebell; expected",
    ),
    "fewer outputs": (fewer_outputs, ModelError, "net.keras: 2 outputs, but .*labels.txt has 3 labels; expected"),
    "no file": (lambda net: net.path.unlink(), ModelError, "net.keras: no such file"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_together_is_one_line_before_any_work(what: str, net: Net, tmp_path: Path) -> None:
    here = Net(tmp_path / "net.keras", tmp_path / "labels.txt", net.photos)
    shutil.copy(net.path, here.path)
    shutil.copy(net.labels, here.labels)
    spoil, kind, message = WRONG[what]
    spoil(here)
    with pytest.raises(kind, match=message) as refusal:
        here.open()
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "net-export").exists()


def test_pictures_of_other_things_are_no_class(net: Net, tmp_path: Path) -> None:
    for name in (*elsewhere.LABELS, "unknown"):
        (tmp_path / name).mkdir()
    with pytest.raises(PhotoError, match=r"for the folder unknown; .* are given with --unknown FOLDER"):
        replace(net, photos=str(tmp_path)).open()


def test_a_range_that_is_none_is_refused(net: Net) -> None:
    with pytest.raises(
        UsageError, match="--pixels 1: expected one of auto, -1,1, 0,1, 0,255, written as --pixels=-1,1"
    ):
        replace(net).open("1")


@pytest.mark.parametrize(
    ("name", "is_one"), [("net.keras", True), ("net.h5", True), ("run", False), ("net.tflite", False)]
)
def test_a_keras_file_is_known_by_its_name(name: str, is_one: bool, tmp_path: Path) -> None:
    assert is_keras_file(tmp_path / name) is is_one
    (tmp_path / name).mkdir()
    assert not is_keras_file(tmp_path / name)


def finished(run: FinishedRun, monkeypatch: pytest.MonkeyPatch, *, has_evidence: bool = False) -> Finished:
    """The network as int8, ready for the device but for its golden cases, which take their time to be found."""
    monkeypatch.setattr("export.finishing.finish.choose_cases", lambda *args, **options: ())
    usual = run.views(run.members("train"), lambda *done: None).pictures
    return finish(
        convert.convert_int8(run.model, usual), run.labels,
        run.views(run.members("validation"), lambda *done: None),
        About("net", "a network from elsewhere", "1", "nobody", "CC0-1.0"),
        coverage=0.9, usual=usual, has_evidence=has_evidence,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["standardised", "hidden"])
def test_it_is_finished_for_the_device_like_any_other(
    kind: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(kind)[1]
    done, test = finished(run, monkeypatch), run.views(run.members("test"), lambda *done: None)
    assert score(test.truth, answers(done.flatbuffer, test.pictures), run.labels).top1 == 1
    assert done.components == 4  # a quarter of 16 features: the residual is in it


def test_the_map_of_evidence_is_there_where_the_head_is_ours(run: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter = Interpreter(finished(run, monkeypatch, has_evidence=True).flatbuffer, "net")
    interpreter(colours.pictures(range(1))[0][0])
    evidence = interpreter.evidence()
    assert evidence is not None
    assert evidence.shape == (8, 8, 3)


def test_a_map_that_cannot_be_is_refused_in_one_line(model: Any) -> None:
    flatbuffer = convert.convert_float(elsewhere.hidden(model))
    with pytest.raises(ModelError, match="no map of evidence; leave out --evidence"):
        edit.finish(flatbuffer, elsewhere.LABELS, About("net", "", "1", "", ""), has_evidence=True)
