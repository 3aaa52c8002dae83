"""The device side where it lives: environments that hold the wheel and one extra, and no TensorFlow."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge import Classifier
from edge.model import golden
from edge.picture import geometry
from tests.drills.live_agreement import held_out, squares, write_ffv1
from tests.making.bundle import ROOT, Target, make_bundle
from tests.road import Road

LEAST_AGREEMENT = 0.99  # of the top-1 answers of tflite-runtime with those of LiteRT


def flora(python: Path, *arguments: str | Path, folder: Path) -> str:
    """What a `flora` command of a device environment prints; it must succeed."""
    command = [python, "-m", "edge.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_importable(python: Path, module: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.photos
@pytest.mark.device
def test_evaluate_predict_and_run_need_no_tensorflow(headless_python: Path, road: Road, tmp_path: Path) -> None:
    assert not is_importable(headless_python, "tensorflow")
    report = flora(headless_python, "evaluate", road.model, "--run", road.run, "--json", folder=tmp_path)
    scores = json.loads(report)["models"][str(road.model)]
    photos = held_out(road.run)
    tops = _tops(headless_python, road, photos, tmp_path)
    known = [next(label for label in top if label != "unknown") for top in tops]  # accuracy is over the classes
    right = sum(label == photo.parent.name for label, photo in zip(known, photos, strict=True))
    assert right / len(photos) == pytest.approx(scores["top1"])
    write_ffv1(tmp_path / "clip.mkv", squares(photos, 224))
    lines = flora(headless_python, "run", road.model, "--source", "clip.mkv", "--json", folder=tmp_path).splitlines()
    assert [json.loads(line)["label"] for line in lines] == [top[0] for top in tops]


@pytest.mark.photos
@pytest.mark.device
def test_the_file_proves_itself_on_the_device(headless_python: Path, road: Road, tmp_path: Path) -> None:
    assert_proved(headless_python, road, tmp_path)


@pytest.mark.photos
@pytest.mark.legacy
@pytest.mark.device
def test_the_file_proves_itself_on_the_old_runtime(legacy_python: Path, road: Road, tmp_path: Path) -> None:
    assert_proved(legacy_python, road, tmp_path)


def assert_proved(python: Path, road: Road, folder: Path) -> None:
    found = json.loads(flora(python, "inspect", road.model, "--json", folder=folder))
    assert len(found["verdicts"]) >= 4
    assert all(verdict["passed"] for verdict in found["verdicts"])
    assert found["trouble"] is None


@pytest.mark.photos
@pytest.mark.legacy
@pytest.mark.device
def test_the_old_runtime_gives_the_same_answers(
    headless_python: Path, legacy_python: Path, road: Road, tmp_path: Path
) -> None:
    assert is_importable(legacy_python, "tflite_runtime")
    assert not is_importable(legacy_python, "ai_edge_litert")
    photos = sorted((road.run.parent / "photos").glob("*/*"))
    new, old = (_predicted(python, road, photos, tmp_path) for python in (headless_python, legacy_python))
    agreed = sum(a == b for a, b in zip(new, old, strict=True))
    assert len(photos) >= 300
    assert agreed / len(photos) >= LEAST_AGREEMENT


@pytest.mark.device
def test_training_verbs_say_in_one_line_what_is_missing(headless_python: Path, tmp_path: Path) -> None:
    (tmp_path / "photos/a").mkdir(parents=True)
    (tmp_path / "photos/b").mkdir()
    command = [str(headless_python), "-m", "edge.cli", "train", "photos", "--out", "run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 1
    assert "is not installed" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def _predicted(python: Path, road: Road, photos: list[Path], folder: Path) -> list[str]:
    """The most probable label of each photo, whether or not it is probable enough."""
    return [top[0] for top in _tops(python, road, photos, folder)]


def _tops(python: Path, road: Road, photos: list[Path], folder: Path) -> list[list[str]]:
    """The labels of each photo, the most probable first."""
    lines = flora(python, "predict", "--model", road.model, "--json", *photos, folder=folder).splitlines()
    return [[one["label"] for one in json.loads(line)["top"]] for line in lines]


# The bundled model, right after the install


@pytest.fixture(scope="module")
def golden_clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A clip of what the bundled model sees of its golden frames, and the right label of each."""
    classify = Classifier()
    assert classify.card is not None
    cases = classify.card.golden
    path = tmp_path_factory.mktemp("golden") / "clip.mkv"
    pictures = [geometry.model_input(golden.frame(case), classify.size) for case in cases]
    write_ffv1(path, [np.ascontiguousarray(picture[..., ::-1]) for picture in pictures])
    return path, [max(case.answers, key=case.answers.__getitem__) for case in cases]


def assert_bundled_model_runs(python: Path, clip: Path, labels: list[str], folder: Path) -> None:
    command: list[str | Path] = [
        python,
        "-m",
        "edge.cli",
        "run",
        "--source",
        clip,
        "--jsonl",
        "-",
        "--smoothing-s",
        "0",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["label"] for line in done.stdout.splitlines()] == labels
    assert done.stderr.startswith("no model named: the bundled flowers.tflite knows daisy, dandelion, ")


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param("headless_python", marks=pytest.mark.device),
        pytest.param("window_python", marks=pytest.mark.device),
        pytest.param("legacy_python", marks=pytest.mark.legacy),
    ],
)
def test_an_installed_wheel_knows_flowers_with_no_model_named(
    environment: str, golden_clip: tuple[Path, list[str]], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    assert_bundled_model_runs(request.getfixturevalue(environment), *golden_clip, tmp_path)


@pytest.mark.device
@pytest.mark.timeout(900)  # it downloads 100 MB
def test_a_bundle_installs_without_a_network_and_runs(golden_clip: tuple[Path, list[str]], tmp_path: Path) -> None:
    target = Target(f"3.{sys.version_info.minor}", platform.machine(), "headless")
    bundle = make_bundle(target, tmp_path / "bundle", ROOT / ".ci/constraints.txt")
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=bundle, check=True)
    python = tmp_path / "device" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "device"], check=True)
    # No network and nothing of this machine: what pip is told by its configuration and environment is left out.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    command: list[str | Path] = [python, "-m", "pip", "--isolated", "install", "--quiet", "--no-index"]
    subprocess.run([*command, "--find-links", ".", "flora-edge[headless]"], cwd=bundle, env=environment, check=True)
    assert_bundled_model_runs(python, *golden_clip, tmp_path)
