"""What all tests share: the parts that a machine may lack, and FLORA_STRICT, under which lacking one is a failure.

FLORA_SHARED        folder with flower_photos/, keras/models/ and peers/
FLORA_HEADLESS_ENV  Python of an environment with the wheel and only [headless]; likewise _WINDOW_ENV, _LEGACY_ENV
FLORA_MEDIAPIPE_ENV Python of an environment with mediapipe, which needs the system's libEGL and libGLESv2
FLORA_STRICT=1      every skip, whatever its cause, becomes a failure
FLORA_FUZZ=1        damaged files are tried in the hundreds instead of dozens
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from tests.road import Road

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before any test imports TensorFlow
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several on as many cores: more threads would only wait for each other
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

EMPTY_PNG = bytes.fromhex(  # one white pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63f80f0001010100b138f6140000000049454e44ae426082"
)
WALK_S = 180  # what walking the road may take
AnyReport = TypeVar("AnyReport", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under FLORA_STRICT a test that skips has failed."""
    return _fail_a_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Under FLORA_STRICT a module that skips itself (importorskip) has failed."""
    return _fail_a_skip((yield))


def _fail_a_skip(report: AnyReport) -> AnyReport:
    if os.environ.get("FLORA_STRICT") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason} (FLORA_STRICT=1: a skip is a failure)"
    return report


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests remember of model files from elsewhere goes to a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLORA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are drawn up but not painted, which takes most of their time: for tests of what stands beside them."""

    def paint_nothing(figure: object, file: IO[bytes], **how: object) -> None:
        file.write(EMPTY_PNG)

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", paint_nothing)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with flower_photos/, keras/models/ and peers/."""
    return _existing("FLORA_SHARED", "the folder with flower_photos/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test comes first waits for the road: a training and an export, beside its own time."""
    for item in items:
        if "road" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(WALK_S + float(item.config.getini("timeout"))))


@pytest.fixture(scope="session")
def road(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Road:
    """A run and a model file made from a part of the shared photos."""
    from tests.road import walk  # it needs the project, which not every test of this file has

    return walk(shared, tmp_path_factory.mktemp("road"))


@pytest.fixture(scope="session")
def headless_python() -> Path:
    """Python of an environment that holds the wheel with [headless] and nothing else."""
    return _existing("FLORA_HEADLESS_ENV", "the Python of an environment with only [headless]")


@pytest.fixture(scope="session")
def window_python() -> Path:
    """Python of an environment that holds the wheel with [window] and nothing else."""
    return _existing("FLORA_WINDOW_ENV", "the Python of an environment with only [window]")


@pytest.fixture(scope="session")
def legacy_python() -> Path:
    """Python of an environment that holds the wheel with [legacy] and nothing else."""
    return _existing("FLORA_LEGACY_ENV", "the Python of an environment with only [legacy]")


@pytest.fixture(scope="session")
def mediapipe_python() -> Path:
    """Python of an environment that holds mediapipe."""
    return _existing("FLORA_MEDIAPIPE_ENV", "the Python of an environment with mediapipe")


def _existing(variable: str, meaning: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set; expected {meaning}")
    path = Path(value).absolute()  # not resolved: an environment's Python is a link, and the link is what matters
    if not path.exists():
        pytest.fail(f"{variable} is {value}, which does not exist; expected {meaning}")
    return path


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """A virtual X display such as `:99`, for DISPLAY."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed; install it with: apt install xvfb")
    reader, writer = os.pipe()
    command = [program, "-displayfd", str(writer), "-screen", "0", "1024x768x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL) as server:
        os.close(writer)
        with os.fdopen(reader) as answer:
            number = answer.readline().strip()  # written once the server is ready
        try:
            assert number, "Xvfb ended before it was ready"
            yield f":{number}"
        finally:
            server.terminate()
