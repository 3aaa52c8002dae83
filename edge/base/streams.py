"""Hold back what C++ libraries write to the terminal behind Python's back."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, TextIO

LAST_BYTES = 4000


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
def _temporary_file() -> Iterator[IO[bytes] | None]:
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


def abandon(stream: TextIO) -> None:
    """Point a stream that can no longer be written to at nothing.

    What is still in its buffer would otherwise raise once more, and for stdout with a traceback, when Python exits.
    """
    with contextlib.suppress(io.UnsupportedOperation, ValueError):  # no descriptor behind it: nothing to redirect
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
