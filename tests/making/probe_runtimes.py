"""Measure which operators each TFLite runtime has, and write edge/tflite/runtimes.json.

In:  Pythons of environments that each hold one runtime (tflite-runtime or ai-edge-litert) and NumPy; oldest first.
Out: for every builtin operator the greatest version that the runtime has.

A runtime looks up every operator that a file lists before it looks at anything else, so a file that lists one operator
and holds an empty graph loads exactly when the runtime has that operator.

example: python -m tests.making.probe_runtimes old/bin/python new/bin/python > edge/tflite/runtimes.json
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGES = {"ai_edge_litert": "ai-edge-litert", "tflite_runtime": "tflite-runtime"}
MOST_VERSIONS = 30  # the greatest so far is 13
NO_KERNEL = frozenset({"CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES"})  # codes that are no operators
MISSING = ("find op", "out of range", "no custom_code")  # one of these is in what a runtime says of what it lacks


def listing(code: int, number: int) -> bytes:
    """A model that lists one operator at version `number` and has one graph without content."""
    parts = (
        ("<I4s", 24, b"TFL3"),  # 0: where the model is, and the identifier
        ("<HHHHHHH2x", 14, 20, 4, 8, 12, 0, 16),  # 8: where in the model its fields 0 to 4 are
        ("<iIIII", 16, 3, 12, 44, 80),  # 24: the model, of schema version 3, with its operators, graphs and buffers
        ("<II", 1, 16),  # 44: one operator, at 48 + 16
        ("<HHHHHH", 12, 16, 4, 0, 8, 12),  # 52: where in the operator its fields 0, 2 and 3 are
        ("<ib3xii", 12, min(code, 127), number, code),  # 64: operator; the byte is what the oldest readers know
        ("<II", 1, 16),  # 80: one graph, at 84 + 16
        ("<HHHHHH", 12, 20, 4, 8, 12, 16),  # 88: where in the graph its fields 0 to 3 are
        ("<iIIII", 12, 16, 12, 8, 4),  # 100: graph; its tensors, inputs, outputs and operators are, as the model's
        ("<I", 0),  # 120: buffers, one vector of nothing
    )
    return b"".join(struct.pack(form, *values) for form, *values in parts)


def is_there(runtime: Any, code: int, number: int) -> bool:
    """Whether the runtime has an operator at one version."""
    try:
        runtime.Interpreter(model_content=listing(code, number))
    except (ValueError, RuntimeError) as error:
        if any(words in str(error) for words in MISSING):
            return False
        raise
    return True


def probe(codes: int) -> dict[str, Any]:
    """What the runtime of this environment has: for each code the greatest version, 0 for none."""
    package = next(name for name in PACKAGES if find_spec(name) is not None)
    runtime = import_module(f"{package}.interpreter")
    greatest = [
        max((number for number in range(1, MOST_VERSIONS + 1) if is_there(runtime, code, number)), default=0)
        for code in range(codes)
    ]
    return {"package": PACKAGES[package], "version": version(PACKAGES[package]), "greatest": greatest}


def probe_in(python: str | Path, codes: int) -> dict[str, Any]:
    """The same in another environment, which holds nothing of ours."""
    command = [str(python), __file__, "--here", str(codes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise SystemExit(f"{python}: {done.stderr.strip()[-400:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def table(names: list[str], probed: list[dict[str, Any]]) -> str:
    """edge/tflite/runtimes.json: of each package the first version in full, then what changed; one line for each."""
    rows: list[str] = []
    before: dict[str, dict[str, int]] = {}
    for found in probed:
        has = {name: number for name, number in zip(names, found["greatest"], strict=True) if name not in NO_KERNEL}
        known = before.setdefault(found["package"], dict.fromkeys(has, 0))
        changes = {name: number for name, number in has.items() if number != known[name]}
        rows.append(json.dumps({"package": found["package"], "version": found["version"], "operators": changes}))
        before[found["package"]] = has
    return json.dumps({"names": names})[:-1] + ',\n "runtimes": [\n  ' + ",\n  ".join(rows) + "\n ]}\n"


def operator_names() -> list[str]:
    """Of every builtin operator, in the order of their codes, from the schema of the runtime installed here."""
    schema = import_module("ai_edge_litert.schema_py_generated").BuiltinOperator
    codes = {code: name for name, code in vars(schema).items() if isinstance(code, int)}
    return [codes[code] for code in range(max(codes) + 1)]


def _main(arguments: list[str]) -> int:
    if arguments[:1] == ["--here"]:
        print(json.dumps(probe(int(arguments[1]))))
        return 0
    names = operator_names()
    print(table(names, [probe_in(python, len(names)) for python in arguments]), end="")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
