"""Make a folder of wheels from which Flora installs on a device without a network. Behind `make bundle`.

    python -m tests.making.bundle --python 3.11 --arch aarch64 --extra headless -c .ci/constraints.txt

In:  Python version and architecture of the device, one of its three extras, versions to keep to.
Out: the folder: our wheel, every wheel that it needs there, SHA256SUMS, and INSTALL.txt with the commands.

pip looks for wheels of another Python when told to, but it judges markers such as `python_version < "3.11"` by the
Python that it runs in. So the requirements are followed here, by the device's markers, and pip fetches one by one.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from edge.base.packages import DISTRIBUTION
from edge.errors import FloraError, OutputError, UsageError

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("edge", "training", "export")
PROJECT_FILES = ("pyproject.toml", "README.md", "LICENSE")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
LEGACY_PYTHONS = ("3.10", "3.11")  # tflite-runtime has no wheels for newer ones
ARCHITECTURES = ("x86_64", "aarch64")
EXTRAS = ("headless", "window", "legacy")
# The newest C library, as 2.x, that a wheel may ask for. Debian 12 has 2.36; tflite-runtime for arm64 asks for 2.34.
NEWEST_GLIBC = {"headless": 28, "window": 28, "legacy": 34}
OLD_NAMES = {"manylinux2014": 17, "manylinux2010": 12, "manylinux1": 5}
MOST_ROUNDS = 20  # of following requirements; the runtimes take two


@dataclass(frozen=True)
class Target:
    """The device that a bundle is for."""

    python: str  # as 3.11
    arch: str  # as `uname -m` says it
    extra: str

    def __post_init__(self) -> None:
        _require("PYTHON_VERSION", self.python, PYTHONS)
        _require("ARCH", self.arch, ARCHITECTURES)
        _require("EXTRA", self.extra, EXTRAS)
        if self.extra == "legacy":
            _require("PYTHON_VERSION", self.python, LEGACY_PYTHONS, " with EXTRA=legacy")

    def meets(self, marker: Marker | None, extras: Iterable[str] = ()) -> bool:
        """Whether a requirement with this marker, of a package installed with `extras`, is one there."""
        if marker is None:
            return True
        environment = {
            "python_version": self.python, "python_full_version": f"{self.python}.0", "platform_machine": self.arch,
            "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix",
            "implementation_name": "cpython", "platform_python_implementation": "CPython",
        }  # fmt: skip
        return any(marker.evaluate({**environment, "extra": extra}) for extra in (*extras, ""))

    def platforms(self) -> list[str]:
        """The tags of wheels that it takes, best first."""
        numbered = [f"manylinux_2_{minor}_{self.arch}" for minor in range(NEWEST_GLIBC[self.extra], 4, -1)]
        return [*numbered, *(f"{name}_{self.arch}" for name in OLD_NAMES)]


def _require(name: str, value: str, known: Sequence[str], when: str = "") -> None:
    if value not in known:
        raise UsageError(
            f"{name}={value}: expected one of {', '.join(known)}{when}; as in: "
            "make bundle PYTHON_VERSION=3.11 ARCH=aarch64"
        )


@dataclass(frozen=True)
class Wheel:
    """A wheel on this disk."""

    path: Path
    name: str
    version: Version
    requirements: tuple[Requirement, ...]

    @classmethod
    def read(cls, path: Path) -> Wheel:
        name, version, _, _ = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            inside = next(each for each in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", each))
            lines = Parser().parsestr(archive.read(inside).decode()).get_all("Requires-Dist", [])
        return cls(path, name, version, tuple(map(Requirement, lines)))

    def least_glibc(self) -> int:
        """The minor number of the oldest C library that it runs with; 0: any."""
        return min(_glibc(tag.platform) for tag in parse_wheel_filename(self.path.name)[3])


def _glibc(platform: str) -> int:
    if numbered := re.match(r"manylinux_2_(\d+)_", platform):
        return int(numbered[1])
    return OLD_NAMES.get(platform.partition("_")[0], 0)


def needed(wheels: Mapping[str, Wheel], target: Target) -> dict[str, SpecifierSet]:
    """What Flora needs on the device, as far as the wheels at hand tell: name -> versions that all agree to."""
    found: dict[str, SpecifierSet] = {}
    done: set[tuple[str, str]] = set()
    queue: list[tuple[str, tuple[str, ...]]] = [(DISTRIBUTION, (target.extra,))]
    for name, extras in queue:  # it grows on the way
        done.add((name, ",".join(extras)))
        for each in wheels[name].requirements if name in wheels else ():
            if target.meets(each.marker, extras):
                key = canonicalize_name(each.name)
                found[key] = found.get(key, SpecifierSet()) & each.specifier
                following = (key, tuple(sorted(each.extras)))
                if (key, ",".join(following[1])) not in done:
                    queue.append(following)
    return found


def gather(ours: Wheel, target: Target, fetch: Callable[[Sequence[str]], Sequence[Path]]) -> list[Wheel]:
    """Our wheel and all that it needs on the device; `fetch` gets requirements such as `numpy<3` and returns files."""
    wheels = {ours.name: ours}
    for _ in range(MOST_ROUNDS):
        wanted = needed(wheels, target)
        missing = [
            f"{name}{versions}"
            for name, versions in wanted.items()
            if name not in wheels or not versions.contains(wheels[name].version, prereleases=True)
        ]
        if not missing:
            return [ours, *(wheels[name] for name in sorted(wanted))]
        wheels |= {wheel.name: wheel for wheel in map(Wheel.read, fetch(missing))}
    raise FloraError(f"no versions agree with each other: {', '.join(missing)}; keep to those of .ci/constraints.txt")


def constraints_for(target: Target, text: str) -> str:
    """Those lines of a constraints file that hold on the device, without their markers."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    kept = [one for one in map(Requirement, lines) if target.meets(one.marker)]
    return "".join(f"{one.name}{one.specifier}\n" for one in kept)


def install_text(wheels: Sequence[Wheel], target: Target) -> str:
    """INSTALL.txt: what the bundle is for, and the commands."""
    glibc = max(wheel.least_glibc() for wheel in wheels)
    lines = [
        f"Flora {wheels[0].version} for Python {target.python} on Linux {target.arch} with glibc 2.{glibc} or newer.",
        "No network is needed. In this folder:",
        "",
        f"    python{target.python} -m venv ~/flora",
        f"    ~/flora/bin/pip install --no-index --find-links . '{DISTRIBUTION}[{target.extra}]'",
        "",
        "Was it copied whole?     sha256sum --check SHA256SUMS",
        "Is the model right here? ~/flora/bin/flora inspect",
        "Flowers on camera 0:     ~/flora/bin/flora run --source 0",
    ]
    if target.extra == "window":
        lines += ["", "The window also needs the system's libgl1, libglib2.0-0 and libxcb1."]
    return "\n".join(lines) + "\n"


def require_new(out: Path) -> None:
    """Raises OutputError if there is something of that name."""
    if out.exists():
        raise OutputError(f"{out}: exists already; remove it, or name another folder with OUT=")


def write_bundle(out: Path, wheels: Sequence[Wheel], target: Target) -> None:
    """The folder, whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".bundle") as temporary:
        folder = Path(temporary) / out.name
        folder.mkdir()
        for wheel in wheels:
            shutil.copy(wheel.path, folder)
        (folder / "INSTALL.txt").write_text(install_text(wheels, target), "utf-8")
        (folder / "SHA256SUMS").write_text(checksums(folder), "utf-8")
        folder.rename(out)


def checksums(folder: Path) -> str:
    """A line for each file of the folder, as `sha256sum --check` reads them."""
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())
    )


def copy_tree(tree: Path) -> Path:
    """What a wheel is built from, without what an earlier build may have left."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in PROJECT_FILES:
        shutil.copy(ROOT / name, tree)
    return tree


def pip(command: str, *arguments: str | Path) -> None:
    """Run pip. Raises FloraError with the line that says why it failed."""
    line = [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reasons = re.findall(r"ERROR: (.+)", done.stderr) or [" ".join(done.stderr.split())[-200:]]
        raise FloraError(
            f"pip {command}: {reasons[-1]}; is there a network, and a wheel for that Python and architecture?"
        )


def fetcher(target: Target, constraints: Path | None, folder: Path) -> Callable[[Sequence[str]], Sequence[Path]]:
    """A function that downloads requirements, without what they require, each time into a new folder below `folder`."""
    options = ["--only-binary=:all:", "--no-deps", "--python-version", target.python, "--implementation", "cp"]
    options += ["--abi", f"cp{target.python.replace('.', '')}"]
    options += [word for platform in target.platforms() for word in ("--platform", platform)]
    if constraints:
        kept = folder / "constraints.txt"
        kept.write_text(constraints_for(target, constraints.read_text("utf-8")), "utf-8")
        options += ["-c", str(kept)]

    def fetch(requirements: Sequence[str]) -> Sequence[Path]:
        print(f"fetching for Python {target.python} on {target.arch}: {', '.join(requirements)}", file=sys.stderr)
        into = Path(tempfile.mkdtemp(dir=folder))
        pip("download", *options, "--dest", into, *requirements)
        return sorted(into.glob("*.whl"))

    return fetch


def make_bundle(target: Target, out: Path | None, constraints: Path | None) -> Path:
    """Build our wheel, fetch the others and write the folder; returns its path."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pip("wheel", "--no-deps", "--wheel-dir", folder, copy_tree(folder / "tree"))
        ours = Wheel.read(next(folder.glob("*.whl")))
        name = f"{DISTRIBUTION}-{ours.version}-{target.extra}-py{target.python}-{target.arch}"
        out = out or ROOT / "dist" / name
        require_new(out)
        write_bundle(out, gather(ours, target, fetcher(target, constraints, folder)), target)
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, metavar="3.x", help=f"one of {', '.join(PYTHONS)}")
    parser.add_argument("--arch", required=True, help=f"one of {', '.join(ARCHITECTURES)}")
    parser.add_argument("--extra", default="headless", help=f"one of {', '.join(EXTRAS)} (default: headless)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: a folder in dist that names all of it")
    parser.add_argument("-c", "--constraints", type=Path, metavar="FILE", help="not used for legacy: it pins NumPy 2")
    parser.add_argument("--check", action="store_true", help="only say in one line what is wrong with these options")
    args = parser.parse_args(arguments)
    try:
        target = Target(args.python, args.arch, args.extra)
        if args.out:
            require_new(args.out)
        if not args.check:
            out = make_bundle(target, args.out, None if args.extra == "legacy" else args.constraints)
            size = sum(path.stat().st_size for path in out.iterdir())
            print(f"wrote {out}: {size / 1e6:.0f} MB; next: copy it to the device and follow INSTALL.txt there")
    except FloraError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
