"""flora doctor: lines for a person, one object for a program, and an exit code that says whether flora run can work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge import cli
from edge.machine.examination import FAIL, OK, WARN, Finding
from edge.verbs import doctor
from tests.edge.conftest import Flora

GOOD = Finding("runtime", OK, "ai-edge-litert 2.3.0")
CAMERA = Finding("camera", OK, "/dev/video0", "flora run --source 0")
NO_CAMERA = Finding("camera", WARN, "none found", "flora run --source test")
BROKEN = Finding("OpenCV", FAIL, "cv2 is not installed", "pip install 'flora-edge[headless]'")


@pytest.fixture(autouse=True)
def _verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.VERBS, "doctor", cli.Verb("edge.verbs.doctor", "what works on this machine"))


def findings(monkeypatch: pytest.MonkeyPatch, *found: Finding) -> None:
    monkeypatch.setattr(doctor, "examine", lambda patient, tick: list(found))


def test_each_finding_is_a_line_with_the_next_command_below(flora: Flora, monkeypatch: pytest.MonkeyPatch) -> None:
    findings(monkeypatch, GOOD, CAMERA)
    found = flora("doctor")
    assert found.out.splitlines() == [
        "ok    runtime  ai-edge-litert 2.3.0",
        "ok    camera   /dev/video0",
        "               next: flora run --source 0",
    ]
    assert (found.code, found.err) == (0, "flora run can work, 0 warnings; next: flora run --source 0\n")


def test_a_warning_stops_nothing(flora: Flora, monkeypatch: pytest.MonkeyPatch) -> None:
    findings(monkeypatch, GOOD, NO_CAMERA)
    found = flora("doctor")
    assert (found.code, found.err) == (0, "flora run can work, 1 warning; next: flora run --source test\n")


def test_what_stops_flora_run_is_the_exit_code_and_the_last_line(flora: Flora, monkeypatch: pytest.MonkeyPatch) -> None:
    findings(monkeypatch, GOOD, BROKEN, NO_CAMERA)
    found = flora("doctor")
    assert found.code == 1
    assert found.err == (
        "flora run cannot work: OpenCV: cv2 is not installed; next: pip install 'flora-edge[headless]'\n"
    )
    assert "fail  OpenCV   cv2 is not installed" in found.out


def test_json_has_the_findings_and_the_board(flora: Flora, monkeypatch: pytest.MonkeyPatch) -> None:
    findings(monkeypatch, GOOD, BROKEN)
    found = flora("doctor", "--json")
    record = json.loads(found.out)
    assert (found.code, record["can_run"]) == (1, False)
    assert record["findings"][1] == {
        "about": "OpenCV", "verdict": "fail", "text": "cv2 is not installed",
        "next": "pip install 'flora-edge[headless]'",
    }  # fmt: skip
    assert {"name", "cores", "features", "memory_mb"} <= set(record["board"])


def test_this_machine_is_examined_as_it_is(flora: Flora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = flora("doctor", "--json")
    verdicts = {one["about"]: one["verdict"] for one in json.loads(found.out)["findings"]}
    assert {verdicts[about] for about in ("numpy", "runtime", "OpenCV", "colours")} <= {"ok", "warn"}
    assert "processor" in verdicts
