"""A plugin for pytest under which TensorFlow cannot be imported, as on a device: -p tests.no_tensorflow"""

from __future__ import annotations

import sys
from collections.abc import Sequence

BANNED = ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization")


class Banned:
    """First in the line of those that find modules: it finds none of BANNED."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        if name.partition(".")[0] in BANNED:
            raise ModuleNotFoundError(f"No module named {name!r}, as on a device", name=name)


sys.meta_path.insert(0, Banned())
