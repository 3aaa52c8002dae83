"""Tests have the rooms of what they test: tests/<package>/<room>/test_<file>.py is about <package>/<room>/<file>.py."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("edge", "training", "export", "tests/drills", "tests/making", "tests/studies")
# Those that are about no single file, and what they are about.
OF_SEVERAL = {
    "tests/edge/sinks/mqtt/test_broker.py": "the whole room, against a broker",
    "tests/edge/sources/test_drill_streams.py": "stream, watchdog and grabber, against servers that misbehave",
    "tests/export/variants/test_gate.py": "a quantisation gone wrong is refused, whichever room notices it",
    "tests/training/fitting/test_resume.py": "fit, phase, cache and checkpoint: a training that is killed and goes on",
}


def test_every_file_of_tests_is_named_after_what_it_tests() -> None:
    orphans = [test for test, source in mirrored() if not is_source(source)]
    assert sorted(orphans) == sorted(OF_SEVERAL)


def mirrored() -> list[tuple[str, Path]]:
    """The path of each file of tests, and of the module that it should be about."""
    found = []
    for room in ROOMS:
        below = ROOT / (room if room.startswith("tests/") else f"tests/{room}")
        source = ROOT / room
        for test in sorted(below.rglob("test_*.py")):
            named = source / test.relative_to(below).parent / test.name.removeprefix("test_")
            found.append((test.relative_to(ROOT).as_posix(), named))
    return found


def is_source(path: Path) -> bool:
    """A module, or a folder of what is no Python, such as the page."""
    return path.is_file() or path.with_suffix("").is_dir()
