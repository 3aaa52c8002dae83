"""The standard metadata of a model file, whoever wrote it; what else they say is tested with foreign files."""

from __future__ import annotations

import pytest

from edge.errors import ModelError
from edge.model.metadata import Words, read_words, standard_labels
from tests.edge.model import strangers, tiny

FILES = {strangers.LABELS_FILE: b"x\ny\n"}
TOLD = strangers.with_metadata(tiny.flatbuffer(), strangers.told())


def test_the_standard_labels_of_a_file_of_ours_can_be_compared() -> None:
    assert standard_labels("m", TOLD, FILES) == ("x", "y")
    silent = strangers.with_metadata(tiny.flatbuffer(), strangers.told(labels_file=""))
    assert standard_labels("m", silent, FILES) is None
    assert standard_labels("m", tiny.flatbuffer(), FILES) is None
    with pytest.raises(ModelError, match="which is not inside"):
        standard_labels("m", TOLD, {})


def test_a_file_without_metadata_says_nothing() -> None:
    assert read_words("m", None, 0) == Words()


def test_normalisation_and_labels_are_read_as_told() -> None:
    found = read_words("m", strangers.told(mean=(1.0, 2.0, 3.0), std=(4.0,) * 3), 0)
    assert (found.mean, found.std, found.labels_file) == ((1.0, 2.0, 3.0), (4.0,) * 3, strangers.LABELS_FILE)


@pytest.mark.parametrize(
    ("mean", "std"), [((0.0,), (0.0,)), ((0.0, 0.0), (1.0, 1.0)), ((float("nan"),), (1.0,))], ids=str
)
def test_an_impossible_normalisation_is_refused(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(ModelError, match="m: its metadata normalise by mean"):
        read_words("m", strangers.told(mean=mean, std=std), 0)
