"""A question asked in a child process is answered, or says in one line why not."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.base import child
from edge.base.child import NotStarted, TooLate, Unanswered, ask
from tests.edge.base import asked


def question(work: Any, *arguments: str, timeout_s: float = 60, **more: Any) -> Any:
    return ask(work, *arguments, timeout_s=timeout_s, **more)


def test_the_answer_is_what_the_function_returns() -> None:
    found = question(asked.told, "a", "\udce9", "", given=b"given", environment={"FLORA_TOLD": "here"})
    assert found == ["a", "\udce9", "", "given", "here"]


def test_what_libraries_print_is_no_answer() -> None:
    assert question(asked.noisy) is None


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_crash_is_told_with_its_signal(name: str) -> None:
    number = signal.Signals[name].value
    with pytest.raises(Unanswered, match=rf"^it crashes \(signal {number}\)$") as caught:
        question(asked.crashing, name)
    assert caught.value.code == -number


def test_what_nobody_foresaw_is_its_last_line() -> None:
    with pytest.raises(Unanswered) as caught:
        question(asked.failing)
    assert str(caught.value).startswith(r"a driver of the ?[31mfuture!!!")
    assert len(str(caught.value)) == child.LONGEST_REASON
    assert caught.value.code == 1


@pytest.mark.parametrize(
    ("work", "arguments", "code"), [(asked.leaving, ["3"], 3), (asked.leaving, ["0"], 0), (asked.unspeakable, [], 0)],
    ids=["exit code", "no answer", "no JSON"],
)  # fmt: skip
def test_an_end_without_a_word_is_told_with_its_exit_code(work: Any, arguments: list[str], code: int) -> None:
    with pytest.raises(Unanswered, match=f"^no answer, exit code {code}$"):
        question(work, *arguments)


def test_a_child_that_hangs_is_given_up() -> None:
    with pytest.raises(TooLate, match=r"^no answer within 0\.05 s$"):
        question(asked.waiting, timeout_s=0.05)


def test_a_child_that_cannot_be_started_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotStarted, match="null byte"):
        question(asked.told, "\0")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nonesuch"))
    with pytest.raises(NotStarted, match="No such file"):
        question(asked.noisy)


def test_the_child_takes_nothing_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "subprocess"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('taken from the working folder')\n")
    monkeypatch.chdir(tmp_path)
    assert question(asked.noisy) is None


def test_every_limit_is_set() -> None:
    assert question(asked.confined) == [7, 0, True]
