"""The standard metadata, read back by the field numbers of the published schema, written out here once more."""

from __future__ import annotations

import pytest

from edge.tflite.flatbuffer import Table, root
from export.graph.metadata import About, model_metadata

ABOUT = About("flowers", "names five flowers", "0.1.0", "Ana Müller", "CC-BY-2.0")


def read(size: int = 224, *, has_evidence: bool = False) -> Table:
    return root(model_metadata(ABOUT, size, has_evidence=has_evidence), b"M001")


def tensors(field: int, *, has_evidence: bool = False) -> list[Table]:
    """The inputs (field 2) or outputs (field 3) of the only subgraph."""
    (subgraph,) = read(has_evidence=has_evidence).tables(3)
    return subgraph.tables(field)


def inner(table: Table, field: int) -> Table:
    found = table.table(field)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("field", "text"),
    [
        pytest.param(0, "flowers", id="name"),
        pytest.param(1, "names five flowers", id="description"),
        pytest.param(2, "0.1.0", id="version"),
        pytest.param(4, "Ana Müller", id="author"),
        pytest.param(5, "CC-BY-2.0", id="licence"),
        pytest.param(7, "1.0.0", id="oldest parser"),
    ],
)
def test_the_model_says_what_it_is(field: int, text: str) -> None:
    assert read().string(field) == text


@pytest.mark.parametrize("size", [32, 224])
def test_the_input_is_an_rgb_picture_of_the_size_of_the_model(size: int) -> None:
    (picture,) = read(size).tables(3)[0].tables(2)
    content = inner(picture, 3)
    image = inner(content, 1)
    size_wh = inner(image, 1)
    assert picture.string(0) == "image"
    assert f"{size} x {size}" in picture.string(1)
    assert content.scalar(0, "<b") == 2  # ImageProperties
    assert image.scalar(0, "<b") == 1  # RGB
    assert (size_wh.scalar(0, "<I"), size_wh.scalar(1, "<I")) == (size, size)


def test_the_input_is_normalised_to_minus_one_to_one() -> None:
    (picture,) = tensors(2)
    (unit,) = picture.tables(4)
    normalisation, stats = inner(unit, 1), inner(picture, 5)
    assert unit.scalar(0, "<b") == 1  # NormalizationOptions
    assert normalisation.scalars(0, "<f4").tolist() == [127.5]
    assert normalisation.scalars(1, "<f4").tolist() == [127.5]
    assert (stats.scalars(1, "<f4").tolist(), stats.scalars(0, "<f4").tolist()) == ([0], [255])  # least and greatest


def test_the_output_is_probabilities_with_their_labels_in_a_file() -> None:
    (probability,) = tensors(3)
    (file,) = probability.tables(6)
    stats = inner(probability, 5)
    assert probability.string(0) == "probability"
    assert "softmax, calibrated" in probability.string(1)
    assert inner(probability, 3).scalar(0, "<b") == 1  # FeatureProperties
    assert (stats.scalars(1, "<f4").tolist(), stats.scalars(0, "<f4").tolist()) == ([0], [1])
    assert (file.string(0), file.scalar(2, "<b")) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS


def test_a_map_is_the_second_output_and_has_no_labels_of_its_own() -> None:
    first, second = tensors(3, has_evidence=True)
    assert (first.string(0), second.string(0)) == ("probability", "evidence")
    assert second.tables(6) == []


def test_the_same_model_gives_the_same_bytes() -> None:
    assert model_metadata(ABOUT, 224) == model_metadata(ABOUT, 224)
