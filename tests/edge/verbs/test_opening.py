"""What a person names as a model: a file, a run, or nothing at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge import Classifier
from edge.errors import UsageError
from edge.verbs.opening import open_classifier
from tests.edge.model import tiny


def test_a_model_file_is_opened_by_its_path(model: Path) -> None:
    assert isinstance(open_classifier(str(model), threads=1), Classifier)


def test_threads_are_checked_whatever_the_model() -> None:
    with pytest.raises(UsageError, match="--threads 0"):
        open_classifier("imagenet", threads=0)


def test_a_threshold_and_threads_hold_for_the_bundled_model_too(bundled: Path) -> None:
    assert open_classifier(None, threshold=1.0)(tiny.plain("red")).is_unknown
    with pytest.raises(UsageError, match="--threads 0"):
        open_classifier(None, threads=0)
