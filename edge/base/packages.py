"""What a verb needs besides numpy, and the one line that says how to get it.

A device takes exactly one of the extras [headless], [window] and [legacy]: a TFLite runtime with an OpenCV.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from edge.base.text import first_line
from edge.errors import DependencyError

DISTRIBUTION = "flora-edge"
ONE_EXTRA = (
    f"take one of: pip install '{DISTRIBUTION}[headless]' (no screen), '{DISTRIBUTION}[window]' (--show) or, "
    f"on old devices, '{DISTRIBUTION}[legacy]'"
)
WORKSTATION = f"this needs a workstation: pip install '{DISTRIBUTION}[headless,train,export]'"
DEVICE_PACKAGES = frozenset({"numpy", "cv2"})
# All of them own the module `cv2`: the last one installed overwrites the others, and removing one breaks the rest.
OPENCV_BUILDS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


def installed(names: Iterable[str]) -> dict[str, str]:
    """Those of the named distributions that are installed, with their versions."""
    from importlib.metadata import PackageNotFoundError, version  # takes 15 ms to import, and few starts need it

    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def check_opencv() -> None:
    """Raises DependencyError when two builds of OpenCV are installed at once."""
    builds = installed(OPENCV_BUILDS) if _may_have_several() else {}
    if len(builds) > 1:
        both = " and ".join(f"{name} {number}" for name, number in builds.items())
        raise DependencyError(
            f"{both} are installed and overwrite each other; expected one; remove all: "
            f"pip uninstall {' '.join(builds)}; then {ONE_EXTRA}"
        )


def _may_have_several() -> bool:
    """Whether several builds of OpenCV have left their records beside the module; cheap, as every start asks it."""
    module = find_spec("cv2")
    if module is None or module.origin is None:
        return True  # removing one of two may have taken the module along
    return len(list(Path(module.origin).parents[1].glob("opencv_*.dist-info"))) > 1


def unusable(error: ImportError) -> DependencyError:
    """The one line for a package that is missing or cannot be loaded."""
    package = (error.name or "").partition(".")[0] or "a package"
    remedy = ONE_EXTRA if package in DEVICE_PACKAGES else WORKSTATION
    if isinstance(error, ModuleNotFoundError):
        return DependencyError(f"{package} is not installed; {remedy}")
    reason = first_line(error)
    if package == "cv2" and reason.startswith("lib"):  # libGL.so.1: cannot open shared object file
        return DependencyError(
            f"OpenCV cannot be loaded ({reason}); without a screen take the build that needs no such library: "
            f"pip uninstall opencv-python; pip install '{DISTRIBUTION}[headless]'; or: apt install libgl1 libglib2.0-0"
        )
    return DependencyError(f"{package} is installed but cannot be loaded ({reason}); reinstall it; {remedy}")
