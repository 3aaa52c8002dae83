"""`make bundle`: what a device needs, told from its markers and not from ours, in a folder that is whole or not there.

The wheels here are zips with METADATA alone, and nothing is downloaded; tests/test_devices.py makes a real bundle.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edge.errors import FloraError, UsageError
from tests.edge.fakes import one_line
from tests.making.bundle import (
    ROOT,
    Target,
    Wheel,
    constraints_for,
    copy_tree,
    gather,
    install_text,
    main,
    pip,
    write_bundle,
)

PI = Target("3.11", "aarch64", "headless")
LEGACY = Target("3.10", "x86_64", "legacy")
LAPTOP = Target("3.13", "x86_64", "window")
OURS = (
    "numpy>=1.23,<3", 'runtime>=2.1; extra == "headless"', 'runtime>=2.1; extra == "window"',
    'opencv; extra == "headless"', 'opencv-gui; extra == "window"', 'old-runtime; extra == "legacy"',
    'numpy<2; extra == "legacy"', 'tensorflow; extra == "train"',
)  # fmt: skip


def write_wheel(folder: Path, name: str, version: str, *requirements: str, tag: str = "py3-none-any") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-{tag}.whl"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {one}" for one in requirements]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{stem}.data/other.dist-info/METADATA", "Requires-Dist: not-this-one\n")
        archive.writestr(f"{stem}.dist-info/METADATA", "\n".join(lines))
    return path


@pytest.fixture
def ours(tmp_path: Path) -> Wheel:
    return Wheel.read(write_wheel(tmp_path / "ours", "flora-edge", "0.1.0", *OURS))


Fetch = Callable[[Sequence[str]], Sequence[Path]]


def index(folder: Path, **packages: Mapping[str, tuple[str, ...]]) -> tuple[Fetch, list[list[str]]]:
    """A stand-in for pip: of each package (`_` for `-`) its versions, newest first, with what they require."""
    asked: list[list[str]] = []

    def fetch(requirements: Sequence[str]) -> Sequence[Path]:
        asked.append(sorted(requirements))
        return [found(Requirement(line)) for line in requirements]

    def found(wanted: Requirement) -> Path:
        versions = packages[canonicalize_name(wanted.name).replace("-", "_")]
        version = next(each for each in versions if wanted.specifier.contains(each))
        return write_wheel(folder / str(len(asked)), wanted.name, version, *versions[version])

    return fetch, asked


def names(wheels: Sequence[Wheel]) -> list[str]:
    return [f"{wheel.name} {wheel.version}" for wheel in wheels]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(PI, ["enumerations 1", "numpy 2", "opencv 5", "runtime 3"], id="Python 3.11 on a Pi"),
        pytest.param(
            LAPTOP, ["intel 1", "numpy 2", "opencv-gui 5", "runtime 3"], id="Python 3.13 on a laptop, with windows"
        ),
        pytest.param(LEGACY, ["numpy 1.26", "old-runtime 2.14"], id="an old device"),
    ],
)
def test_requirements_are_followed_by_the_devices_markers(
    target: Target, expected: list[str], ours: Wheel, tmp_path: Path
) -> None:
    runtime = (
        'enumerations; python_version < "3.12"',
        'intel; platform_machine == "x86_64"',
        'windows-only; sys_platform == "win32"',
        'tests; extra == "dev"',
        "numpy",
    )
    fetch, asked = index(
        tmp_path,
        numpy={"2": (), "1.26": ()},
        runtime={"3": runtime},
        opencv={"5": ("numpy>=2",)},
        opencv_gui={"5": ("NumPy>=2",)},
        old_runtime={"2.14": ("numpy",)},
        enumerations={"1": ()},
        intel={"1": ()},
    )
    first, *others = gather(ours, target, fetch)
    assert first == ours
    assert names(others) == expected
    assert len(asked) <= 2


def test_extras_of_a_requirement_are_followed_as_well(ours: Wheel, tmp_path: Path) -> None:
    fetch, _ = index(
        tmp_path,
        numpy={"2": ()},
        runtime={"3": ("opencv[fast]",)},
        opencv={"5": ('accelerator; extra == "fast"',)},
        accelerator={"1": ("runtime",)},  # and round again
    )
    assert "accelerator 1" in names(gather(ours, PI, fetch))


def test_a_version_that_a_later_requirement_rules_out_is_fetched_again(ours: Wheel, tmp_path: Path) -> None:
    fetch, asked = index(
        tmp_path, numpy={"2": (), "1.26": ()}, runtime={"3": ("narrow",)}, opencv={"5": ()}, narrow={"1": ("numpy<2",)}
    )
    assert names(gather(ours, PI, fetch))[2:3] == ["numpy 1.26"]
    assert asked[-1] == ["numpy<2,<3,>=1.23"]


def test_requirements_that_never_agree_are_one_line(ours: Wheel, tmp_path: Path) -> None:
    flip = {"2": ("runtime<3",), "1": ("runtime>=3",)}
    fetch, _ = index(
        tmp_path, numpy={"2": ()}, runtime={"3": ("flip>=2",), "2.1": ("flip<2",)}, opencv={"5": ()}, flip=flip
    )
    told = r"^no versions agree with each other: .*; keep to those of \.ci/constraints\.txt$"
    with pytest.raises(FloraError, match=told):
        gather(ours, PI, fetch)


@pytest.mark.parametrize(("python", "numpy"), [("3.10", "2.2"), ("3.11", "2.4"), ("3.13", "2.5")])
def test_constraints_are_those_of_the_device_and_pin_each_package_once(python: str, numpy: str) -> None:
    text = (ROOT / ".ci/constraints.txt").read_text("utf-8")
    lines = constraints_for(Target(python, "aarch64", "headless"), text).splitlines()
    pinned = [line.partition("==")[0] for line in lines]
    assert len(pinned) == len(set(pinned)) > 50
    assert [line for line in lines if line.startswith(f"numpy=={numpy}.")]
    assert not [line for line in lines if ";" in line]


# The folder


def test_a_bundle_says_what_it_needs_and_how_to_install_it(ours: Wheel, tmp_path: Path) -> None:
    newer = write_wheel(tmp_path, "runtime", "3", tag="cp311-cp311-manylinux_2_27_aarch64.manylinux_2_31_aarch64")
    older = write_wheel(tmp_path, "numpy", "2", tag="cp311-cp311-manylinux2014_aarch64.manylinux_2_17_aarch64")
    wheels = [ours, Wheel.read(newer), Wheel.read(older)]
    first, *lines = install_text(wheels, PI).splitlines()
    assert first == "Flora 0.1.0 for Python 3.11 on Linux aarch64 with glibc 2.27 or newer."
    assert "    python3.11 -m venv ~/flora" in lines
    assert "    ~/flora/bin/pip install --no-index --find-links . 'flora-edge[headless]'" in lines
    assert "libgl1" in install_text(wheels, LAPTOP)


def test_every_file_of_a_bundle_is_in_its_checksums(ours: Wheel, tmp_path: Path) -> None:
    out = tmp_path / "new" / "bundle"
    write_bundle(out, [ours], PI)
    lines = (out / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert {path.name for path in out.iterdir()} == {*sums, "SHA256SUMS"} == {
        "flora_edge-0.1.0-py3-none-any.whl", "INSTALL.txt", "SHA256SUMS",
    }  # fmt: skip
    assert all(hashlib.sha256((out / name).read_bytes()).hexdigest() == digest for name, digest in sums.items())
    assert sorted(path.name for path in out.parent.iterdir()) == ["bundle"]


def test_what_is_there_already_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    assert main(["--python", "3.11", "--arch", "aarch64", "--out", str(out)]) == 1
    assert capsys.readouterr().err == f"{out}: exists already; remove it, or name another folder with OUT=\n"
    assert list(out.iterdir()) == []


def test_a_wheel_that_is_not_to_be_had_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FloraError) as caught:
        pip("download", "--no-index", "--dest", tmp_path, "nonesuch-of-flora==9")
    assert one_line(caught) == (
        "pip download: No matching distribution found for nonesuch-of-flora==9; "
        "is there a network, and a wheel for that Python and architecture?"
    )


def test_the_wheel_is_built_from_sources_alone(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path)
    assert sorted(path.name for path in tree.iterdir()) == [
        "LICENSE", "README.md", "edge", "export", "pyproject.toml", "training",
    ]  # fmt: skip
    assert not list(tree.rglob("__pycache__"))


# Mistakes


@pytest.mark.parametrize(
    ("python", "arch", "extra", "message"),
    [
        ("3.9", "aarch64", "headless", "PYTHON_VERSION=3.9: expected one of 3.10, 3.11, 3.12, 3.13; "),
        ("", "aarch64", "headless", "PYTHON_VERSION=: expected one of "),
        ("3.11", "armv7l", "headless", "ARCH=armv7l: expected one of x86_64, aarch64; "),
        ("3.11", "x86_64", "train", "EXTRA=train: expected one of headless, window, legacy; "),
        ("3.12", "x86_64", "legacy", "PYTHON_VERSION=3.12: expected one of 3.10, 3.11 with EXTRA=legacy; "),
    ],
)
def test_a_device_that_there_are_no_wheels_for_is_one_line(
    python: str, arch: str, extra: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError):
        Target(python, arch, extra)
    assert main(["--python", python, "--arch", arch, "--extra", extra]) == 2
    found = capsys.readouterr()
    assert (found.out, found.err.count("\n")) == ("", 1)
    assert found.err.startswith(message)


def test_make_refuses_in_one_line(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    for number, stamp in enumerate((".made", ".bundle")):
        (tmp_path / stamp).touch()
        os.utime(tmp_path / stamp, (number, number))
    command = ["make", f"VENV={tmp_path}", "bundle", "PYTHON_VERSION=3.11", "ARCH=pdp11"]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # not a make in a make
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert (
        "ARCH=pdp11: expected one of x86_64, aarch64; as in: make bundle PYTHON_VERSION=3.11 ARCH=aarch64"
        in done.stderr
    )
