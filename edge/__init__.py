"""The light runtime: a `.tflite` file and a camera in, live answers out. numpy, OpenCV and LiteRT; never TensorFlow.

from edge import Classifier
classify = Classifier()  # the bundled flower model; another one: Classifier("flowers.tflite")
result = classify(frame_bgr)  # result.label, .probability, .probabilities, .is_unknown, .latency_ms

What a person can cause is raised as a FloraError with a message of one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.contract.result import Result
    from edge.errors import FloraError
    from edge.model.classifier import Classifier

    __version__: str

__all__ = ["Classifier", "FloraError", "Result", "__version__"]


def __getattr__(name: str) -> Any:
    """Import each when it is first asked for, so that `flora --help` needs neither OpenCV nor a runtime."""
    if name == "Classifier":
        from edge.model.classifier import Classifier

        return Classifier
    if name == "Result":
        from edge.contract.result import Result

        return Result
    if name == "FloraError":
        from edge.errors import FloraError

        return FloraError
    if name == "__version__":
        from importlib.metadata import version  # takes 15 ms to import, which a start can do without

        return version("flora-edge")
    raise AttributeError(f"module 'edge' has no attribute {name!r}")
