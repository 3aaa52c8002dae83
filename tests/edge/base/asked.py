"""What children are asked in test_child.py, each in a process of its own, which this module starts quickly."""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import Any, NoReturn

from edge.base import child


def told(*arguments: str) -> list[str]:
    return [*arguments, sys.stdin.read(), os.environ.get("FLORA_TOLD", "")]


def noisy() -> None:
    sys.stdout.write("what libraries print")


def failing() -> NoReturn:
    raise RuntimeError("first line\na driver of the \x1b[31mfuture" + "!" * 999)


def leaving(code: str) -> NoReturn:
    sys.exit(int(code))


def crashing(name: str) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), signal.Signals[name])


def waiting() -> None:
    signal.pause()


def unspeakable() -> Any:
    sys.stdout.write("{")
    sys.stdout.flush()
    os._exit(0)


def confined() -> list[Any]:
    child.confine(7, 64 << 20)
    seconds, core, memory = (
        resource.getrlimit(which)[0] for which in (resource.RLIMIT_CPU, resource.RLIMIT_CORE, resource.RLIMIT_AS)
    )
    return [seconds, core, memory != resource.RLIM_INFINITY]
