"""Outputs: what was asked for is opened, and closed again when something after it cannot be."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from edge.contract.event import Event
from edge.contract.health import LIVE, Health
from edge.errors import OutputError
from edge.sinks.opening import OutputConfig, Run, open_sinks
from edge.sinks.recording.journal import Header
from tests.edge.fakes import LABELS


@pytest.fixture
def run() -> Run:
    header = Header("m.tflite", None, LABELS, 32, "camera 0", True, 1_800_000_000.0)
    health = Health(0.0, 0.0, LIVE, None, "m.tflite", LABELS, "camera 0", None)

    def tell(event: Event) -> None:
        raise AssertionError(event)

    return Run(LABELS, lambda: header, lambda: health, lambda: LABELS, tell, lambda name: 0)


def names(config: OutputConfig, run: Run, *, is_json: bool = False) -> list[str]:
    with ExitStack() as undo:
        return [sink.name for sink in open_sinks(config, run, undo, is_json=is_json)]


@pytest.mark.usefixtures("_no_systemd")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["terminal"]),
        ({"jsonl": "-"}, ["jsonl", "log"]),
        ({"jsonl": "a.jsonl"}, ["jsonl", "terminal"]),
        ({"clip": "a.avi", "record": "kept"}, ["clip", "record", "terminal"]),
        ({"web": "0", "keep_uncertain": "unsure"}, ["keep-uncertain", "web", "terminal"]),
        ({"mqtt": "mqtt://127.0.0.1:1/garden"}, ["mqtt", "terminal"]),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_any_number_of_outputs_at_once(
    options: dict[str, Any], expected: list[str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert names(OutputConfig(**options), run) == expected


@pytest.mark.usefixtures("_no_systemd")
def test_json_leaves_stdout_to_the_lines(run: Run) -> None:
    assert names(OutputConfig(), run, is_json=True) == ["jsonl", "log"]


def test_a_service_reports_to_systemd(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    assert names(OutputConfig(), run) == ["systemd", "terminal"]


@pytest.mark.usefixtures("_no_systemd")
def test_what_was_opened_before_a_failure_is_closed(run: Run, tmp_path: Path) -> None:
    config = OutputConfig(clip=str(tmp_path / "a.avi"), record="/dev/null/kept")
    with pytest.raises(OutputError), ExitStack() as undo:
        open_sinks(config, run, undo)
    assert list(tmp_path.iterdir()) == []  # an open clip has a temporary file


@pytest.fixture
def _no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
