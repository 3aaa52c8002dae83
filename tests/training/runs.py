"""Calling the command in this process, and what a finished run is to the tests that share it."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.cli import main

PER_CLASS = 8  # of 5 species: 30 photos to train on, 5 to validate, 5 to test
TINY = (
    "--backbone", "mobilenet", "--alpha", "0.25", "--size", "32", "--batch", "8", "--min-photos", "4",
    "--epochs", "3", "--head-epochs", "3", "--others", "none",
)  # fmt: skip
MIXED = 11  # photos in the folder of the fixture `root`
Names = tuple[list[str], list[str]]  # paths and hashes


@dataclass(frozen=True)
class Called:
    """What one call of the command did."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that says what went wrong; fails unless stderr ends with it, and for a second or a traceback."""
        *before, last = self.err.rstrip("\n").split("\n")
        assert self.code != 0, self.err
        assert last.startswith("flora: "), self.err
        assert not any("Traceback" in line or line.startswith("flora: ") for line in before), self.err
        return last

    @property
    def only_line(self) -> str:
        """The same, where stderr must hold nothing else."""
        assert self.err.count("\n") == 1, self.err
        return self.complaint


@dataclass(frozen=True)
class Finished:
    """A finished run, trained from scratch, and what its making printed. Read it only: tests share it."""

    folder: Path
    called: Called


def call(*arguments: object) -> Called:
    """Run the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Called(code, out.getvalue(), err.getvalue())


def weights_of(run: Path) -> list[Any]:
    """The tensors of a run's network."""
    from training.network.inference import load_model

    return list(load_model(run).get_weights())
