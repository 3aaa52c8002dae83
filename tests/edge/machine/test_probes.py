"""Probes are asked in processes of their own: what crashes, hangs or is broken there is one line here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from edge.machine import probes
from edge.machine.probes import Said, ask
from tests.edge.model import tiny


def test_the_packages_here_are_found_whole(tmp_path: Path) -> None:
    said = ask({"opencv": "", "colours": "", "runtime": "", "model": str(tiny.write_model(tmp_path / "a.tflite"))})
    assert [one.problem for one in said.values()] == [None] * 4
    assert (said["colours"].found or {})["is_right"] is True
    assert (said["runtime"].found or {})["version"].split()[0] in {"ai-edge-litert", "tflite-runtime"}
    model = said["model"].found or {}
    assert (model["name"], model["cases"], model["trouble"]) == ("a.tflite", 0, None)
    assert min(model["ms_by_threads"].values()) > 0
    assert isinstance((said["opencv"].found or {})["has_ffmpeg"], bool)


def test_cameras_are_listed_without_one() -> None:
    found = ask({"cameras": ""})["cameras"].found or {}
    assert set(found) == {"cameras", "picamera"}


def test_a_model_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    said = ask({"model": str(tmp_path / "none.tflite")})["model"]
    assert said.found is None
    assert (said.problem or "").startswith(f"{tmp_path / 'none.tflite'}: no such file")


@pytest.mark.parametrize("package", ["cv2", "numpy"])
def test_a_missing_package_is_one_line(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{package}.py").write_text(
        f"raise ModuleNotFoundError(\"No module named '{package}'\", name='{package}')"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    said = ask({"colours": ""})["colours"]
    assert (said.problem or "").startswith(f"{package} is not installed; take one of: pip install")


def test_a_child_without_an_answer_is_a_problem_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "LONGEST_S", 0.01)
    assert ask({"opencv": ""}) == {"opencv": Said(None, "no answer within 0.01 s")}


def test_a_probe_needs_no_package_to_be_asked() -> None:
    """The parent may be a Python without numpy."""
    imports = "import edge.machine.examination, edge.verbs.doctor"
    code = f"import sys; sys.modules['numpy'] = sys.modules['cv2'] = None; {imports}"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
