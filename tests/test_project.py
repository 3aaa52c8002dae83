"""The project as a whole: what the wheel holds, who may import whom, and that no large file slips in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path

import pytest

from edge import Classifier
from tests.making.bundle import PACKAGES, copy_tree

ROOT = Path(__file__).resolve().parents[1]
BUNDLED = ROOT / "edge/models/flowers.tflite"
LARGEST_MODEL = 1_000_000  # bytes
LEAST_GOLDEN = 4  # cases
MOST_NAMED_SURELY = 0.05  # of held-out pictures of other things
LEAST_HELD_OUT = 400  # photos
LARGEST_FILE = 1_000_000  # bytes; the bundled model is the largest file there should ever be
DATA_FILES = (
    "training/imagenet_classes.txt",
    "edge/models/*",
    "edge/tflite/runtimes.json",
    "edge/sinks/web/page/*",
    "export/slimming/tables/*.json",
)

IMPORT_ALL_OF_EDGE = """
import importlib, pkgutil, sys
BANNED = {"tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "matplotlib", "training", "export"}
class Banned:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BANNED:
            raise ImportError(f"edge imported {name}")
sys.meta_path.insert(0, Banned())
import edge
names = [module.name for module in pkgutil.walk_packages(edge.__path__, "edge.")]
names = [name for name in names if not name.endswith("__main__")]  # that one runs the command
for name in names:
    try:
        importlib.import_module(name)
    except ImportError as error:
        is_extra = (error.name or "").partition(".")[0] == "aiohttp"  # [web]
        if not is_extra or not name.startswith("edge.sinks.web"):
            raise
print(len(names))
"""

PREPARE_A_PICTURE = """
import importlib.util, numpy
from edge.picture.geometry import model_input
assert model_input(numpy.zeros((48, 64, 3), numpy.uint8), 16).shape == (16, 16, 3)
print([name for name in ("tensorflow", "tf_keras", "matplotlib") if importlib.util.find_spec(name)])
"""


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """Run a command to its end and return what it printed; a failure shows both of its streams."""
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built without a network from a copy of the tree that also holds a package which is not ours."""
    if int(version("setuptools").partition(".")[0]) < 77:
        pytest.skip("setuptools is older than 77; install the tools with: pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("wheel")
    tree = copy_tree(folder / "tree")
    shutil.copytree(ROOT / "tests", tree / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "scratch").mkdir()
    (tree / "scratch" / "__init__.py").touch()
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", *options, tree)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def requirements(metadata: Message, extra: str | None) -> set[str]:
    """Names of the packages that the base install (None) or one extra asks for, in lower case."""
    lines = metadata.get_all("Requires-Dist", [])
    wanted = [line for line in lines if (f'extra == "{extra}"' in line if extra else "extra ==" not in line)]
    return {re.split(r"[\s<>=~!;]", line.lower().replace("_", "-"), maxsplit=1)[0] for line in wanted}


def test_wheel_holds_exactly_the_three_packages_and_their_data(wheel: zipfile.ZipFile) -> None:
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    data = [path for pattern in DATA_FILES for path in ROOT.glob(pattern) if path.is_file()]
    expected = {path.relative_to(ROOT).as_posix() for path in (*sources, *data)}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected


def test_wheel_carries_the_licence_and_the_command(wheel: zipfile.ZipFile) -> None:
    notes = {name.partition(".dist-info/")[2]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "licenses/LICENSE" in notes
    assert "flora = edge.cli:main" in wheel.read(notes["entry_points.txt"]).decode()


def test_base_install_is_numpy_alone(metadata: Message) -> None:
    assert requirements(metadata, None) == {"numpy"}


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("headless", {"ai-edge-litert", "opencv-python-headless"}),
        ("window", {"ai-edge-litert", "opencv-python"}),
        ("legacy", {"tflite-runtime", "numpy", "opencv-python-headless"}),
    ],
)
def test_device_extra_is_one_runtime_and_one_opencv(metadata: Message, extra: str, expected: set[str]) -> None:
    assert requirements(metadata, extra) == expected


@pytest.mark.parametrize("extra", ["train", "export", "gpu"])
def test_workstation_extra_brings_tensorflow_and_no_opencv(metadata: Message, extra: str) -> None:
    names = {re.split(r"\[", name)[0] for name in requirements(metadata, extra)}
    assert "tensorflow" in names
    assert not {name for name in names if "opencv" in name}


def test_version_is_the_same_in_the_wheel_and_the_changelog(metadata: Message) -> None:
    latest = re.search(r"^## \[([0-9][^\]]*)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert latest is not None
    assert metadata["Version"] == latest.group(1)


def test_constraints_name_versions_and_no_index() -> None:
    lines = (ROOT / ".ci/constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.+!]+( ; python_version .+)?", line)] == []


# Who may import whom


def test_import_rules_are_kept() -> None:
    run(Path(sys.executable).with_name("lint-imports"), "--no-cache")


def test_edge_imports_with_tensorflow_unimportable() -> None:
    assert int(run(sys.executable, "-c", IMPORT_ALL_OF_EDGE)) > 1


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param("headless_python", marks=pytest.mark.device),
        pytest.param("window_python", marks=pytest.mark.device),
        pytest.param("legacy_python", marks=pytest.mark.legacy),
    ],
)
def test_installed_wheel_imports_on_a_device_without_a_workstations_packages(
    environment: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    python: Path = request.getfixturevalue(environment)
    assert run(python, "-c", PREPARE_A_PICTURE, cwd=tmp_path) == "[]\n"
    assert int(run(python, "-c", IMPORT_ALL_OF_EDGE, cwd=tmp_path)) > 1


# The tests themselves


SKIPPING = {
    "inside": "def test_it(): pytest.skip('no camera')",
    "mark": "@pytest.mark.skipif(True, reason='no camera')\ndef test_it(): ...",
    "fixture": "def test_it(shared): ...",
    "module": "pytest.importorskip('nonesuch')\ndef test_it(): ...",
}


@pytest.mark.parametrize("workers", [0, 2], ids=["one process", "two workers"])
@pytest.mark.parametrize(
    ("strict", "exit_code", "counts"),
    [("0", 0, {"passed": 1, "skipped": 4}), ("1", 1, {"passed": 1, "failed": 1, "error": 3})],
    ids=["usually", "strict"],
)
def test_a_skip_is_a_failure_only_when_strict(
    strict: str, exit_code: int, counts: dict[str, int], workers: int, tmp_path: Path
) -> None:
    """However it skips; before a test has begun, a failure is called an error."""
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    for how, skipping in SKIPPING.items():
        (tmp_path / f"test_{how}.py").write_text(f"import pytest\n{skipping}\n")
    (tmp_path / "test_other.py").write_text("def test_other(): ...\n")
    options = ("-q", "-n", str(workers), "--continue-on-collection-errors")
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    environment = os.environ | {"FLORA_STRICT": strict, "FLORA_SHARED": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    summary = done.stdout.splitlines()[-1].partition(" in ")[0]
    found = {word.removesuffix("s"): int(number) for number, word in re.findall(r"(\d+) (\w+)", summary)}
    assert (done.returncode, found) == (exit_code, counts), done.stdout


# The tree


def test_no_file_is_large() -> None:
    files = [path for folder in (*PACKAGES, "tests", ".ci") for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [path for pattern in ("*.md", "*.toml", "*.txt") for path in ROOT.glob(pattern)]
    assert [path.relative_to(ROOT).as_posix() for path in files if path.stat().st_size > LARGEST_FILE] == []


# The bundled model


def test_the_bundled_model_is_small_and_proves_itself() -> None:
    classify = Classifier()
    verdicts = classify.verify()
    assert len(verdicts) >= LEAST_GOLDEN
    assert classify.trouble(verdicts) is None
    assert BUNDLED.stat().st_size <= LARGEST_MODEL


def test_the_card_of_the_bundled_model_states_data_licence_attribution_and_accuracy() -> None:
    card = Classifier().card
    assert card is not None
    assert card.labels == ("daisy", "dandelion", "roses", "sunflowers", "tulips", "unknown")
    assert card.unknown is not None
    assert card.unknown.pictures > 0
    assert all(folder.named_surely.value <= MOST_NAMED_SURELY for folder in card.unknown.measured)
    assert "flower_photos" in card.attribution
    assert "Flickr" in card.attribution
    assert "CC BY 2.0" in card.licence
    for measured in (card.accuracy, card.float_accuracy):
        assert measured is not None
        assert measured.photos >= LEAST_HELD_OUT
    assert card.calibration is not None
    assert card.rejection is not None
    assert len(card.manifest_sha256) == 64
