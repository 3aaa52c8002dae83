"""The switch to Keras 2: set in time, and told in one line when it is too late or a package is missing."""

from __future__ import annotations

import importlib.util
import runpy
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from edge.errors import DependencyError
from training import network

MODULE = str(Path(network.__file__).with_name("keras.py"))


def test_keras_is_version_2() -> None:
    from training.network.keras import keras, tf

    assert keras.__version__.startswith("2.")
    assert issubclass(keras.Model, tf.Module)


def test_tensorflow_that_came_first_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", types.ModuleType("tensorflow"))
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    with pytest.raises(DependencyError, match=r"expected Keras 2: import training\.network\.keras first, or set TF_"):
        runpy.run_path(MODULE)


@pytest.mark.parametrize("package", ["tensorflow", "tf_keras"])
def test_missing_package_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    find_spec = importlib.util.find_spec

    def without(name: str, *args: Any) -> Any:
        return None if name == package else find_spec(name, *args)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    with pytest.raises(DependencyError, match=rf"^{package} is not installed; .*pip install 'flora-edge\["):
        runpy.run_path(MODULE)
