"""Questions that may crash or hang whoever asks them, asked in child processes: broken packages, drivers, a model.

In:  names of probes.
Out: for each what it found, plain JSON types, or one line that says why there is nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from edge.base import packages
from edge.errors import DependencyError, FloraError

CHILD = "import sys; sys.path[:] = sys.argv[3:]; from edge.machine.probes import main; main()"
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
    command = [sys.executable, "-c", CHILD, name, argument, *sys.path]
    try:
        child = subprocess.run(command, capture_output=True, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired:
        return Said(None, f"no answer within {LONGEST_S:.0f} s")
    out, err = (stream.decode("utf-8", "replace").strip().splitlines() for stream in (child.stdout, child.stderr))
    if child.returncode < 0:
        return Said(None, f"it crashes (signal {-child.returncode})")
    if child.returncode != 0 or not out:
        return Said(None, (err or [f"exit code {child.returncode}"])[-1][:200])
    answer: dict[str, Any] = json.loads(out[-1])  # what libraries print comes before
    return Said(answer["found"], answer["problem"])


def main() -> None:
    """The child's whole life. What it did not foresee ends in a traceback, whose last line is told."""
    name, argument = sys.argv[1:3]
    try:
        said = Said(PROBES[name](argument))
    except FloraError as error:
        said = Said(None, str(error))
    except ImportError as error:
        said = Said(None, str(packages.unusable(error)))
    sys.stdout.write("\n" + json.dumps(asdict(said)))


def _opencv(_: str) -> Found:
    cv2 = import_module("cv2")
    backends = [cv2.videoio_registry.getBackendName(number) for number in cv2.videoio_registry.getStreamBackends()]
    gui = next((line.split(":")[1].strip() for line in cv2.getBuildInformation().splitlines() if "GUI:" in line), "")
    return {"version": cv2.__version__, "has_windows": gui not in {"", "NONE"}, "has_ffmpeg": "FFMPEG" in backends}


def _colours(_: str) -> Found:
    """A red JPEG, decoded and made a model's input as a frame is: RGB, so red is first."""
    cv2, numpy, geometry = (import_module(name) for name in ("cv2", "numpy", "edge.picture.geometry"))
    patch = numpy.full((SIDE, SIDE, 3), RED_BGR, numpy.uint8)
    jpeg = cv2.imencode(".jpg", patch)[1].tobytes()
    seen = geometry.model_input(geometry.decode(jpeg, "the patch"), SIDE // 2)
    red, green, blue = (round(float(level)) for level in seen.mean(axis=(0, 1)))
    return {"rgb": [red, green, blue], "is_right": red > HIGH and max(green, blue) < LOW}


def _runtime(_: str) -> Found:
    return {"version": import_module("edge.model.interpreter").runtime_version()}


def _cameras(_: str) -> Found:
    """V4L2's; and the Pi's own ones where picamera2 is installed."""
    found = [_camera(one) for one in import_module("edge.sources.camera").cameras()]
    if "picamera2" in sys.modules or import_module("importlib.util").find_spec("picamera2") is None:
        return {"cameras": found, "picamera": None}
    try:
        pi = [_camera(one) for one in import_module("edge.sources.picamera").picameras()]
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
    classifier, benchmark = import_module("edge.model.classifier"), import_module("edge.machine.timing")
    path = argument or str(classifier.bundled_model())
    model = classifier.Classifier(path)
    verdicts = model.verify()
    trouble = model.trouble(verdicts)
    counts = sorted({1, import_module("edge.model.interpreter").default_threads()})
    jpeg = benchmark.camera_jpeg((640, 480))
    steady = {} if trouble else {str(row.threads): row.total.p50 for row in
                                 benchmark.time_frames([path], counts, jpeg, ROUNDS)}  # fmt: skip
    return {"name": Path(path).name, "cases": len(verdicts), "trouble": trouble, "ms_by_threads": steady}


PROBES: dict[str, Callable[[str], Found]] = {
    "opencv": _opencv,
    "colours": _colours,
    "runtime": _runtime,
    "cameras": _cameras,
    "model": _model,
}
