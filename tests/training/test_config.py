"""The configuration of a run: checked once, saved with it, read back."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from edge.base.options import add_options, read_options
from edge.errors import ModelError, OutputError, UsageError
from training.config import TrainConfig, numbered, read_config, read_json, write_json


def test_config_survives_a_round_trip(tmp_path: Path) -> None:
    config = TrainConfig(photos="/photos", size=96, weights="none", balance=True, head_rate=1e-3)
    config.write(tmp_path / "config.json")
    assert read_config(tmp_path) == config
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_every_setting_is_an_option_with_a_help_text() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, TrainConfig)
    given = parser.parse_args(["--size", "96", "--weights", "none", "--balance", "--no-mixed-precision"])
    config = read_options(TrainConfig, given, photos="p")
    assert config == TrainConfig("p", size=96, weights="none", balance=True, mixed_precision=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 100}, r"--size 100: expected a multiple of 32"),
        ({"size": 0}, r"--size 0: expected a value from 32 to 512"),
        ({"batch": 0}, r"--batch 0: expected a value from 1"),
        ({"epochs": -1}, r"--epochs -1: expected a value from 0"),
        ({"rate": 0.0}, r"--rate 0\.0: expected a value"),
        ({"head_rate": float("nan")}, r"--head-rate nan: expected a value"),
        ({"rate": float("inf")}, r"--rate inf: expected a value"),
        ({"dropout": 1.0}, r"--dropout 1\.0: expected a value from 0 to 0\.95"),
        ({"average": 1.0}, r"--average 1\.0: expected"),
        ({"label_smoothing": 1.0}, r"--label-smoothing 1\.0: expected"),
        ({"crop": 0.0}, r"--crop 0\.0: expected a value from 0\.01 to 1"),
        ({"colour": -0.1}, r"--colour -0\.1: expected"),
        ({"min_photos": 2}, r"--min-photos 2: expected a value from 3"),
        ({"threads": -1}, r"--threads -1: expected"),
        ({"seed": -1}, r"--seed -1: expected"),
        ({"patience": 0}, r"--patience 0: expected"),
        ({"backbone": "resnet"}, r"--backbone resnet: expected one of mobilenet_v2, mobilenet"),
        ({"epochs": 0, "head_epochs": 0}, "trains nothing"),
        ({"epochs": 0, "weights": "none"}, "trains nothing"),
    ],
    ids=str,
)
def test_impossible_value_is_a_usage_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "is of format 2, this Flora reads format 1; update Flora"),
        ({"format": "2.1"}, r"is of format 2\.1, this Flora reads format 1; update Flora"),
        ({"format": "new"}, "names the format 'new', expected a number"),
        ({"balance": "yes"}, r"holds an impossible value \(balance is 'yes', expected true or false\)"),
        ({"seed": 1.5}, "holds an impossible value"),
        ({"size": None}, "holds an impossible value"),
        ({"size": "224"}, "holds an impossible value"),
        ({"size": 100}, r"holds an impossible value \(--size 100"),
    ],
    ids=str,
)
def test_config_of_another_making_is_told_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    TrainConfig(photos="p").write(tmp_path / "config.json")
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | changes))
    with pytest.raises(ModelError, match=message):
        read_config(tmp_path)


@pytest.mark.parametrize("name", [field.name for field in fields(TrainConfig) if field.name != "others"])
def test_a_field_that_is_missing_has_its_default(tmp_path: Path, name: str) -> None:
    unusual = TrainConfig(
        "p", "mobilenet", 0.5, 96, "none", 2, 16, 3, 4, 0.01, 0.001, 0.1, 0.2, 0.3, 0.9, 0.7, 2, 0.5, 0.5, True, 4,
        ("o",), "b", 7, False, 2, format="1.3",
    )  # fmt: skip
    unusual.write(tmp_path / "config.json")
    content = json.loads((tmp_path / "config.json").read_text())
    del content[name]
    (tmp_path / "config.json").write_text(json.dumps(content))
    # What says nothing of these was trained without them.
    as_before: dict[str, Any] = {"other_things": ("none",), "made_others": 0, "keep_features": 0.0}
    assert read_config(tmp_path) == replace(unusual, **{name: as_before.get(name, getattr(TrainConfig(), name))})


def test_a_field_that_is_not_known_is_kept(tmp_path: Path) -> None:
    TrainConfig(photos="p").write(tmp_path / "config.json")
    content = json.loads((tmp_path / "config.json").read_text()) | {"format": "1.2", "course": {"steps": [1, None]}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    found = read_config(tmp_path)
    assert found == TrainConfig(photos="p", format="1.2", others={"course": {"steps": [1, None]}})
    found.write(tmp_path / "config.json")
    assert json.loads((tmp_path / "config.json").read_text()) == content


def test_a_config_of_another_program_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit", "dropout": 0.1}')
    with pytest.raises(ModelError, match=r"config\.json: says nothing of a training; expected a run folder"):
        read_config(tmp_path)


@pytest.mark.parametrize("text", ["", "{", '{"format": 1', "[]", "\x00"], ids=repr)
def test_broken_config_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json: .*expected a run folder made by: flora train") as caught:
        read_config(tmp_path)
    assert "\n" not in str(caught.value)


def test_folder_that_is_no_run_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json in it; expected a run folder made by: flora train"):
        read_config(tmp_path)


def test_folders_are_numbered(tmp_path: Path) -> None:
    for expected in ("flowers", "flowers-2", "flowers-3"):
        folder = numbered(tmp_path, "flowers")
        assert folder == tmp_path / expected
        folder.mkdir()


def test_json_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_json(tmp_path / "file" / "metrics.json", {})


def test_json_object_is_read_back(tmp_path: Path) -> None:
    write_json(tmp_path / "metrics.json", {"top1": 0.5})
    assert read_json(tmp_path / "metrics.json", "a file") == {"top1": 0.5}
