"""A training that is killed and resumed ends with the very weights of one that was left in peace."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import training
from tests.training import small
from tests.training.runs import TINY, call, weights_of
from training.config import read_config
from training.fitting import checkpoint
from training.fitting.fit import fit
from training.network import backbone

ROOT = Path(training.__file__).resolve().parents[1]

# Runs `flora`, and kills itself when a given step of a given bar, counted through all epochs, is done.
KILLED = """
import os, signal, sys
import edge.base.progress
from edge.cli import main
from tests.training import small
from training.network import backbone

backbone._trunk = small.trunk

bar_title, last_step, *arguments = sys.argv[1:]
draw = edge.base.progress.Progress.__call__

def count(bar, done, *rest, **more):
    draw(bar, done, *rest, **more)
    if bar._title == bar_title and done == int(last_step):
        os.kill(os.getpid(), signal.SIGKILL)

edge.base.progress.Progress.__call__ = count
sys.exit(main(arguments))
"""
STEPS = 3  # in an epoch of fine-tuning: 30 photos in batches of 8, the rest dropped
HEAD_STEPS = 4  # the head takes the rest too


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, unpainted: None) -> None:
    monkeypatch.setattr(backbone, "_trunk", small.trunk)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write_weights(tmp_path_factory.mktemp("weights") / "small.h5")


def kill_in(stage: str, step: int, *arguments: str | Path) -> None:
    """Run `flora` in a process of its own until it has killed itself with SIGKILL at that step."""
    command = [sys.executable, "-c", KILLED, stage, str(step), *(str(argument) for argument in arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def saved(run: Path) -> tuple[str, int]:
    """Phase and number of finished epochs in the checkpoint."""
    state = checkpoint.load_state(run / "checkpoint" / "state.npz")
    assert state is not None
    return state.reached.phase, state.reached.epoch


def left_in_peace(run: Path, whole: Path, cache: Path) -> tuple[list[Any], list[str]]:
    """Weights and history of a training with the config of `run`, made in one go in another folder."""
    whole.mkdir()
    fit(read_config(run), whole, cache)
    return outcome(whole)


def outcome(run: Path) -> tuple[list[Any], list[str]]:
    """The weights of a finished run, and its history but for the seconds."""
    state = checkpoint.load_state(run / "checkpoint" / "state.npz")
    assert state is not None
    return weights_of(run), [str(row | {"seconds": 0}) for row in state.reached.history]


def require_equal(run: Path, expected: tuple[list[Any], list[str]]) -> None:
    """Same weights bit for bit, and same history."""
    weights, history = outcome(run)
    assert history == expected[1]
    for number, (one, two) in enumerate(zip(weights, expected[0], strict=True)):
        np.testing.assert_array_equal(one, two, err_msg=f"tensor {number}")


def test_killed_from_scratch_in_the_middle_of_an_epoch(
    garden: Path, tiny: tuple[str, ...], cache: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    kill_in("fine-tuning", STEPS + 2, "train", garden, "--out", run, "--weights", "none", *tiny)
    assert saved(run) == ("fine-tune", 1)
    assert not (run / "model.keras").exists()
    resumed = call("train", "--resume", run, "--cache", tiny[-1])
    assert resumed.code == 0, resumed.err
    require_equal(run, left_in_peace(run, tmp_path / "whole", cache))


def test_killed_in_the_head_phase_and_again_in_fine_tuning(
    garden: Path, weights: Path, cache: Path, tmp_path: Path
) -> None:
    options = (*TINY, "--weights", weights, "--dropout", "0.3", "--average", "0.9", "--seed", "2", "--cache", cache)
    run = tmp_path / "run"
    kill_in("training the head", HEAD_STEPS + 2, "train", garden, "--out", run, *options)
    assert saved(run) == ("head", 1)
    kill_in("fine-tuning", 2 * STEPS + 2, "train", "--resume", run, "--cache", cache)
    assert saved(run) == ("fine-tune", 2)
    resumed = call("train", "--resume", run, "--cache", cache)
    assert resumed.code == 0, resumed.err
    require_equal(run, left_in_peace(run, tmp_path / "whole", cache))


class Cut(BaseException):
    """Stands for a kill: nothing catches it."""


def cut_at(patch: pytest.MonkeyPatch, number: int) -> list[Path]:
    """Cut the process off just before its `number`-th renaming of a finished file; returns the renamed files."""
    renamed: list[Path] = []
    replace = Path.replace

    def counted(path: Path, target: Path) -> Path:
        if len(renamed) == number:
            raise Cut
        renamed.append(Path(target))
        return replace(path, target)

    patch.setattr(Path, "replace", counted)
    return renamed


def test_cut_off_before_each_kind_of_file_is_finished(
    garden: Path, weights: Path, cache: Path, tmp_path: Path
) -> None:
    """One training of a head is cut off again and again, further on each time."""
    run = tmp_path / "run"
    options = (*TINY, "--weights", weights, "--epochs", "0", "--cache", cache)
    arguments: tuple[str | Path, ...] = (garden, "--out", run, *options)
    for finished in (
        ["config.json"], ["left_out.csv", "manifest.csv"], ["features.npz"], ["state.npz"] * 3, ["model.keras"]
    ):  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            renamed = cut_at(patch, len(finished))
            with pytest.raises(Cut):
                call("train", *arguments)
        assert [path.name for path in renamed] == finished
        arguments = ("--resume", run, "--cache", cache)
    resumed = call("train", *arguments)
    assert resumed.code == 0, resumed.err
    require_equal(run, left_in_peace(run, tmp_path / "whole", cache))
