"""Questions that may crash or hang whoever asks them, asked in child processes: broken packages, drivers, a model.

In:  names of probes.
Out: for each what it found, plain JSON types, or one line that says why there is nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge.base import child, packages
from edge.errors import DependencyError, FloraError

LONGEST_S = 60.0
RED_BGR = (0, 0, 255)
SIDE = 32  # pixels of the patch
HIGH, LOW = 200, 60  # levels: red after JPEG is not quite 255, 0, 0
ROUNDS = 30

Found = dict[str, Any]
Ask = Callable[[Mapping[str, str]], "dict[str, Said]"]


@dataclass(frozen=True)
class Said:
    """What a probe answered."""

    found: Found | None
    problem: str | None = None  # one line; None where something was found


def ask(questions: Mapping[str, str]) -> dict[str, Said]:
    """Ask probes (name: argument) side by side."""
    with ThreadPoolExecutor(max(1, len(questions))) as pool:
        said = pool.map(lambda item: _ask_one(*item), questions.items())
        return dict(zip(questions, said, strict=True))


def _ask_one(name: str, argument: str) -> Said:
    try:
        return Said(**child.ask(_found, name, argument, timeout_s=LONGEST_S))
    except child.Unanswered as error:
        return Said(None, str(error))


def _found(name: str, argument: str) -> dict[str, Any]:
    """In the child."""
    try:
        said = Said(PROBES[name](argument))
    except FloraError as error:
        said = Said(None, str(error))
    except ImportError as error:
        said = Said(None, str(packages.unusable(error)))
    return asdict(said)


def _opencv(_: str) -> Found:
    import cv2

    backends = [cv2.videoio_registry.getBackendName(number) for number in cv2.videoio_registry.getStreamBackends()]
    gui = next((line.split(":")[1].strip() for line in cv2.getBuildInformation().splitlines() if "GUI:" in line), "")
    return {"version": cv2.__version__, "has_windows": gui not in {"", "NONE"}, "has_ffmpeg": "FFMPEG" in backends}


def _colours(_: str) -> Found:
    """A red JPEG, decoded and made a model's input as a frame is: RGB, so red is first."""
    import cv2
    import numpy as np

    from edge.picture import geometry

    patch = np.full((SIDE, SIDE, 3), RED_BGR, np.uint8)
    jpeg = cv2.imencode(".jpg", patch)[1].tobytes()
    seen = geometry.model_input(geometry.decode(jpeg, "the patch"), SIDE // 2)
    red, green, blue = (round(float(level)) for level in seen.mean(axis=(0, 1)))
    return {"rgb": [red, green, blue], "is_right": red > HIGH and max(green, blue) < LOW}


def _runtime(_: str) -> Found:
    from edge.model.interpreter import runtime_version

    return {"version": runtime_version()}


def _cameras(_: str) -> Found:
    """V4L2's; and the Pi's own ones where picamera2 is installed."""
    from edge.sources.camera import cameras

    found = [_camera(one) for one in cameras()]
    if find_spec("picamera2") is None:
        return {"cameras": found, "picamera": None}
    from edge.sources.picamera import picameras

    try:
        pi = [_camera(one) for one in picameras()]
    except DependencyError as error:
        return {"cameras": found, "picamera": str(error)}
    return {"cameras": found + pi, "picamera": None}


def _camera(one: Any) -> Found:
    return {
        "source": one.source, "device": one.device, "name": one.name, "problem": one.problem,
        "modes": [str(mode) for mode in one.modes],
    }  # fmt: skip


def _model(argument: str) -> Found:
    """The golden cases of a model file, "" is the bundled one, and how long an answer takes."""
    from edge.machine.timing import camera_jpeg, time_frames
    from edge.model.classifier import Classifier, bundled_model
    from edge.model.interpreter import default_threads

    path = argument or str(bundled_model())
    model = Classifier(path)
    verdicts = model.verify()
    trouble = model.trouble(verdicts)
    counts = sorted({1, default_threads()})
    jpeg = camera_jpeg((640, 480))
    steady = {} if trouble else {str(row.threads): row.total.p50 for row in
                                 time_frames([path], counts, jpeg, ROUNDS)}  # fmt: skip
    return {"name": Path(path).name, "cases": len(verdicts), "trouble": trouble, "ms_by_threads": steady}


PROBES: dict[str, Callable[[str], Found]] = {
    "opencv": _opencv,
    "colours": _colours,
    "runtime": _runtime,
    "cameras": _cameras,
    "model": _model,
}
