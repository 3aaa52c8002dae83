"""Damaged and hostile model files: an answer or one clear line, whatever the bytes. fuzz_models.py tries thousands."""

from __future__ import annotations

import itertools
import os
import select
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edge.errors import ModelError
from tests.drills import fuzz_models
from tests.drills.fuzz_models import BAD, Task, fuzz, table
from tests.drills.mutations import MUTATIONS, mutant

FILES = 500 if os.environ.get("FLORA_FUZZ") == "1" else 60
SEED = 25  # of the first 60 files each mutation makes one or more


@pytest.mark.timeout(600)
def test_mutated_files_give_an_answer_or_one_line() -> None:
    reports = fuzz(Task(0, FILES, SEED, ()), jobs=2)
    assert [report.index for report in reports] == list(range(FILES))
    assert [report for report in reports if report.outcome in BAD] == []
    outcomes = Counter(report.outcome for report in reports)
    for outcome in ("right answer", "a stranger's answer", "refused when read", "refused in the trial run"):
        assert outcomes[outcome] > 0, table(reports)  # else this tests less than it says
    assert {report.mutation for report in reports} == set(MUTATIONS)


def test_a_mutant_is_made_of_its_numbers_alone() -> None:
    assert [mutant(i, 5).data for i in range(40)] == [mutant(i, 5).data for i in range(40)]
    assert mutant(0, 5).data != mutant(0, 6).data


@pytest.mark.parametrize(
    ("defect", "outcome"),
    [
        (ModelError("m: one line"), "refused when read"),
        (ModelError("m: two\nlines"), "several lines"),
        (ModelError("m: \x1b[31m"), "several lines"),
        (ModelError("m: it crashed the runtime in a trial run (SIGSEGV); go"), "crashed the trial run"),
        (ModelError("m: the runtime ai-edge-litert 2.3.0 refuses it (no)"), "refused in the trial run"),
        (ValueError("a defect"), "traceback"),
        (MemoryError(), "traceback"),
    ],
)
def test_what_is_no_clear_line_is_noticed(
    defect: Exception, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_it(path: Path, threads: int) -> None:
        raise defect

    monkeypatch.setattr(fuzz_models, "Classifier", open_it)
    assert fuzz_models._outcome(tmp_path / "m.tflite")[0] == outcome


def test_a_worker_that_dies_is_noticed_and_the_next_file_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    dying = (
        "import json, os, sys; from tests.drills import fuzz_models as f\n"
        "task = json.loads(sys.argv[-1])\n"
        "f._outcome = lambda path: ('refused when read', '')\n"
        "f.work(f.Task(task['first'], min(task['end'], 2), task['seed'], ()))\n"  # to file 2 if it begins before
        "os.abort() if task['first'] < 2 else f.work(f.Task(task['first'], task['end'], task['seed'], ()))"
    )
    start = subprocess.Popen

    def instead(command: list[str], **options: Any) -> Any:
        return start([command[0], "-c", dying, command[-1]], **options)

    monkeypatch.setattr(subprocess, "Popen", instead)
    reports = fuzz(Task(0, 5, SEED, ()))
    refused = "refused when read"
    assert [report.outcome for report in reports] == [refused, refused, "died", refused, refused]
    assert reports[2].said.startswith("SIGABRT")


def test_a_worker_that_falls_silent_is_noticed_and_the_next_file_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    wait, waits = select.select, itertools.count()

    def silence(*arguments: Any) -> Any:
        return ([], [], []) if next(waits) == 1 else wait(*arguments)

    monkeypatch.setattr(select, "select", silence)
    outcomes = [report.outcome for report in fuzz(Task(0, 3, SEED, ()))]
    assert (outcomes[1], len(outcomes)) == ("hang", 3)
    assert not {outcomes[0], outcomes[2]} & set(BAD)
