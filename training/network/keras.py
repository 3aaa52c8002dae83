"""The one place that chooses Keras: import `tf` and `keras` from here, never directly.

tensorflow-model-optimization prunes and quantises Keras 2 models only, which live on as the package
`tf_keras`. TensorFlow decides between Keras 2 and 3 when it is first imported, so the switch must be set before.
"""

from __future__ import annotations

import importlib.util
import os
import sys

from edge.base.streams import quiet_stderr
from edge.errors import DependencyError

if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") not in {"1", "true", "True"}:
    raise DependencyError(
        "TensorFlow was imported before Flora and so chose Keras 3; expected Keras 2: "
        "import training.network.keras first, or set TF_USE_LEGACY_KERAS=1"
    )
for _package in ("tensorflow", "tf_keras"):
    if importlib.util.find_spec(_package) is None:
        raise DependencyError(
            f"{_package} is not installed; this verb needs it: pip install 'flora-edge[headless,train,export]'"
        )

os.environ["TF_USE_LEGACY_KERAS"] = "1"
# What is fatal comes as an exception too; the rest of the log is TensorFlow talking to itself.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

with quiet_stderr():  # its first greetings come before it has read the level
    import tensorflow as tf
    import tf_keras as keras

tf.get_logger().setLevel("ERROR")

__all__ = ["keras", "tf"]
