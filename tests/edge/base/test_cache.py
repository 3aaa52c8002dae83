"""Where the cache is."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.base.files import default_cache
from edge.errors import OutputError


@pytest.mark.parametrize(
    ("flora", "xdg", "expected"),
    [
        (None, None, "/home/someone/.cache/flora"),
        (None, "/var/cache", "/var/cache/flora"),
        (None, "relative", "/home/someone/.cache/flora"),
        ("", "", "/home/someone/.cache/flora"),
        ("/data", "/var/cache", "/data"),
        ("~/data", None, "/home/someone/data"),
    ],
)
def test_the_cache_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, flora: str | None, xdg: str | None, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    for name, value in (("FLORA_CACHE", flora), ("XDG_CACHE_HOME", xdg)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert default_cache() == Path(expected)


@pytest.mark.parametrize("flora", [None, "~/data"], ids=["nothing set", "FLORA_CACHE below the home folder"])
def test_a_user_without_a_home_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, flora: str | None) -> None:
    def no_home(*paths: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("FLORA_CACHE", flora or "")
    monkeypatch.setattr(Path, "expanduser", no_home)
    monkeypatch.setattr(Path, "home", staticmethod(no_home))
    with pytest.raises(OutputError, match=r"^there is no home folder for the cache; name a folder in FLORA_CACHE$"):
        default_cache()
