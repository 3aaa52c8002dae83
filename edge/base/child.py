"""A question asked in a child process: what crashes, hangs or fills the memory there harms nobody here.

In:  a function of a module, its arguments as text, perhaps bytes for the child's stdin, and how long it may take.
Out: what the function returned, plain JSON types; else an `Unanswered` that says in one line how the child ended.

The child imports what this process would, and not what lies in the working folder. It is no sandbox: it has this
user's rights, and only the limits that it gives itself (`confine`).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from edge.base.board import Board
from edge.base.text import one_line

CHILD = (
    "import sys; _, module, name, count, *rest = sys.argv; sys.path[:] = rest[int(count):]; "
    "from edge.base.child import main; main(module, name, rest[:int(count)])"
)
LONGEST_REASON = 200  # characters


class Unanswered(Exception):
    """A child gave no answer; the message is one line. `code` is its exit code, minus the signal that ended it."""

    def __init__(self, reason: str, code: int = 0) -> None:
        super().__init__(reason)
        self.code = code


class TooLate(Unanswered):
    """It took longer than it may."""


class NotStarted(Unanswered):
    """There was no child to ask: no memory, no processes left, an argument that no command line can hold."""


def ask(
    work: Callable[..., Any], *arguments: str, timeout_s: float, given: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> Any:  # fmt: skip
    """What work(*arguments) returns in a child that reads `given`; `work` stands in a module, under its own name.

    `environment` is added to this process's. Raises Unanswered.
    """
    command = [sys.executable, "-c", CHILD, work.__module__, work.__name__, str(len(arguments)), *arguments, *sys.path]
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, timeout=timeout_s, check=False,
            env=os.environ | dict(environment or {}),
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise TooLate(f"no answer within {timeout_s:g} s") from error
    except (OSError, ValueError) as error:
        raise NotStarted(str(error)) from error
    return _answer(done)


def _answer(done: subprocess.CompletedProcess[bytes]) -> Any:
    if done.returncode < 0:
        raise Unanswered(f"it crashes (signal {-done.returncode})", done.returncode)
    out, err = (_lines(stream) for stream in (done.stdout, done.stderr))
    if done.returncode == 0 and out:
        with contextlib.suppress(ValueError):
            return json.loads(out[-1])  # what libraries print comes before
    reason = err[-1] if err else f"no answer, exit code {done.returncode}"
    raise Unanswered(one_line(reason, LONGEST_REASON), done.returncode)


def _lines(stream: bytes) -> list[str]:
    return stream.decode("utf-8", "replace").strip().splitlines()


def main(module: str, name: str, arguments: Sequence[str]) -> None:
    """The child's whole life. What the work did not foresee ends in a traceback, whose last line is told."""
    found = getattr(import_module(module), name)(*arguments)
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what is damaged by now may crash in its destructors, which this process need not run


def confine(cpu_s: int, memory: int) -> None:
    """Limit this process, where the system can: seconds of processor time, bytes beyond those mapped by now."""
    try:
        import resource
    except ImportError:  # no Unix
        return
    limits = [(resource.RLIMIT_CPU, cpu_s), (resource.RLIMIT_CORE, 0)]
    mapped = Board().address_space_bytes()
    if mapped is not None:  # else what is in use is not known, nor limited
        limits.append((resource.RLIMIT_AS, mapped + memory))
    for which, most in limits:
        _, hard = resource.getrlimit(which)
        resource.setrlimit(which, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
