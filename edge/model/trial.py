"""Try a model file from elsewhere out in a short-lived child process before this process loads it.

In:  the flatbuffer's bytes.
Out: nothing, or a ModelError that says what happened: it crashed the runtime, took too long, wanted too much memory.

The runtime trusts what it loads: numbers out of bounds make it read and write where it should not. So a file that no
card vouches for is checked for offsets that lead out of it, then loaded and invoked twice in a child that may use
little memory and time and whose end harms nobody.
This catches damage and clumsy malice. It is no sandbox: the child has this user's rights.

A good verdict is remembered by the file's sha256, the runtime and the machine; a bad one is not, for it may have been
the moment's fault.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import platform
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.base import child
from edge.base.files import default_cache, write_atomically
from edge.base.text import first_line, one_line
from edge.errors import ModelError, OutputError
from edge.model.interpreter import ELSEWHERE, default_threads, loaded, runtime_version
from edge.tflite.flatbuffer import Damaged
from edge.tflite.soundness import require_sound

GOOD = "good"
FOLDER = "vetted"  # in the cache
ROUND = 1  # goes up when the trial changes, so that old verdicts do not count
TIMEOUT_S = 30.0
MEMORY = 1 << 30  # bytes; a MobileNet takes about a tenth
MEMORY_PER_BYTE = 8  # of the file: weights are unpacked and repacked
LARGEST_INPUT = 1 << 28  # bytes of one input tensor
LONGEST_VERDICT = 500  # characters
# One thread of BLAS needs less address space; memory that is freed is overwritten, so that its use shows.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_PERTURB_": "165"}


@dataclass(frozen=True)
class Limits:
    """What one trial may take."""

    timeout_s: float = TIMEOUT_S  # from start to end
    memory: int = MEMORY  # bytes of address space beyond those of the runtime itself


def try_out(flatbuffer: bytes, name: str, *, cache: Path | None = None, limits: Limits | None = None) -> None:
    """Try a flatbuffer out, unless it passed before; `cache` is the default one if not given.

    Raises ModelError with what happened, DependencyError when there is no runtime.
    """
    verdict = _place(flatbuffer, cache)
    if verdict is not None and _is_remembered(verdict):
        return
    try:
        require_sound(flatbuffer)
    except Damaged as error:
        raise ModelError(f"{name}: its flatbuffer is damaged ({error}); {ELSEWHERE}") from error
    limits = limits or Limits(memory=MEMORY + MEMORY_PER_BYTE * len(flatbuffer))
    said = _said_by_child(flatbuffer, name, limits)
    if said != GOOD:
        raise ModelError(said)
    if verdict is not None:
        with contextlib.suppress(OutputError):  # a cache that cannot be written means it is tried again
            write_atomically(verdict, GOOD.encode())


def _place(flatbuffer: bytes, cache: Path | None) -> Path | None:
    """The file that a good verdict is kept in; None without a cache."""
    sha256 = hashlib.sha256(flatbuffer).hexdigest()
    runtime = runtime_version().replace(" ", "-")
    try:
        return (cache or default_cache()) / FOLDER / f"{sha256}-{runtime}-{platform.machine()}-{ROUND}"
    except OutputError:
        return None


def _is_remembered(verdict: Path) -> bool:
    try:
        return verdict.read_bytes() == GOOD.encode()
    except OSError:
        return False


def _said_by_child(flatbuffer: bytes, name: str, limits: Limits) -> str:
    """GOOD, or the message of an error."""
    how = [name, str(math.ceil(limits.timeout_s)), str(limits.memory)]
    try:
        said = child.ask(_verdict, *how, timeout_s=limits.timeout_s, given=flatbuffer, environment=ENVIRONMENT)
    except child.NotStarted as error:
        return f"{name}: it cannot be tried out, as files without a card must be ({error}); free some memory, try again"
    except child.TooLate as error:
        return f"{name}: {error} in a trial run; {ELSEWHERE}"
    except child.Unanswered as error:
        return f"{name}: {_ending(error.code)}; {ELSEWHERE}"
    return one_line(str(said), LONGEST_VERDICT)


def _ending(code: int) -> str:
    """How a trial run ended that gave no verdict: `code` is the child's exit code, minus the signal."""
    ending = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    if ending == "SIGXCPU":
        return "it took too much time in a trial run"
    if code < 0:
        memory = ", or memory ran out" if ending in ("SIGKILL", "SIGABRT") else ""
        return f"it crashed the runtime in a trial run ({ending}{memory})"
    return f"a trial run of it failed (exit code {code})"


def _verdict(name: str, seconds: str, memory: str) -> str:
    """In the child: GOOD, or the message of an error."""
    flatbuffer = sys.stdin.buffer.read()
    runtime_version()  # loads the runtime, which is not to be counted
    threads = default_threads()
    child.confine(int(seconds) * threads, int(memory))
    try:
        _invoke_twice(flatbuffer, name, threads)
    except ModelError as error:
        return str(error)
    except MemoryError:
        return f"{name}: it needs more than {int(memory) >> 20} MiB of memory; {ELSEWHERE}"
    return GOOD


def _invoke_twice(flatbuffer: bytes, name: str, threads: int) -> None:
    """Load it, and invoke it on a grey picture and on noise. Raises ModelError when the runtime refuses."""
    interpreter = loaded(flatbuffer, name, threads)
    draws = np.random.default_rng(0)
    try:
        for noise in (None, draws):
            for details in interpreter.get_input_details():
                interpreter.set_tensor(details["index"], _pixels(name, details, noise))
            interpreter.invoke()
            for details in interpreter.get_output_details():
                interpreter.get_tensor(details["index"])
    except (ValueError, RuntimeError, TypeError) as error:
        raise ModelError(f"{name}: it loads, but gives no answer ({first_line(error)}); {ELSEWHERE}") from error


def _pixels(name: str, details: dict[str, Any], draws: np.random.Generator | None) -> Any:
    shape, dtype = [int(side) for side in details["shape"]], np.dtype(details["dtype"])
    if math.prod(shape) * dtype.itemsize > LARGEST_INPUT:
        raise ModelError(f"{name}: its input is {shape}; expected one picture [1, N, N, 3]; {ELSEWHERE}")
    if draws is None:
        return np.full(shape, 128 if dtype.kind == "u" else 0, dtype)
    if dtype.kind == "f":
        return draws.uniform(-1.0, 1.0, shape).astype(dtype)
    return draws.integers(0, 256, shape, np.uint8).astype(dtype)
