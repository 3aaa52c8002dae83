"""How much memory a fresh process needs to answer with a flatbuffer that has no card yet.

In:  a flatbuffer that this process has made itself.
Out: greatest resident memory in MB (1 MB = 1e6 bytes) of a child with one thread; None where the system does not tell.

The child imports what a device imports, and nothing of TensorFlow.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from edge.base.board import Board
from edge.base.files import write_atomically
from edge.errors import ModelError
from edge.machine.starts import LONGEST_START_S
from edge.machine.timing import noise
from edge.model.interpreter import Interpreter

CHILD = "import sys; sys.path[:] = sys.argv[2:]; from export.footprint import main; main()"


def peak_mb(flatbuffer: bytes, name: str) -> float | None:
    """Ask a child process for one answer; `name` is for the message. Raises ModelError when it gives none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        write_atomically(path, flatbuffer)
        said = _said_by_child(path, name)
    return float(said) if said else None


def _said_by_child(path: Path, name: str) -> str:
    command = [sys.executable, "-c", CHILD, str(path), *sys.path]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_START_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{name}: no answer within {LONGEST_START_S:.0f} s in a fresh process; try again") from error
    if child.returncode != 0:
        last = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        raise ModelError(f"{name}: gives no answer in a fresh process ({last:.200}); see what is wrong: flora doctor")
    return child.stdout


def main() -> None:
    """The child's whole life."""
    interpreter = Interpreter(Path(sys.argv[1]).read_bytes(), "the model", threads=1)
    interpreter(noise((interpreter.size, interpreter.size)))
    sys.stdout.write(str(Board().peak_memory_mb() or ""))
