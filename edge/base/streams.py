"""The process's own streams: what C++ libraries write to stderr behind Python's back, and a reader that has gone."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO, TextIO

LAST_BYTES = 4000
USUAL_COLUMNS = 80


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Inside, the process's stderr goes to a temporary file; its end is shown only if an unforeseen error comes out.

    ValueError and RuntimeError are foreseen: they are the runtime's verdict on a model, and their message says it all.
    For one-off work at start-up: the redirection holds for every thread.
    """
    with _temporary_file() as held, _duplicate_of_stderr() as saved:
        if held is None or saved is None:  # no room for a file, or no stderr to protect: it may speak
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        except (ValueError, RuntimeError):
            raise
        except BaseException:
            held.seek(0)
            os.write(saved, held.read()[-LAST_BYTES:])
            raise
        finally:
            os.dup2(saved, 2)


@contextlib.contextmanager
def heard_stderr() -> Iterator[TextIO | None]:
    """The stream that is stderr now, still heard where `quiet_stderr` holds back what the process writes there."""
    stream = sys.stderr
    with _duplicate_of_stderr() as saved:
        if stream is None or saved is None or not _is_descriptor_2(stream):
            yield stream
            return
        with os.fdopen(saved, "w", encoding=stream.encoding, errors=stream.errors, closefd=False) as heard:
            yield heard


def _is_descriptor_2(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, ValueError):  # no file behind it, or closed
        return False


@contextlib.contextmanager
def _temporary_file() -> Iterator[IO[bytes] | None]:
    import tempfile  # takes 10 ms, which only those who open a model need

    with contextlib.ExitStack() as undo:
        try:
            file = undo.enter_context(tempfile.TemporaryFile())
        except OSError:
            yield None
            return
        yield file


@contextlib.contextmanager
def _duplicate_of_stderr() -> Iterator[int | None]:
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        saved = os.dup(2)
    except (OSError, ValueError):
        yield None
        return
    try:
        yield saved
    finally:
        os.close(saved)


def columns_of(stream: TextIO) -> int:
    """How wide the terminal behind a stream is; USUAL_COLUMNS where there is none that says so."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or USUAL_COLUMNS
    except (OSError, ValueError):  # no file behind it, or closed
        return USUAL_COLUMNS


def abandon(stream: TextIO | None) -> None:
    """Point a stream that can no longer be written to at nothing; None is Python's word for a stream that is closed.

    What is still in its buffer would otherwise raise once more, and for stdout with a traceback, when Python exits.
    """
    if stream is None:
        return
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # no descriptor behind it: nothing to redirect
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, number)
    finally:
        os.close(nowhere)
