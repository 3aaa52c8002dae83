"""Which TFLite runtime has which operators: measured facts, in runtimes.json.

In:  the operators that a model file lists, or what a runtime said when it refused one.
Out: the oldest versions that can run the file, or one line that says what to do.

The table is made by tests/making/probe_runtimes.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edge.base.packages import DISTRIBUTION

_TABLE: dict[str, Any] = json.loads(Path(__file__).with_name("runtimes.json").read_text(encoding="utf-8"))
OPERATORS: tuple[str, ...] = tuple(_TABLE["names"])  # of every builtin operator, in the order of their codes
CUSTOM = OPERATORS.index("CUSTOM")

_MISSING = re.compile(r"find op for builtin opcode '(\w+)' version '(\d+)'")
_BEYOND = re.compile(r"Op builtin_code out of range: (\d+)")
_CUSTOM = re.compile(r"unresolved custom op: ([^\s.]+)")
_WAYS_OUT = (
    f"update the runtime: pip install -U '{DISTRIBUTION}[headless]'; or export again as int8 "
    "(not dynamic_range or float16), which older runtimes can run"
)


@dataclass(frozen=True)
class Operator:
    """One kind of operator, at one version."""

    name: str  # as in the schema, as "CONV_2D"; of a custom operator, what the file calls it
    version: int
    count: int = 1  # 0: listed in the file but not used; a runtime asks for it all the same
    is_custom: bool = False  # it comes from elsewhere, so no runtime has it by itself


@dataclass(frozen=True)
class Runtime:
    """One release, and of every operator that it has the greatest version; it has those below as well."""

    package: str
    version: str
    greatest: dict[str, int]

    def has(self, operator: Operator) -> bool:
        return not operator.is_custom and operator.version <= self.greatest.get(operator.name, 0)


@cache
def runtimes() -> tuple[Runtime, ...]:
    """Every release that was probed, of each package the oldest first."""
    found: list[Runtime] = []
    latest: dict[str, dict[str, int]] = {}
    for row in _TABLE["runtimes"]:
        latest[row["package"]] = latest.get(row["package"], {}) | row["operators"]
        found.append(Runtime(row["package"], row["version"], latest[row["package"]]))
    return tuple(found)


def least_runtimes(operators: Iterable[Operator]) -> dict[str, str]:
    """Package -> the oldest probed version that has all the operators; a package that has none is left out."""
    needed = tuple(operators)
    able = [runtime for runtime in runtimes() if all(map(runtime.has, needed))]
    return {runtime.package: runtime.version for runtime in reversed(able)}


def explain(error_text: str, runtime: str, version: str) -> str | None:
    """One line for a runtime's complaint about an operator: what it has, which one is needed, and the two ways out.

    `runtime` and `version` are those in use, as "tflite-runtime" and "2.14.0". None: the complaint is about another
    matter.
    """
    if custom := _CUSTOM.search(error_text):
        return (
            f"it needs the custom operator {custom[1]:.60}, which neither {runtime} {version} nor any other runtime "
            "has by itself; expected builtin operators; use a model without custom ones"
        )
    operator = _complained_of(error_text)
    if operator is None:
        return None
    return (
        f"it needs the operator {operator.name} version {operator.version}; {runtime} {version} "
        f"{_greatest(runtime, version, operator.name)}; expected {_able(operator)}; {_WAYS_OUT}"
    )


def _complained_of(error_text: str) -> Operator | None:
    if missing := _MISSING.search(error_text):
        return Operator(missing[1], int(missing[2][:9]))
    if beyond := _BEYOND.search(error_text):
        code = int(beyond[1][:9])
        return Operator(OPERATORS[code], 1) if code < len(OPERATORS) else Operator(f"number {code}", 1)
    return None


def _able(operator: Operator) -> str:
    least = sorted(least_runtimes([operator]).items())
    releases = " or ".join(f"{package} {oldest}" for package, oldest in least)
    return f"{releases} or newer" if least else "a newer one than any known to this Flora"


def _greatest(package: str, version: str, name: str) -> str:
    """What one release has of an operator, as far as it was probed."""
    for runtime in runtimes():
        if (runtime.package, runtime.version) == (package, version):
            greatest = runtime.greatest.get(name, 0)
            return f"has it up to version {greatest}" if greatest else "does not have it"
    return "does not have it at that version"
