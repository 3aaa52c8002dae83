"""Holding back what libraries write to descriptor 2, and letting go of a stream whose reader has gone."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from typing import NoReturn

import pytest

from edge.base.streams import LAST_BYTES, abandon, heard_stderr, quiet_stderr


def chatter(text: bytes = b"INFO: delegate created\n") -> None:
    os.write(2, text)


def fail_quietly(error: Exception, text: bytes) -> NoReturn:
    with quiet_stderr():
        chatter(text)
        raise error


def test_chatter_is_swallowed_and_stderr_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    sys.stderr.write("before\n")
    with quiet_stderr():
        chatter()
    sys.stderr.write("after\n")
    assert capfd.readouterr().err == "before\nafter\n"


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_a_verdict_on_a_model_keeps_the_chatter_back(kind: type[Exception], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(kind):
        fail_quietly(kind(), b"what the runtime thought\n")
    chatter(b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_an_unforeseen_error_shows_the_end_of_the_chatter(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_quietly(ZeroDivisionError(), b"x" * LAST_BYTES + b"the reason\n")
    shown = capfd.readouterr().err
    assert len(shown) == LAST_BYTES
    assert shown.endswith("the reason\n")


def test_without_room_for_a_temporary_file_the_work_still_runs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full() -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with quiet_stderr():
        chatter(b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_without_stderr_the_work_still_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(number: int) -> NoReturn:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(os, "dup", closed)
    done = False
    with quiet_stderr():
        done = True
    assert done


def test_nothing_stays_open() -> None:
    with quiet_stderr():
        pass
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the folder itself is held open while it is listed
    for _ in range(5):
        with quiet_stderr():
            pass
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_what_is_left_in_an_abandoned_stream_goes_nowhere() -> None:
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w")
    os.close(reader)
    stream.write("nobody reads this")
    abandon(stream)
    stream.close()


def test_a_stream_without_a_descriptor_is_left_alone() -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (None, io.StringIO("kept"), closed):
        abandon(stream)


def test_who_must_be_heard_is_heard_while_others_are_held_back() -> None:
    code = (
        "import os\nfrom edge.base.streams import heard_stderr, quiet_stderr\n"
        "with heard_stderr() as heard, quiet_stderr():\n    os.write(2, b'held back')\n    print('heard', file=heard)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "heard\n"


def test_a_stderr_that_is_no_descriptor_is_heard_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with heard_stderr() as heard:
        assert heard is sys.stderr


def test_nobody_is_heard_where_there_is_no_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with heard_stderr() as heard:
        assert heard is None
