"""Sinks: what was asked for is opened, and closed again when something after it cannot be."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.base.options import option
from edge.contract.decision import Decision
from edge.contract.event import Event
from edge.contract.frame import Frame
from edge.contract.health import LIVE, Health
from edge.contract.sink import ALL, Opened, Run
from edge.errors import OutputError
from edge.sinks.opening import SINKS, SinkRow, add_sink_options, open_sinks, read_sink_options
from edge.sinks.uncertain.sink import UncertainSink
from edge.sources.pattern import PatternSource
from tests.edge.conftest import Flora
from tests.edge.fakes import LABELS, FakeClassifier


@pytest.fixture
def run(tmp_path: Path) -> Run:
    health = Health(0.0, 0.0, LIVE, None, "m.tflite", LABELS, "camera 0", None)

    def tell(event: Event) -> None:
        raise AssertionError(event)

    return Run(
        FakeClassifier(), tmp_path / "m.tflite", PatternSource((64, 48)), {}, 1_800_000_000.0, lambda: health, tell,
        lambda name: 0,
    )  # fmt: skip


def opened(run: Run, undo: ExitStack, *typed: str) -> list[Opened]:
    parser = argparse.ArgumentParser("flora run", allow_abbrev=False)
    add_sink_options(parser)
    return open_sinks(read_sink_options(parser.parse_args(typed)), run, undo)


def names(run: Run, *typed: str) -> list[str]:
    with ExitStack() as undo:
        return [one.sink.name for one in opened(run, undo, *typed)]


@pytest.mark.usefixtures("_no_systemd")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("", ["terminal"]),
        ("--jsonl -", ["jsonl", "log"]),
        ("--jsonl a.jsonl", ["jsonl", "terminal"]),
        ("--clip a.avi --record kept", ["clip", "record", "terminal"]),
        ("--web 0 --keep-uncertain unsure", ["keep-uncertain", "web", "terminal"]),
        ("--mqtt mqtt://127.0.0.1:1/garden", ["mqtt", "terminal"]),
        ("--json", ["jsonl", "log"]),
        ("--json --jsonl a.jsonl", ["jsonl", "jsonl", "log"]),
    ],
)
def test_any_number_of_outputs_at_once(
    typed: str, expected: list[str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert names(run, *typed.split()) == expected


def test_a_service_reports_to_systemd(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    assert names(run) == ["systemd", "terminal"]


@pytest.mark.usefixtures("_no_systemd")
def test_what_was_opened_before_a_failure_is_closed(run: Run, tmp_path: Path) -> None:
    with pytest.raises(OutputError), ExitStack() as undo:
        opened(run, undo, "--clip", f"{tmp_path}/a.avi", "--record", "/dev/null/kept")
    assert list(tmp_path.iterdir()) == []  # an open clip has a temporary file


@pytest.mark.usefixtures("_no_systemd")
def test_the_page_names_the_frames_that_another_sink_keeps(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[object] = []

    class Page:
        name, link = "web", "http://127.0.0.1:8080/"

        def __init__(self, address: str, **given: object) -> None:
            handed.append(given["store"])

        def close(self) -> None:
            """Nothing is held."""

    monkeypatch.setattr("edge.sinks.web.sink.WebSink", Page)
    with ExitStack() as undo:
        opened(run, undo, "--web", "0")
        kept, page, _ = opened(run, undo, "--web", "0", "--keep-uncertain", str(tmp_path))
    assert isinstance(kept.sink, UncertainSink)
    assert handed == [None, kept.sink.store]
    assert page.page == "http://127.0.0.1:8080/"


@pytest.mark.usefixtures("_no_systemd")
def test_what_will_have_been_written_is_known(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ExitStack() as undo:
        found = opened(run, undo, "--jsonl=a.jsonl", "--clip=a.avi", "--record=kept", "--keep-uncertain=unsure")
    assert [one.wrote for one in found] == ["a.jsonl", "a.avi", "kept", None, None]


@pytest.mark.usefixtures("_no_systemd")
def test_a_scene_can_be_learned_where_frames_are_kept(run: Run, tmp_path: Path) -> None:
    with ExitStack() as undo:
        kept, _ = opened(run, undo, "--keep-uncertain", str(tmp_path), "--learn-scene", "60s")
        assert kept.remark is not None
        assert kept.remark() == "the run ended before its lesson: no frame of the scene was kept: there was no picture"
        kept, _ = opened(run, undo, "--keep-uncertain", str(tmp_path))
        assert kept.remark is not None
        assert kept.remark() is None


# One more kind


@dataclass(frozen=True)
class TallyOptions:
    tally: str | None = option(None, "count the answers in a file", metavar="PATH")
    tally_word: str = option("times", "what is behind each number", metavar="WORD")


@dataclass
class TallySink:
    """How often each answer was shown."""

    path: Path
    word: str
    counts: dict[str, int] = field(default_factory=dict)
    name = "tally"
    backlog = ALL
    needs_picture = False

    def show(self, decision: Decision, frame: Frame) -> None:
        self.counts[decision.shown] = self.counts.get(decision.shown, 0) + 1

    def tell(self, event: Event) -> None:
        """Events are not counted."""

    def close(self) -> None:
        self.path.write_text("".join(f"{label} {count} {self.word}\n" for label, count in self.counts.items()))


def open_tally(options: TallyOptions, run: Run) -> Opened | None:
    return Opened(TallySink(Path(options.tally), options.tally_word), wrote=options.tally) if options.tally else None


def test_a_new_kind_of_sink_is_one_row(
    flora: Flora, model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.sinks.opening.SINKS", (*SINKS, SinkRow(TallyOptions, open_tally)))
    text = " ".join(flora("run", "--help").out.split())
    assert "--tally PATH count the answers in a file --tally-word WORD what is behind each number" in text
    path = tmp_path / "tally.txt"
    found = flora("run", model, "--source", photos / "red", "--tally", path, "--tally-word", "x")
    assert path.read_text() == "red 1 x\nblue 1 x\n"
    assert found.err.splitlines()[-1] == f"wrote {path}"


@pytest.fixture
def _no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
