"""The `flora` command: one table of verbs, each a module that is imported only when it is called.

A verb's module has `configure(parser)`, which adds its options, and `run(args) -> int`, which does the work and
returns the exit code. Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from edge.errors import DependencyError, FloraError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


@dataclass(frozen=True)
class Verb:
    """One line of `flora --help`, and the module behind it; the heavy ones are names, so that a device can list them."""

    module: str
    summary: str


VERBS = {
    "demo": Verb("export.verb_demo", "everything, offline, on rendered flowers; a few minutes on two cores"),
    "train": Verb("training.verb_train", "fine-tune a pretrained MobileNet on a folder of class folders"),
    "evaluate": Verb(
        "edge.verbs.evaluate", "accuracy with intervals on held-out photos; two or more models are compared"
    ),
    "predict": Verb("edge.verbs.predict", "name what is on photos"),
    "export": Verb("export.verb_export", "prune, quantise, verify and package a trained run as one .tflite file"),
    "run": Verb("edge.verbs.run", "classify live: camera, video, folder or stream"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code: 0 only on success. What a person caused is one line on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except FloraError as error:
        print(f"flora: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("flora: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more at exit
        return 0
    except OSError as error:
        hint = "; free some space" if error.errno == errno.ENOSPC else ""
        print(f"flora: {error.filename or 'a file'}: {error.strerror or error}{hint}", file=sys.stderr)
        return 1


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in VERBS:
        _overview().parse_args(arguments or ["--help"])
    name = arguments[0]
    verb = _import(VERBS[name].module)
    parser = argparse.ArgumentParser(
        f"flora {name}",
        description=verb.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.configure(parser)
    return int(verb.run(parser.parse_args(arguments[1:])))


def _overview() -> argparse.ArgumentParser:
    from edge import __version__

    rows = "\n".join(f"  flora {name:<10} {verb.summary}" for name, verb in VERBS.items())
    parser = argparse.ArgumentParser(
        "flora",
        usage="flora VERB [options]",
        description=f"A camera on a cheap CPU that recognises flowers, or any folder of classes.\n\n{rows}\n\n"
        "flora VERB --help has the options of each, with an example.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"flora {__version__}")
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help=argparse.SUPPRESS)
    return parser


def _import(module: str) -> object:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing in {"edge", "training", "export"}:
            raise
        raise DependencyError(f"{missing} is not installed; {_remedy(missing)}") from error


def _remedy(missing: str) -> str:
    if missing == "cv2":
        return "take one of: pip install 'flora-edge[headless]' (no screen) or 'flora-edge[window]' (--show)"
    return "this verb needs a workstation: pip install 'flora-edge[headless,train,export]'"


if __name__ == "__main__":
    sys.exit(main())
