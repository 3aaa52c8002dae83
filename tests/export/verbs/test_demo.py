"""`flora demo` as a person calls it, the demo itself as good as done."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest

from edge.cli import main
from edge.errors import SourceError
from export import demo as module


@pytest.mark.parametrize("options", [["--epochs", "0"], ["--seed", "-1"]], ids=" ".join)
def test_what_cannot_be_is_refused_before_anything_is_done(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo"), *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "demo").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").touch()
    assert main(["demo", "--out", str(tmp_path)]) == 1
    assert "there is something in it already" in capsys.readouterr().err


def test_what_goes_wrong_is_told_after_what_was_being_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(folder: Path, seed: int, epochs: int, stages: Any, tell: Any) -> NoReturn:
        tell("4/4  live")
        stages("watching the clip")(7, 300)
        raise SourceError("clip.avi: only 7 frames")

    monkeypatch.setattr(module, "demo", broken)
    assert main(["demo", "--out", str(tmp_path / "demo")]) == SourceError.exit_code
    lines = capsys.readouterr().err.splitlines()
    assert (lines[0], lines[-1]) == ("4/4  live", "flora: clip.avi: only 7 frames")
    assert all(line.startswith("watching the clip: 7/300") for line in lines[1:-1])
