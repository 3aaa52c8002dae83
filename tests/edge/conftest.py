"""A tiny model file, photos that it gets right, and the command as a function."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge.cli import main
from edge.picture.video import quieten_opencv
from tests.edge.model import tiny

PROGRESS = re.compile(r"[\w ]+: \d+(/\d+)? in \d+:\d\d")


quieten_opencv()  # FFmpeg takes its level of noise from the first use in a process, whichever test that is


@dataclass(frozen=True)
class Outcome:
    """What one call of the command left."""

    code: int
    out: str
    err: str  # what C++ wrote included, progress bars not

    @property
    def error(self) -> str:
        """The message of a failure, which must be the only line on stderr; data must not have been written."""
        assert self.code != 0, self.out
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("flora: ")
        return lines[0].removeprefix("flora: ")


Flora = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _opencv_speaks_again() -> Iterator[None]:
    """The command silences OpenCV for its process, which here is that of the other tests as well."""
    api: Any = cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2  # OpenCV 5, else 4
    level = api.getLogLevel()
    yield
    api.setLogLevel(level)


@pytest.fixture
def flora(capfd: pytest.CaptureFixture[str]) -> Flora:
    """Run `flora ...` in this process."""

    def call(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        lines = [line for line in captured.err.splitlines(keepends=True) if not PROGRESS.match(line)]
        return Outcome(code, captured.out, "".join(lines))

    return call


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file that names the colour of a picture: red, green or blue."""
    return tiny.write_model(tmp_path_factory.mktemp("model") / "colours.tflite")


@pytest.fixture
def bundled(model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The colour model, in the place of the bundled flower model."""
    monkeypatch.setattr("edge.model.classifier.BUNDLED", model)
    return model


@pytest.fixture
def no_bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tree without the bundled model; the line that says so."""
    monkeypatch.setattr("edge.model.classifier.BUNDLED", tmp_path / "flowers.tflite")
    return (
        f"{tmp_path}/flowers.tflite: no such file; expected the flower model that comes with Flora; "
        "name a .tflite file, or install Flora again"
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos of each colour, in class folders; one blue one lies among the red."""
    folder = tmp_path / "photos"
    for colour in tiny.LABELS:
        tiny.write_photo(folder / colour / "1.png", colour)
        tiny.write_photo(folder / colour / "2.jpg", "blue" if colour == "red" else colour)
    return folder
