"""A photo cache that the tests of this room share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.fitting.epochs import SIZE
from tests.training.runs import Names
from training.fitting.cache import build_cache


@pytest.fixture(scope="session")
def cached(root: Path, names: Names, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of the photos in `root`. Not to be changed."""
    return build_cache(tmp_path_factory.mktemp("cached"), root, *names, SIZE)
