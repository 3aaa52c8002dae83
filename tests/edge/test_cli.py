"""The command: one table of verbs, exit codes, one line for each mistake, and help that needs no TensorFlow."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

import edge
from edge import cli
from edge.base import packages
from edge.cli import VERBS, main
from edge.errors import DependencyError, FloraError, PhotoError, UsageError
from tests.edge.conftest import Flora

MEASURING_LINES = 5  # of the progress bar: the start and each quarter
ROOT = Path(__file__).resolve().parents[2]

WITHOUT_TENSORFLOW = """
import os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"
for name in ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "matplotlib"):
    sys.modules[name] = None  # to import it raises ModuleNotFoundError
from edge.cli import main
"""
WITHOUT_OPENCV = """
import sys
sys.modules["cv2"] = sys.modules["ai_edge_litert"] = sys.modules["tflite_runtime"] = None
import edge
assert edge.__version__
from edge.cli import main
"""
HELP_OF_ALL = "from edge.cli import VERBS\nsys.exit(any([main([verb, '--help']) for verb in VERBS]))"


def python(code: str, *arguments: str | Path, program: Path | str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run code in a new Python; ours finds the tree, another one what is installed in it."""
    environment = os.environ | ({"PYTHONPATH": str(ROOT)} if program == sys.executable else {})
    command: list[str | Path] = [program, "-c", code, *arguments]
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)


def verb_that(work: Callable[[Any], Any]) -> SimpleNamespace:
    """A verb module that takes no options."""
    return SimpleNamespace(__doc__="Do it.", configure=lambda parser: None, run=work)


@pytest.fixture
def as_run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Any]], None]:
    """Put a function in the place of `flora run`."""

    def replace(work: Callable[[Any], Any]) -> None:
        monkeypatch.setattr(cli, "import_module", lambda name: verb_that(work))

    return replace


def raising(error: BaseException) -> Callable[[Any], Any]:
    def work(args: Any) -> Any:
        raise error

    return work


# Imports


def test_the_command_starts_without_opencv_numpy_or_a_runtime() -> None:
    code = "import sys, edge.cli; sys.exit(' '.join(sorted({'cv2', 'numpy', 'ai_edge_litert'} & {*sys.modules})))"
    assert python(code).stderr.strip() == ""


def test_the_face_of_the_library_is_three_names_that_are_imported_when_asked_for() -> None:
    code = """
import sys, edge
assert "numpy" not in sys.modules
from edge import Classifier, FloraError, Result
print(Classifier.__module__, FloraError.__module__, Result.__module__)
"""
    assert python(code).stdout.split() == ["edge.model.classifier", "edge.errors", "edge.contract.result"]


# Help


def test_no_verb_shows_the_overview_and_is_no_success(flora: Flora) -> None:
    found = flora()
    assert found.code == 2
    assert found.out == ""
    for verb in VERBS:
        assert f"flora {verb}" in found.err


def test_help_is_the_overview_on_stdout(flora: Flora) -> None:
    found = flora("--help")
    assert (found.code, found.err) == (0, "")
    assert [line.split()[1] for line in found.out.splitlines() if line.startswith("  flora ")] == list(VERBS)


def test_version_is_that_of_the_installed_package(flora: Flora) -> None:
    found = flora("--version")
    assert (found.code, found.out) == (0, f"flora {version('flora-edge')}\n")
    assert edge.__version__ == version("flora-edge")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, flora: Flora) -> None:
    found = flora(verb, "--help")
    assert found.code == 0
    assert found.out.startswith(f"usage: flora {verb} ")
    assert f"example: flora {verb}" in found.out
    assert "--json" in found.out


def test_help_of_every_verb_needs_no_tensorflow() -> None:
    found = python(WITHOUT_TENSORFLOW + HELP_OF_ALL)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("example: flora") == len(VERBS)


# Mistakes


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        pytest.param(["bloom"], "argument VERB: invalid choice: 'bloom' (choose from ", id="unknown verb"),
        pytest.param(["--bloom"], "the following arguments are required: VERB; see: flora --help", id="unknown option"),
        pytest.param(["run"], "the following arguments are required: --source; see: flora run --help", id="bare"),
        pytest.param(
            ["run", "m.tflite", "--source", "test", "--bloom"],
            "unrecognized arguments: --bloom; see: flora run --help",
            id="unknown option of a verb",
        ),
        pytest.param(
            ["run", "m", "--source", "test", "--frames", "many"],
            "argument --frames: invalid int value: 'many'; see: flora run --help",
            id="no number",
        ),
        pytest.param(
            ["run", "m", "--sour", "test"], "the following arguments are required: --source", id="no abbreviations"
        ),
        pytest.param(["predict", "a\nb", "--top", "x\ny"], "argument --top: invalid int value: 'x", id="two lines"),
    ],
)
def test_a_wrong_command_line_is_one_line(typed: list[str], message: str, flora: Flora) -> None:
    found = flora(*typed)
    assert found.code == 2
    assert found.error.startswith(message)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        pytest.param(PhotoError("a.jpg: no photo"), 1, "a.jpg: no photo", id="of ours"),
        pytest.param(UsageError("--x 3: expected 1"), 2, "--x 3: expected 1", id="of usage"),
        pytest.param(FloraError("a\nb.jpg\r: no photo"), 1, "a\\nb.jpg\\r: no photo", id="a name of two lines"),
        pytest.param(KeyboardInterrupt(), 130, "interrupted", id="Ctrl-C"),
        pytest.param(OSError(28, "No space left", "a.csv"), 1, "a.csv: No space left; free some space", id="disk full"),
        pytest.param(PermissionError(13, "Permission denied", "x"), 1, "x: Permission denied", id="not allowed"),
        pytest.param(OSError("odd"), 1, "the output: odd", id="an error without a number"),
        pytest.param(
            ModuleNotFoundError("no", name="cv2"), 1, "cv2 is not installed; take one of: pip", id="no OpenCV"
        ),
        pytest.param(
            ModuleNotFoundError("no", name="tensorflow.keras"),
            1,
            "tensorflow is not installed; this needs a workstation: pip install 'flora-edge[headless,train,export]'",
            id="no TensorFlow",
        ),
        pytest.param(
            ImportError("libGL.so.1: cannot open shared object file", name="cv2"),
            1,
            "OpenCV cannot be loaded (libGL.so.1: cannot open shared object file); without a screen take the build",
            id="no libGL",
        ),
        pytest.param(
            ImportError("numpy.core.multiarray failed\nto import", name="cv2"),
            1,
            "cv2 is installed but cannot be loaded (numpy.core.multiarray failed); reinstall it; take one of",
            id="broken OpenCV",
        ),
    ],
)
def test_what_a_verb_raises_is_one_line(
    error: BaseException, code: int, message: str, flora: Flora, as_run: Callable[..., None]
) -> None:
    as_run(raising(error))
    found = flora("run")
    assert found.code == code
    assert found.error.startswith(message)


@pytest.mark.parametrize("error", [ZeroDivisionError(), ImportError("cannot import name", name="edge.model.card")])
def test_a_defect_of_ours_keeps_its_traceback(error: Exception, as_run: Callable[..., None]) -> None:
    as_run(raising(error))
    with pytest.raises(type(error)):
        main(["run"])


def test_the_exit_code_is_the_verbs(flora: Flora, as_run: Callable[..., None]) -> None:
    as_run(lambda args: 3)
    assert flora("run").code == 3


def test_a_name_that_is_no_text_can_be_printed(flora: Flora, as_run: Callable[..., None]) -> None:
    as_run(lambda args: sys.stdout.write("ros\udce9.jpg\n") and 0)
    assert flora("run").out == "ros\\udce9.jpg\n"


def test_a_missing_package_is_told_when_the_verb_is_imported(flora: Flora, monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> Any:
        raise ModuleNotFoundError("no", name="cv2")

    monkeypatch.setattr(cli, "import_module", import_module)
    assert flora("run", "--help").error.startswith(
        "cv2 is not installed; take one of: pip install 'flora-edge[headless]'"
    )


# Two builds of OpenCV


@pytest.fixture
def have(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call it with the distributions that are installed."""

    def install(*names: str) -> None:
        def version_of(name: str) -> str:
            if name in names:
                return "4.11"
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(importlib.metadata, "version", version_of)
        monkeypatch.setattr(packages, "_may_have_several", lambda: True)

    return install


@pytest.mark.parametrize("other", ["opencv-python", "opencv-contrib-python"])
def test_two_builds_of_opencv_are_one_line(
    other: str, flora: Flora, as_run: Callable[..., None], have: Callable[..., None]
) -> None:
    as_run(lambda args: 0)
    have(other, "opencv-python-headless")
    message = flora("run").error
    for part in (f"{other} 4.11", "opencv-python-headless 4.11", "pip uninstall opencv", "'flora-edge[headless]'"):
        assert part in message


def test_doctor_runs_with_two_builds_of_opencv(
    flora: Flora, have: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    have("opencv-python", "opencv-python-headless")
    monkeypatch.setattr("edge.verbs.doctor.run", lambda args: 0)
    assert flora("doctor").code == 0


def test_two_builds_of_opencv_are_told_also_when_they_break_the_import(
    flora: Flora, as_run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_run(raising(ImportError("libGL.so.1: cannot open", name="cv2")))
    monkeypatch.setattr(packages, "check_opencv", raising_check())
    assert flora("run").error == "two builds"


def raising_check() -> Callable[[], None]:
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) > 1:  # the first is the usual one, before the verb
            raise DependencyError("two builds")

    return check


@pytest.mark.parametrize("names", [(), ("opencv-python",), ("opencv-python-headless",)])
def test_one_build_of_opencv_or_a_distributions_own_is_fine(names: tuple[str, ...], have: Callable[..., None]) -> None:
    have(*names)
    packages.check_opencv()


# Whole processes


def test_a_machine_without_opencv_or_runtime_gets_help_and_one_line() -> None:
    overview = python(WITHOUT_OPENCV + "sys.exit(main(['--help']))")
    assert (overview.returncode, overview.stderr) == (0, "")
    found = python(WITHOUT_OPENCV + "sys.exit(main(['run', 'm.tflite', '--source', 'test']))")
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("flora: cv2 is not installed; take one of: pip install 'flora-edge[headless]'")
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["told at the end", "told at once"])
def test_a_reader_that_has_gone_is_no_failure_and_a_full_disk_is(unbuffered: str, model: Path, photos: Path) -> None:
    command: list[str | Path] = [sys.executable, "-m", "edge.cli", "evaluate", "--json", model, photos]

    def run(stdout: IO[bytes]) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        return subprocess.run(
            command, cwd=ROOT, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
        )

    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        found = run(gone)
    assert (found.returncode, found.stderr.count("\n")) == (0, MEASURING_LINES)
    with Path("/dev/full").open("wb") as full:
        found = run(full)
    assert (found.returncode, found.stderr.count("\n")) == (1, MEASURING_LINES + 1)
    assert found.stderr.endswith("\nflora: the output: No space left on device; free some space\n")


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param(None, id="this one, with TensorFlow unimportable"),
        pytest.param("headless_python", marks=pytest.mark.device),
        pytest.param("window_python", marks=pytest.mark.device),
        pytest.param("legacy_python", marks=pytest.mark.legacy),
    ],
)
def test_a_device_predicts_evaluates_and_runs_without_tensorflow(
    environment: str | None, model: Path, photos: Path, request: pytest.FixtureRequest
) -> None:
    program = request.getfixturevalue(environment) if environment else sys.executable
    code = WITHOUT_TENSORFLOW + "sys.exit(main(sys.argv[1:]))"
    found = python(code, "predict", "--json", "--model", model, photos / "green", program=program)
    assert [json.loads(line)["answer"] for line in found.stdout.splitlines()] == ["green", "green"], found.stderr
    found = python(code, "evaluate", "--json", model, photos, program=program)
    assert json.loads(found.stdout)["models"][str(model)]["top1"] == pytest.approx(5 / 6), found.stderr
    found = python(code, "run", model, "--source", photos, "--json", program=program)
    shown = [json.loads(line)["label"] for line in found.stdout.splitlines()]
    assert (found.returncode, shown) == (0, ["blue", "blue", "green", "green", "red", "blue"]), found.stderr
    found = python(code, "predict", "--model", "imagenet", photos, program=program)
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (1, "", 1), found.stderr
    assert found.stderr.startswith("flora: tensorflow is not installed; ")
