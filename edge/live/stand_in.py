"""A classifier in the place of another, for whoever has to change how or by which model frames are answered."""

from __future__ import annotations

from edge.contract.result import PictureClassifier, Result
from edge.picture.geometry import Picture


class StandIn:
    """Is called what the one is called that it stands for, knows what it knows, and hands on its answers."""

    def __init__(self, current: PictureClassifier) -> None:
        self._current = current

    @property
    def name(self) -> str:
        return self._current.name

    @property
    def labels(self) -> tuple[str, ...]:
        return self._current.labels

    @property
    def size(self) -> int:
        return self._current.size

    @property
    def remarks(self) -> tuple[str, ...]:
        return self._current.remarks

    @property
    def manifest_sha256(self) -> str | None:
        return self._current.manifest_sha256

    def __call__(self, frame_bgr: Picture) -> Result:
        return self._current(frame_bgr)

    def require_right_answers(self) -> None:
        self._current.require_right_answers()
