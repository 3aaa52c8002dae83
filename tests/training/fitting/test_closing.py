"""What a finished training leaves for a person: figures that can be checked by hand, plots, one page."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.base.intervals import wilson_interval
from edge.photos.manifest import manifest_hash, read_manifest
from edge.picture.geometry import read_photo, resize_short_side
from tests.training.runs import Finished, call
from training.config import read_config
from training.fitting import closing
from training.fitting.augmentation import Augmentation, epoch_batches
from training.fitting.cache import MARGIN, build_cache
from training.fitting.checkpoint import load_state
from training.fitting.closing import history_text
from training.fitting.fit import Trained
from training.garden.planting import SPECIES
from training.network.classifier import keras_classifier


def trained(run: Path) -> Trained:
    config, photos, state = (
        read_config(run), read_manifest(run / "manifest.csv"), load_state(run / "checkpoint" / "state.npz")
    )  # fmt: skip
    assert state is not None
    return Trained(run, config, SPECIES, photos, "CPU", tuple(state.reached.history), state.reached.best_epoch)


@pytest.fixture(scope="module")
def metrics(finished: Finished) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((finished.folder / "metrics.json").read_text())
    return content


@pytest.mark.parametrize("split", ["validation", "test"])
def test_figures_are_those_counted_by_hand(
    finished: Finished, garden: Path, metrics: dict[str, Any], split: str
) -> None:
    classify = keras_classifier(str(finished.folder))
    members = [photo for photo in read_manifest(finished.folder / "manifest.csv") if photo.split == split]
    right = sum(classify(read_photo(garden / photo.path)).label == photo.label for photo in members)
    assert metrics[split]["n"] == len(members) == 5
    assert metrics[split]["top1"] == pytest.approx(right / 5)
    low, high = wilson_interval(right, 5)
    assert (metrics[split]["low"], metrics[split]["high"]) == (pytest.approx(low), pytest.approx(high))


def test_figures_name_their_photos_and_their_making(finished: Finished, metrics: dict[str, Any]) -> None:
    photos = read_manifest(finished.folder / "manifest.csv")
    assert metrics["manifest_sha256"] == manifest_hash(photos)
    assert metrics["photos"]["daisy"] == {"train": 6, "validation": 1, "test": 1}
    assert 1 <= metrics["best_epoch"] <= 3
    assert metrics["seconds_of_training"] > 0


def test_history_has_a_line_for_each_epoch(finished: Finished) -> None:
    with (finished.folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["phase"], row["epoch"]) for row in rows] == [("fine-tune", str(epoch)) for epoch in (1, 2, 3)]
    assert float(rows[0]["loss"]) > 0


def test_empty_history_is_an_empty_file() -> None:
    assert history_text(()) == ""


def test_labels_are_in_the_order_of_the_outputs(finished: Finished) -> None:
    assert (finished.folder / "labels.txt").read_text().splitlines() == list(SPECIES)


def test_page_holds_every_plot_and_what_was_left_out(finished: Finished, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished.folder, run)
    (run / "left_out.csv").write_text("path,reason\ndaisy/a.txt,not a picture\n")
    page = (finished.folder / "report.html").read_text()
    assert page.count("<img") == 5
    assert "top-1 on 5 test photos" in page
    assert "files of the photo folder were left out" not in page
    closing.evaluate_run(trained(run))
    assert "1 files of the photo folder were left out" in (run / "report.html").read_text()


def test_mistakes_are_the_surest_first(garden: Path, finished: Finished) -> None:
    made = trained(finished.folder)
    members = [photo for photo in made.photos if photo.split == "train"][:4]
    truth = np.array([SPECIES.index(photo.label) for photo in members])
    answers = np.full((4, 5), 0.01, np.float32)
    for row, probability in enumerate((0.6, 0.9, 0.7, 0.8)):
        answers[row, truth[row] if row == 1 else (truth[row] + 1) % 5] = probability
    tiles = closing._mistakes(made, garden, members, truth, answers)
    assert [caption.rsplit(" ", 1)[1] for _, caption in tiles] == ["0.80", "0.70", "0.60"]
    assert tiles[0][1].startswith(f"{members[3].label} > ")
    assert tiles[0][0].shape == (224, 224, 3)


def test_samples_are_what_the_first_epoch_sees(finished: Finished, garden: Path, cache: Path) -> None:
    made = trained(finished.folder)
    config = made.config
    train = [photo for photo in made.photos if photo.split == "train"]
    cached = build_cache(cache, garden, [p.path for p in train], [p.sha256 for p in train], config.size)
    how = Augmentation(config.size, config.crop, config.colour, config.dropout, 8)
    seen = {
        int(number): images[0].numpy()
        for (images, _), targets, _ in epoch_batches(
            cached, np.arange(len(train)), np.ones(len(train), np.float32), how, batch=1, seed=config.seed, epoch=0
        )
        for number in [targets[0].numpy().argmax()]
    }
    tiles = closing._samples(made, garden)
    assert len(tiles) == closing.SAMPLES
    for number, (tile, caption) in enumerate(tiles):
        assert caption == train[number].label
        np.testing.assert_array_equal(tile, ((seen[number] + 1) * 127.5).round().astype(np.uint8))


def test_cached_photo_and_sample_have_the_same_size(garden: Path) -> None:
    photo = read_photo(next(garden.rglob("*.jpg")))
    assert min(resize_short_side(photo, round(32 * MARGIN)).shape[:2]) == 37


def test_summary_tells_where_and_how_long(finished: Finished) -> None:
    rows = dict(closing._summary(trained(finished.folder)))
    assert rows["network"] == "mobilenet 0.25, 32 px, weights: none"
    assert rows["daisy"] == "6 train, 1 validation, 1 test"
    assert rows["time"].endswith("minutes on CPU")


def test_uneven_classes_are_noted(finished: Finished) -> None:
    made = trained(finished.folder)
    uneven = replace(made, photos=made.photos[:8] + made.photos[8:9])
    assert any("more than 5 to 1" in note for note in closing._notes(uneven))


def test_evaluate_verb_gives_the_run_s_own_figures(finished: Finished, metrics: dict[str, Any]) -> None:
    called = call("evaluate", finished.folder, "--json")
    assert called.code == 0, called.err
    (scores,) = json.loads(called.out)["models"].values()
    assert scores["top1"] == metrics["test"]["top1"]
    assert scores["confusion"] == metrics["test"]["confusion"]


def test_a_class_unknown_is_left_out_of_figures_and_plots(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last species was taught as "unknown": its test photo is no known one."""
    run = tmp_path / "run"
    shutil.copytree(finished.folder, run)
    found = trained(run)
    labels, last = (*SPECIES[:-1], "unknown"), SPECIES[-1]
    photos = tuple(replace(one, label="unknown") if one.label == last else one for one in found.photos)
    drawn: dict[str, Any] = {}
    monkeypatch.setattr("training.report.plots.plot_confusion", lambda *args: drawn.update(confusion=args))
    monkeypatch.setattr("training.report.plots.plot_reliability", lambda *args: drawn.update(reliability=args))
    monkeypatch.setattr(closing, "write_report", lambda *args, **more: drawn.update(more))
    result = closing.evaluate_run(replace(found, labels=labels, photos=photos))
    assert (result.test.n, result.test.labels) == (4, SPECIES[:-1])
    assert drawn["confusion"][0].shape == (4, 4)
    assert drawn["confusion"][1] == SPECIES[:-1]
    assert drawn["reliability"][0].shape == (4, 5)  # what is shown on a device has all outputs
    told = json.loads((run / "metrics.json").read_text())
    assert result.answered is not None
    assert result.unknown_class is not None
    assert told["answered"]["photos"] == result.answered.photos == 4
    assert told["unknown_class"]["value"] == result.unknown_class.value
    assert [note for note in drawn["notes"] if "unknown" in note] == [
        f"Of the test photos of known classes {result.answered.coverage.percent()} get another answer than unknown.",
        f"Of the test photos of other things {result.unknown_class.percent()} are called unknown.",
    ]
