"""The documents: every command in them can be typed as it stands, every path and link leads somewhere.

A command of `flora` is read by the verb's own parser, so that an option which has gone is noticed. What takes seconds
is run as well, in a folder as a reader would have it; all else stands in NEEDS, by what it needs. A command that is in
neither table fails, and so does an entry that no document has any more.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.base.options import read_options
from edge.cli import VERBS, OneLineParser, main
from export.config import ExportConfig
from training.config import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("edge", "training", "export")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / ".github").glob("*.md")]
    + [path for package in (*PACKAGES, "tests") for path in (ROOT / package).rglob("*.md")]
)
MOST_LINES, MOST_COLUMNS = 130, 120  # of the README; of all
LABELS = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
PROGRAMS = ("flora ", "make ", "python ", "python3 ", "bash ", "pip ")

# Run here, one after another in one folder, each in less than a few seconds.
RUN = (
    "flora --help",
    "flora doctor",
    "flora train --help",
    "flora predict .readme/garden.jpg",
    "flora inspect flowers.tflite",
    "flora inspect photos",
    "flora evaluate flowers.tflite photos --others pictures",
    "flora benchmark flowers.tflite",
    "flora run --source 0 --web 0.0.0.0:8080 --print-service",
    "flora run --source trouble --replay",
)
NEEDS = {
    "what .ci/run does": (
        "make demo", "make lint", "make test", "make test-edge", "bash .ci/run", "python -m pytest tests/edge/sinks",
    ),
    "an environment to install into": (
        ". .venv/bin/activate", "python3 -m venv .venv && . .venv/bin/activate", "python3 -m venv .venv",
        "python3 -m venv ~/flora", ". ~/flora/bin/activate", "python3.11 -m venv ~/flora",
        "pip install -c .ci/constraints.txt '.[headless,train,export]'",
        "pip install '.[headless,train,export,gpu]'",
        "pip install '.[headless]'", "pip install -e '.[headless,web]'",
        "pip install '.[headless,web,mqtt]'",
        "~/flora/bin/pip install --no-index --find-links . 'flora-edge[headless]'",
    ),
    "a network": (
        "flora predict --model imagenet .readme/garden.jpg", "make bundle",
        "make bundle PYTHON_VERSION=3.11 ARCH=aarch64",
    ),
    "a camera": (
        "flora run --source 0", "flora run mine.tflite --source 0", "flora run flowers.tflite --source 0 --web 8080",
        "flora run elsewhere.tflite --source 0", "~/flora/bin/flora run --source 0",
        "flora run --source 0 --web 8080 --jsonl answers.jsonl --mqtt mqtt://broker/garden",
        "flora run --source 0 --web 8080 --keep-uncertain kept", "flora run --source 0 --keep-uncertain kept",
        "flora run --source 0 --learn-scene 60s --keep-uncertain kept",
        "flora run --source 0 --record trouble",
    ),
    "a person who names what was kept": ("cp -r kept/labelled/. photos/",),
    "minutes on a machine that does nothing else": (
        "flora benchmark --soak 10m", "flora benchmark --layers", "flora benchmark --layers pi4.json",
    ),
    "a model file of somebody else": ("flora inspect elsewhere.tflite",),
    "minutes to hours of training": (
        "flora train flowers --out runs/first --epochs 0", "flora train flowers --out runs/flowers",
        "flora train flowers --out runs/other --epochs 3 --dropout 0.5 --crop 0.5",
        "flora train path/to/photos --out runs/mine", "flora train photos", "flora train --resume runs/flowers",
        "flora train photos --others pictures", "flora train photos --others public",
        "flora train photos --others none",
        "flora export runs/flowers -o flowers.tflite", "flora export runs/flowers -o flowers.tflite --quick",
        "flora export runs/flowers -o flowers.tflite --preset accurate",
        "flora export runs/flowers -o flowers.tflite --max-drop 2 --max-kb 800 --speed 5",
        "flora export runs/flowers -o flowers.tflite --device-table pi4.json",
        "flora export RUN --device-table pi4.json", "flora export runs/flowers -o seen.tflite --evidence",
        "python -m tests.making.flowers flowers --others public --work runs",
        "make studies PHOTOS=path/to/photos WORK=path/to/keep/runs",
        "python -m tests.studies.frontier runs/seed-1 runs/seed-2 runs/seed-3 --work frontier",
        "python -m tests.studies.frontier runs/seed-1 runs/seed-2 runs/seed-3 --work self --self-epochs 10",
        "python -m tests.studies.sparse 0.5 0.75 0.9",
        "python -m tests.studies.conversion",
    ),
    "what such a training left": (
        "flora evaluate runs/first runs/other", "flora evaluate runs/flowers runs/other",
        "flora evaluate flowers.tflite --run runs/flowers",
        "flora export net.keras --labels labels.txt --photos photos",
        "flora export net.keras --labels labels.txt --photos photos -o mine.tflite",
        "flora predict --model seen.tflite photo.jpg --evidence where.png",
    ),
}  # fmt: skip


# Reading documents


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """(language, content) of every fenced block; "" where the fence names none."""
    for found in re.finditer(r"^ *```(\w*)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        yield found[1], found[2]


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def inline(text: str) -> list[str]:
    """What stands between backticks in running text, in one line each."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(text))]


def typed(block: str) -> Iterator[str]:
    """The commands of a shell block, one a line, without comments."""
    for line in re.sub(r"\\\n", " ", block).splitlines():
        if command := " ".join(re.sub(r"\s+#\s.*$", "", line).split()):
            yield command


def is_command(code: str) -> bool:
    """Whether inline code is a whole command: `flora run` alone is the name of a verb."""
    is_name = code.count(" ") == 1 and code.startswith("flora ") and not code.endswith("--help")
    return code.startswith(PROGRAMS) and not is_name


def commands(document: Path) -> list[str]:
    """Every command of a document, as it is typed."""
    text = document.read_text("utf-8")
    shell = [command for language, block in blocks(text) if language == "sh" for command in typed(block)]
    return [*shell, *filter(is_command, inline(text))]


COMMANDS = {command: path for path in DOCUMENTS for command in commands(path)}  # and a document that has it


def words(command: str) -> list[str]:
    """A command as the shell splits it, its program without a folder."""
    program, *rest = shlex.split(command)
    return [program.rpartition("/")[2], *rest]


def of_program(*names: str) -> list[str]:
    return [command for command in COMMANDS if words(command)[0] in names]


# Commands


def test_every_command_is_run_or_needs_what_a_test_has_not() -> None:
    named = {*RUN, *(command for group in NEEDS.values() for command in group)}
    unknown = {command: str(path.relative_to(ROOT)) for command, path in COMMANDS.items() if command not in named}
    assert unknown == {}, "neither in RUN nor in NEEDS"
    assert named - {*COMMANDS} == set(), "no document has these any more"


def parser_of(verb: str) -> argparse.ArgumentParser:
    """The parser that the command itself would use."""
    module: Any = import_module(VERBS[verb].module)
    parser = OneLineParser(f"flora {verb}", allow_abbrev=False)
    module.configure(parser)
    return parser


def understood(command: str) -> argparse.Namespace | None:
    """What the verb's parser makes of a command; None for --help. Raises UsageError."""
    _, verb, *arguments = words(command)
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return parser_of(verb).parse_args(arguments)
        except SystemExit:
            return None


@pytest.mark.parametrize("command", [each for each in of_program("flora") if each != "flora --help"])
def test_a_flora_command_is_understood(command: str) -> None:
    found, config = understood(command), {"train": TrainConfig, "export": ExportConfig}.get(words(command)[1])
    if found and config:
        read_options(config, found)


def test_examples_in_the_help_are_understood() -> None:
    examples = [line for verb in VERBS.values() for line in (import_module(verb.module).__doc__ or "").splitlines()]
    found = [line.removeprefix("example:").strip() for line in examples if re.match(r"(example:| {8}) flora ", line)]
    assert len(found) >= len(VERBS)
    for command in found:
        understood(command)


def test_verbs_and_options_that_are_mentioned_exist() -> None:
    mentioned = {code for path in DOCUMENTS for code in inline(path.read_text("utf-8"))}
    verbs = {code.split()[1] for code in mentioned if code.startswith("flora ") and not code.startswith("flora --")}
    assert verbs - {*VERBS, "VERB"} == set()
    help_text = "\n".join(parser_of(verb).format_help() for verb in VERBS)
    options = {re.split(r"[ =]", code)[0] for code in mentioned if code.startswith("--")}
    assert {one for one in options if not re.search(rf"(?<![\w-]){one}(?![\w-])", help_text)} == set()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader has it: photos, a model file and a recording."""
    folder = tmp_path_factory.mktemp("reader")
    draws = np.random.default_rng(0)
    places = [f"photos/{label}/{number}" for label in LABELS for number in range(12)] + ["pictures/1", "pictures/2"]
    for place in places:
        path = folder / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), draws.integers(0, 256, (8, 8, 3), np.uint8))
    (folder / ".readme").mkdir()
    shutil.copy(ROOT / ".readme/garden.jpg", folder / ".readme")
    shutil.copy(ROOT / "edge/models/flowers.tflite", folder)
    recording = ["--frames", "3", "--record", str(folder / "trouble")]
    assert main(["run", "--source", "test", *recording]) == 0
    return folder


@pytest.mark.parametrize("command", RUN)
def test_a_command_does_what_the_document_says(
    command: str, reader: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(reader)
    code = main(words(command)[1:])
    captured = capfd.readouterr()
    assert code == 0, captured.err
    assert captured.out


def test_what_make_is_asked_for_is_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for command in of_program("make"):
        _, target, *variables = words(command)
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), command
        assert all(f"$({variable.partition('=')[0]})" in makefile for variable in variables), command


def test_what_continuous_integration_is_said_to_do_it_does() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8").splitlines()
    assert {"make demo", "make lint", "make test"} <= {" ".join(line.split()[:2]) for line in script}


def test_extras_that_are_installed_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    for command in of_program("pip"):
        for extra in re.findall(r"\[([\w,]+)\]", command)[0].split(","):
            assert re.search(rf"^{extra} = \[$", project, re.MULTILINE), command


def test_scripts_that_are_called_exist_and_have_their_options() -> None:
    for command in of_program("python"):
        _, _, module, *rest = words(command)
        if module.startswith("tests."):
            script = (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
            assert [word for word in rest if word.startswith("--") and f'"{word}"' not in script] == [], command


def test_python_in_a_document_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = [block for path in DOCUMENTS for block in blocks(path.read_text("utf-8"))]
    monkeypatch.chdir(ROOT)
    for snippet in [content for language, content in found if language == "python"]:
        exec(compile(snippet, "document", "exec"), {})
    assert "sunflowers" in capsys.readouterr().out


# Form


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_has_short_lines_and_says_what_its_blocks_are(path: Path) -> None:
    text = path.read_text("utf-8")
    assert [(number, len(line)) for number, line in enumerate(text.splitlines(), 1) if len(line) > MOST_COLUMNS] == []
    assert {language for language, _ in blocks(text)} <= {"sh", "python", "text"}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= MOST_LINES


def slugs(document: Path) -> set[str]:
    """The anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(document.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text("utf-8"))):
        if not link.startswith("https://"):
            file, _, anchor = link.partition("#")
            target = path.parent / file if file else path
            assert target.exists(), link
            assert not anchor or anchor in slugs(target), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_that_are_named_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    shell = [command for language, block in blocks(text) if language == "sh" for command in typed(block)]
    named = {word for code in (*inline(text), *shell) for word in re.split(r"[\s'\"=]+", code)}
    ours = re.compile(r"(edge|training|export|tests|\.ci|\.github|\.readme)/[\w./-]+|[\w.]+\.(md|toml)|Makefile")
    assert sorted(word for word in named if ours.fullmatch(word) and not (ROOT / word).exists()) == []


def test_the_map_of_the_readme_has_every_room() -> None:
    rooms = {path.parent.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).glob("*/__init__.py")}
    named = inline((ROOT / "README.md").read_text("utf-8"))
    assert sorted(str(room) for room in rooms if f"{room}/" not in named) == []
