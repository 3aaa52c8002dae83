"""The plan of the house: rooms that a person can take in, each with a list of its files, and no way in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("edge", "training", "export")
MOST_MODULES = 16  # in one room, __init__ not counted
LONGEST_FUNCTION = 40  # lines, decorators not counted
# The only places that name a module above them, as text: it is imported when a person asks for it.
NAME_WHAT_IS_ABOVE = {"edge.cli", "edge.verbs.opening", "edge.verbs.inspect"}

PATHS = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]
SOURCES = {path: ast.parse(path.read_text("utf-8")) for path in PATHS}
ROOMS = sorted({path.parent for path in SOURCES})


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): tree for path, tree in SOURCES.items()}


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> Iterator[str]:
    """Modules of ours that are imported, anywhere in a file, the function bodies included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{name.name}" for name in node.names} & MODULES.keys()
            yield from inner or {node.module} & MODULES.keys()
        elif isinstance(node, ast.Import):
            yield from {name.name for name in node.names} & MODULES.keys()


def named(tree: ast.AST) -> Iterator[str]:
    """Modules of ours that stand in a file as text, as for importlib."""
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    yield from {text for text in texts if "." in text} & MODULES.keys()


def circle(arrows: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_file_imports_itself_by_way_of_others() -> None:
    assert circle({name: set(imports(tree)) - {name} for name, tree in MODULES.items()}) == []


def test_text_that_names_a_module_makes_no_circle_either() -> None:
    arrows = {name: set(imports(tree)) for name, tree in MODULES.items()}
    for name in MODULES.keys() - NAME_WHAT_IS_ABOVE:
        arrows[name] |= set(named(MODULES[name]))
    assert circle({name: found - {name} for name, found in arrows.items()}) == []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []


@pytest.mark.parametrize("room", ROOMS, ids=shown)
def test_a_room_holds_no_more_than_a_person_takes_in(room: Path) -> None:
    assert len([path for path in room.glob("*.py") if path.name != "__init__.py"]) <= MOST_MODULES


@pytest.mark.parametrize("room", [room for room in ROOMS if room != ROOT / "edge"], ids=shown)
def test_a_room_lists_its_files_and_says_how_to_add_one(room: Path) -> None:
    tree = SOURCES[room / "__init__.py"]
    assert [type(node) for node in tree.body] == [ast.Expr]  # a docstring and nothing else
    purpose, _, rest = (ast.get_docstring(tree) or "").partition("\n\n")
    listing, _, last = rest.partition("\n\n")
    files = {path.stem for path in room.glob("*.py")} - {"__init__"}
    rooms = {path.name for path in room.iterdir() if (path / "__init__.py").exists()}
    data = {path.name + "/" for path in room.iterdir() if path.is_dir() and path.name not in rooms | {"__pycache__"}}
    assert "\n" not in purpose
    assert {line.split()[0] for line in listing.splitlines() if not line.startswith(" ")} == files | rooms | data
    assert last


def test_no_function_is_longer_than_a_page() -> None:
    functions = [
        (path, node)
        for path, tree in SOURCES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lines = {f"{shown(path)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1 for path, node in functions}
    assert {name: count for name, count in lines.items() if count > LONGEST_FUNCTION} == {}
