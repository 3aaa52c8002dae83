"""The checkpoint: everything comes back as it was, and a broken one is told in one line."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.base.formats import strange
from edge.errors import ModelError, OutputError
from training.fitting.checkpoint import Reached, State, load_arrays, load_state, save_arrays, save_state


def state(tensors: int = 12) -> State:
    """More than ten tensors of each kind, so that their order by name is put to the test."""
    draws = np.random.default_rng(3)

    def arrays(count: int) -> list[Any]:
        return [draws.normal(size=(2, index + 1)).astype(np.float32) for index in range(count)]

    reached = Reached("fine-tune", 4, 0.25, 3, [{"phase": "fine-tune", "epoch": 1, "loss": 0.1 + 0.2}])
    return State(reached, arrays(tensors), arrays(tensors), arrays(tensors), [np.int64(7) + np.zeros((), np.int64)])


def test_state_survives_a_round_trip(tmp_path: Path) -> None:
    saved = state()
    save_state(tmp_path / "checkpoint" / "state.npz", saved)
    loaded = load_state(tmp_path / "checkpoint" / "state.npz")
    assert loaded is not None
    assert loaded.reached == saved.reached
    for group in ("weights", "average", "best", "optimizer"):
        for before, after in zip(getattr(saved, group), getattr(loaded, group), strict=True):
            np.testing.assert_array_equal(before, after)
            assert before.dtype == after.dtype


def test_infinite_best_loss_survives(tmp_path: Path) -> None:
    save_state(tmp_path / "state.npz", State(Reached("head"), [], [], [], []))
    loaded = load_state(tmp_path / "state.npz")
    assert loaded is not None
    assert loaded.reached.best_loss == float("inf")


def test_no_state_yet_is_no_error(tmp_path: Path) -> None:
    assert load_state(tmp_path / "state.npz") is None


def test_saving_leaves_nothing_but_the_file(tmp_path: Path) -> None:
    save_arrays(tmp_path / "features.npz", train=np.zeros(3))
    save_arrays(tmp_path / "features.npz", train=np.ones(3))
    assert [path.name for path in tmp_path.iterdir()] == ["features.npz"]
    np.testing.assert_array_equal(load_arrays(tmp_path / "features.npz")["train"], np.ones(3))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999], ids=lambda share: f"{share:.1%} of it")
def test_torn_state_is_told_in_one_line(tmp_path: Path, share: float) -> None:
    path = tmp_path / "state.npz"
    save_state(path, state())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match=r"state\.npz: the checkpoint is broken .*; delete it") as caught:
        load_state(path)
    assert "\n" not in str(caught.value)


def test_every_flipped_byte_of_the_tensors_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    save_state(path, state())
    whole = path.read_bytes()
    for at in (len(whole) // 4, len(whole) // 2):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        with pytest.raises(ModelError, match="the checkpoint is broken"):
            load_state(path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"weights/0000": np.zeros(1)},
        {"progress": np.array("{")},
        {"progress": np.array("[]")},
        {"progress": np.array('{"epoch": "many"}')},
        {"progress": np.array('{"best_loss": "low"}')},
    ],
    ids=["no progress", "no JSON", "no object", "a number in words", "a loss in words"],
)
def test_state_of_another_making_is_told_in_one_line(tmp_path: Path, arrays: dict[str, Any]) -> None:
    save_arrays(tmp_path / "state.npz", **arrays)
    with pytest.raises(ModelError, match="the checkpoint is broken"):
        load_state(tmp_path / "state.npz")


def test_a_state_of_a_newer_format_is_told_in_one_line(tmp_path: Path) -> None:
    save_arrays(tmp_path / "state.npz", progress=np.array('{"format": 2}'))
    with pytest.raises(ModelError, match=r"state\.npz: the checkpoint is of format 2, this Flora reads format 1;"):
        load_state(tmp_path / "state.npz")


def test_what_is_not_known_of_a_state_is_kept(tmp_path: Path) -> None:
    more = replace(state(), others={"sharpness/0000": np.arange(3.0)})
    more.reached.others["mood"] = [1]
    save_state(tmp_path / "state.npz", more)
    found = load_state(tmp_path / "state.npz")
    assert found is not None
    assert (found.reached, list(found.others)) == (more.reached, ["sharpness/0000"])
    assert found.others["sharpness/0000"].tolist() == [0.0, 1.0, 2.0]
    assert [len(found.weights), len(found.optimizer)] == [len(more.weights), len(more.optimizer)]
    assert strange(found) == ["sharpness/0000", "reached.mood"]


def test_what_is_missing_of_a_state_has_its_default(tmp_path: Path) -> None:
    save_arrays(tmp_path / "state.npz", progress=np.array("{}"))
    assert load_state(tmp_path / "state.npz") == State(Reached(), [], [], [], [])


def test_a_file_where_the_folder_should_be_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text("not a folder")
    with pytest.raises(OutputError, match=r"cannot be written .*go on with --resume"):
        save_state(tmp_path / "checkpoint" / "state.npz", state())


def test_a_full_disk_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.npz"
    save_arrays(path, train=np.zeros(2))

    def fill_up(file: Any, **_: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", fill_up)
    with pytest.raises(OutputError, match="No space left on device"):
        save_arrays(path, train=np.ones(2))
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.npz"]
    np.testing.assert_array_equal(load_arrays(path)["train"], np.zeros(2))
