"""Files from elsewhere are tried out in a child process: what may happen to it, and what is remembered."""

from __future__ import annotations

import io
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.base import child
from edge.base.child import Unanswered
from edge.errors import ModelError, OutputError
from edge.model import trial
from edge.model.trial import Limits, try_out
from tests.edge.fakes import one_line
from tests.edge.model import strangers, tiny

GENEROUS = Limits(timeout_s=60)
CALLED = "a child was started"


def remembered(cache: Path) -> list[Path]:
    return sorted((cache / trial.FOLDER).glob("*")) if cache.exists() else []


def refusal(content: bytes, cache: Path, limits: Limits = GENEROUS) -> str:
    """The message of a refusal, which must not be remembered."""
    with pytest.raises(ModelError) as caught:
        try_out(content, "m.tflite", cache=cache, limits=limits)
    assert remembered(cache) == []
    message = one_line(caught)
    assert message.startswith("m.tflite: ")
    return message.removeprefix("m.tflite: ")


def says(patch: pytest.MonkeyPatch, answer: Any) -> None:
    """The child answers, or ends, like this."""

    def ask(*arguments: object, **options: object) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    patch.setattr(child, "ask", ask)


@pytest.fixture
def no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting a child is a failure."""

    def run(*arguments: object, **options: object) -> None:
        raise AssertionError(CALLED)

    monkeypatch.setattr(child, "ask", run)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(tiny.flatbuffer(), id="uint8"),
        pytest.param(strangers.signed(), id="int8"),
        pytest.param(tiny.flatbuffer(dtype="FLOAT32", output="FLOAT32"), id="float32"),
    ],
)
def test_a_sound_file_passes_and_is_not_tried_again(
    content: bytes, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    try_out(content, "m.tflite", cache=tmp_path / "cache", limits=GENEROUS)
    assert len(remembered(tmp_path / "cache")) == 1
    request.getfixturevalue("no_child")
    try_out(content, "other name.tflite", cache=tmp_path / "cache")


@pytest.mark.usefixtures("no_child")
@pytest.mark.parametrize("kept", [b"", b"goo", b"bad"], ids=["empty", "cut", "bad"])
def test_only_a_whole_and_good_verdict_counts(kept: bytes, tmp_path: Path) -> None:
    place = trial._place(tiny.flatbuffer(), tmp_path)
    assert place is not None
    place.parent.mkdir()
    place.write_bytes(kept)
    with pytest.raises(AssertionError, match=CALLED):
        try_out(tiny.flatbuffer(), "m.tflite", cache=tmp_path)


@pytest.mark.parametrize(
    ("what", "other"),
    [("runtime_version", "ai-edge-litert 0.0.1"), ("platform.machine", "pdp11")],
    ids=["runtime", "machine"],
)
def test_a_verdict_of_elsewhere_does_not_count(
    what: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    says(monkeypatch, trial.GOOD)
    try_out(tiny.flatbuffer(), "m.tflite", cache=tmp_path)
    request.getfixturevalue("no_child")
    try_out(tiny.flatbuffer(), "m.tflite", cache=tmp_path)
    monkeypatch.setattr(f"edge.model.trial.{what}", lambda: other)
    with pytest.raises(AssertionError, match=CALLED):
        try_out(tiny.flatbuffer(), "m.tflite", cache=tmp_path)


def test_a_cache_that_cannot_be_written_only_means_another_trial(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    says(monkeypatch, trial.GOOD)
    try_out(tiny.flatbuffer(), "m.tflite", cache=tmp_path / "file")
    request.getfixturevalue("no_child")
    with pytest.raises(AssertionError, match=CALLED):
        try_out(tiny.flatbuffer(), "m.tflite", cache=tmp_path / "file")


def test_no_home_for_the_cache_only_means_another_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise OutputError("there is no home folder")

    monkeypatch.setattr(trial, "default_cache", no_home)
    says(monkeypatch, trial.GOOD)
    try_out(tiny.flatbuffer(), "m.tflite")


def test_a_file_that_the_runtime_refuses_is_refused_in_its_words(tmp_path: Path) -> None:
    def forget_the_axes(model: Any, schema: Any) -> None:
        model.subgraphs[0].operators[0].inputs = [0]

    assert "refuses it (" in refusal(strangers.edited(tiny.flatbuffer(), forget_the_axes), tmp_path)


def test_a_tensor_with_a_name_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    content = tiny.flatbuffer().replace(b"pixels", b"pi\xffels")
    assert "'utf-8' codec can't decode" in refusal(content, tmp_path)


@pytest.mark.usefixtures("no_child")
def test_a_file_whose_offsets_lead_out_of_it_is_not_even_tried(tmp_path: Path) -> None:
    content = tiny.flatbuffer()
    assert refusal(content[: len(content) // 2], tmp_path).startswith("its flatbuffer is damaged (")


@pytest.mark.parametrize("death", ["SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGKILL"])
def test_a_file_that_crashes_the_runtime_harms_nobody(
    death: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, Unanswered("it crashes", -signal.Signals[death]))
    memory = ", or memory ran out" if death in {"SIGABRT", "SIGKILL"} else ""
    assert refusal(tiny.flatbuffer(), tmp_path).startswith(
        f"it crashed the runtime in a trial run ({death}{memory}); get it again"
    )


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    assert refusal(tiny.flatbuffer(), tmp_path, Limits(timeout_s=0.01)).startswith(
        "no answer within 0.01 s in a trial run; "
    )


def test_a_file_that_uses_up_its_processor_time_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, Unanswered("it crashes", -signal.SIGXCPU))
    assert refusal(tiny.flatbuffer(), tmp_path).startswith("it took too much time in a trial run; ")


def test_a_file_that_wants_too_much_memory_is_refused(tmp_path: Path) -> None:
    message = refusal(tiny.flatbuffer((1, 6000, 6000, 3)), tmp_path, Limits(60, memory=64 << 20))
    assert any(words in message for words in ("refuses it", "memory", "crashed"))


def test_a_child_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, Unanswered("ValueError: a defect", 1))
    assert refusal(tiny.flatbuffer(), tmp_path).startswith("a trial run of it failed (exit code 1); ")


def test_a_child_that_cannot_be_started_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nonesuch"))
    assert refusal(tiny.flatbuffer(), tmp_path).startswith("it cannot be tried out, as files without a card must be (")


def test_what_a_child_says_is_shown_in_one_plain_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, "m.tflite: first\n\x1b[31mred" + "!" * 999)
    assert refusal(tiny.flatbuffer(), tmp_path).startswith("first ?[31mred!!!")
    assert len(refusal(tiny.flatbuffer(), tmp_path)) <= trial.LONGEST_VERDICT


@pytest.mark.parametrize("is_noise", [False, True], ids=["grey", "noise"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float32])
def test_both_pictures_are_of_the_models_type(dtype: type[Any], is_noise: bool) -> None:
    details = {"shape": np.array([1, 8, 8, 3]), "dtype": dtype}
    pixels = trial._pixels("m", details, np.random.default_rng(0) if is_noise else None)
    assert (pixels.shape, pixels.dtype) == ((1, 8, 8, 3), np.dtype(dtype))
    assert (len(np.unique(pixels)) > 1) == is_noise


def test_a_trial_is_confined_by_time_for_each_thread_and_by_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(child, "confine", lambda *limits: asked.append(limits))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(tiny.flatbuffer())))
    monkeypatch.setattr(trial, "default_threads", lambda: 2)
    assert trial._verdict("m.tflite", "7", str(64 << 20)) == trial.GOOD
    assert asked == [(14, 64 << 20)]
