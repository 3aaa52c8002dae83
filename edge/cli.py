"""The `flora` command: one table of verbs, each a module that is imported only when it is called.

A verb's module has `configure(parser)`, which adds its options, and `run(args) -> int`, which does the work and
returns the exit code. Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from edge.base import packages
from edge.base.streams import abandon
from edge.base.text import escaped
from edge.errors import FloraError, UsageError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
OURS = frozenset({"edge", "training", "export"})


@dataclass(frozen=True)
class Verb:
    """One line of `flora --help`, and the module behind it: a name, so that a device can list the heavy ones too."""

    module: str
    summary: str
    is_for_trouble: bool = False  # it says what is wrong with an installation, so it runs with a wrong one


VERBS = {
    "demo": Verb("export.verbs.demo", "everything, offline, on rendered flowers; a few minutes on two cores"),
    "train": Verb("training.verbs.train", "fine-tune a pretrained MobileNet on a folder of class folders"),
    "evaluate": Verb(
        "edge.verbs.evaluate", "accuracy with intervals on held-out photos; two or more models are compared"
    ),
    "predict": Verb("edge.verbs.predict", "name what is on photos"),
    "export": Verb("export.verbs.export", "prune, quantise, verify and package a trained run as one .tflite file"),
    "inspect": Verb(
        "edge.verbs.inspect", "what is in a model file, and are its answers right here; or: what is wrong with photos"
    ),
    "benchmark": Verb("edge.verbs.benchmark", "how long model files take here, side by side"),
    "run": Verb("edge.verbs.run", "classify live: camera, video, folder or stream"),
    "doctor": Verb(
        "edge.verbs.doctor", "what works on this machine, and the next command to type", is_for_trouble=True
    ),
}


class OneLineParser(argparse.ArgumentParser):
    """argparse, but a wrong option is one line like every other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{' '.join(message.split())}; see: {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code: 0 only on success. What a person caused is one line on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names need not be text, nor terminals know every letter
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _dispatch(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a full disk or a reader that has gone can still be told
    except FloraError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        abandon(sys.stdout)
        return 0
    except OSError as error:
        abandon(sys.stdout)
        return _fail(_os_error(error), 1)
    return code


def _fail(message: str, code: int) -> int:
    print(escaped(f"flora: {message}"), file=sys.stderr)
    return code


def _os_error(error: OSError) -> str:
    hint = "; free some space" if error.errno == errno.ENOSPC else ""
    return f"{error.filename or 'the output'}: {error.strerror or error}{hint}"


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        _overview().print_help(sys.stderr)
        return UsageError.exit_code
    name = arguments[0]
    if name not in VERBS:
        return _outside_verbs(arguments)
    with _missing_packages_told():
        verb: Any = import_module(VERBS[name].module)
    parser = OneLineParser(
        f"flora {name}",
        description=verb.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.configure(parser)
    try:
        given = argparse.Namespace(arguments=arguments[1:], program=_program())
        args = parser.parse_args(arguments[1:], given)
    except SystemExit:  # --help has been printed
        return 0
    if not VERBS[name].is_for_trouble:
        packages.check_opencv()
    with _missing_packages_told():
        return int(verb.run(args))


def _program() -> list[str]:
    """The words by which this command can be called from anywhere."""
    called = Path(sys.argv[0]).resolve()
    return [str(called)] if os.access(called, os.X_OK) else [sys.executable, "-m", "edge.cli"]


def _outside_verbs(arguments: list[str]) -> int:
    """`flora --help`, `flora --version`, or a word that is no verb."""
    try:
        _overview().parse_args(arguments)
    except SystemExit:
        return 0
    raise AssertionError("the overview knows no verb that the table does not have")


def _overview() -> argparse.ArgumentParser:
    from edge import __version__

    rows = "\n".join(f"  flora {name:<10} {verb.summary}" for name, verb in VERBS.items())
    parser = OneLineParser(
        "flora",
        usage="flora VERB [options]",
        description=f"A camera on a cheap CPU that recognises flowers, or any folder of classes.\n\n{rows}\n\n"
        "flora VERB --help has the options of each, with an example.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"flora {__version__}")
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help=argparse.SUPPRESS)
    return parser


@contextlib.contextmanager
def _missing_packages_told() -> Iterator[None]:
    """Turn a package that is missing or broken into one line; a defect of ours stays a defect."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] in OURS:
            raise
        packages.check_opencv()
        raise packages.unusable(error) from error


if __name__ == "__main__":
    sys.exit(main())
