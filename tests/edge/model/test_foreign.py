"""Files from elsewhere: what is read from them, what is assumed, and what is refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge.errors import ModelError
from edge.model.foreign import NO_CARD, ForeignModel, read_foreign
from edge.model.interpreter import Border
from edge.model.metadata import standard_labels
from tests.edge.fakes import one_line
from tests.edge.model import strangers, tiny

FILES = {strangers.LABELS_FILE: strangers.LABELS_TEXT}
TOLD = strangers.with_metadata(tiny.flatbuffer(), strangers.told())


def met(content: bytes = TOLD, **entries: bytes) -> ForeignModel:
    """A file that is read; entries are given with `__` for the dot."""
    return read_foreign("m.tflite", content, {name.replace("__", "."): text for name, text in entries.items()} or FILES)


def refusal(content: bytes = TOLD, **entries: bytes) -> str:
    with pytest.raises(ModelError) as caught:
        met(content, **entries)
    message = one_line(caught)
    assert message.startswith("m.tflite: ")
    return message.removeprefix("m.tflite: ")


def with_told(**options: Any) -> bytes:
    return strangers.with_metadata(tiny.flatbuffer(), strangers.told(**options))


def test_the_metadata_tell_labels_normalisation_and_origin() -> None:
    texts = {0: "Colours", 1: "names\na colour", 2: "v2", 4: "someone", 5: "MIT \x1b[31m"}
    found = met(with_told(mean=(120, 121, 122), std=(60, 61, 62), texts=texts))
    assert found.labels == tiny.LABELS
    assert found.labels_file == strangers.LABELS_FILE
    assert found.border == Border((120.0, 121.0, 122.0), (60.0, 61.0, 62.0), is_logits=False)
    words = found.words
    assert (words.name, words.description, words.version) == ("Colours", "names a colour", "v2")
    assert (words.author, words.licence) == ("someone", "MIT ?[31m")
    assert found.missing == (NO_CARD,)


def test_without_metadata_the_only_text_file_is_the_list_of_labels() -> None:
    found = met(tiny.flatbuffer(), labels__txt=strangers.LABELS_TEXT, other__json=b"{}")
    assert (found.labels, found.labels_file) == (tiny.LABELS, "labels.txt")
    assert found.border == Border()
    assert found.missing[1].startswith("no standard metadata")
    assert "the text file inside lists the labels in the order of the output" in found.assumed


def test_of_several_text_files_the_only_one_that_fits_is_taken() -> None:
    found = met(tiny.flatbuffer(), readme__txt=b"one line\n", labels__txt=b"a\nb\nc")
    assert found.labels == ("a", "b", "c")


@pytest.mark.parametrize(
    ("content", "assumed"),
    [
        pytest.param(tiny.flatbuffer(), "pixels go in as they are, 0 to 255", id="uint8"),
        pytest.param(strangers.signed(), "pixels go in less 128, -128 to 127", id="int8"),
        pytest.param(
            tiny.flatbuffer(dtype="FLOAT32", output="FLOAT32"),
            "pixels go in as (pixel - 127.5) / 127.5, -1 to 1",
            id="float32",
        ),
    ],
)
def test_a_normalisation_that_is_not_told_is_assumed_and_said(content: bytes, assumed: str) -> None:
    assert assumed in met(content).assumed


@pytest.mark.parametrize(
    ("mean", "std", "doubt"), [(127.5, 127.5, False), (0, 1, False), (0, 255, True), (127.5, 64, True)]
)
def test_metadata_that_contradict_the_quantisation_are_said(mean: float, std: float, doubt: bool) -> None:
    sentence = next(text for text in met(with_told(mean=(mean,), std=(std,))).assumed if "pixels" in text)
    assert ("another normalisation" in sentence) == doubt


def test_an_output_without_a_softmax_is_taken_for_logits() -> None:
    found = met(strangers.logits(tiny.flatbuffer()))
    assert found.border.is_logits
    assert "what comes out are logits (of MEAN), so a softmax is added" in found.assumed
    assert not met(tiny.flatbuffer(output="FLOAT32")).border.is_logits  # its softmax is behind a DEQUANTIZE


def test_scores_of_each_class_by_itself_stay_as_they_are() -> None:
    def sigmoid(model: Any, schema: Any) -> None:
        model.operatorCodes[1].builtinCode = model.operatorCodes[1].deprecatedBuiltinCode = 14  # LOGISTIC
        model.subgraphs[0].operators[1].builtinOptionsType = 0
        model.subgraphs[0].operators[1].builtinOptions = None

    found = met(strangers.edited(tiny.flatbuffer(), sigmoid))
    assert not found.border.is_logits
    assert any("LOGISTIC" in text for text in found.assumed)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        pytest.param(b"a\r\nb\r\nc\r\n", ("a", "b", "c"), id="line ends of Windows"),
        pytest.param(b"\xef\xbb\xbfa\nb\nc", ("a", "b", "c"), id="byte order mark"),
        pytest.param(b"a\n\nc\n\n\n", ("a", "class 1", "c"), id="a line without a name"),
        pytest.param(b"a\nb\na\n", ("a", "b", "a"), id="a name twice"),
        pytest.param("tulipe\nœillet\nлилия\n".encode(), ("tulipe", "œillet", "лилия"), id="any language"),
    ],
)
def test_labels_are_one_a_line(text: bytes, labels: tuple[str, ...]) -> None:
    found = met(names__txt=text)
    assert found.labels == labels
    assert any("labels that occur twice (1 do)" in said for said in found.assumed) == (labels[0] == labels[2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            b"a\nb\n", "'names.txt' inside has 2 labels, its output has 3 classes; expected as many", id="few"
        ),
        pytest.param(
            b"background\n" + strangers.LABELS_TEXT, "'names.txt' inside has 4 labels, its output has 3", id="1"
        ),
        pytest.param(b"", "'names.txt' inside has 0 labels, its output has 3 classes", id="empty"),
        pytest.param(b"a\n\x1b]0;b\nc", "a label inside is '\\x1b]0;b'; expected a line of text", id="escape"),
        pytest.param(b"a\n" + b"b" * 999 + b"\nc", "a label inside is 'bbb", id="endless"),
        pytest.param(b"a\n\xff\nc", "'names.txt' inside is not UTF-8 text", id="not UTF-8"),
    ],
)
def test_labels_that_do_not_fit_are_refused(text: bytes, message: str) -> None:
    assert refusal(names__txt=text).startswith(message)


def test_the_only_text_file_must_fit_all_the_same() -> None:
    assert refusal(tiny.flatbuffer(), names__txt=b"a\nb\n").startswith(
        "'names.txt' inside has 2 labels, its output has 3"
    )


def test_a_file_without_labels_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^m: no labels and no card inside, or its end is cut off; copy it again, or"):
        read_foreign("m", tiny.flatbuffer(), {})


def test_labels_that_the_metadata_name_must_be_inside() -> None:
    assert refusal(labels__txt=strangers.LABELS_TEXT).startswith(
        "its metadata name the labels 'names.txt', which is not"
    )


def test_text_files_of_which_two_fit_are_refused() -> None:
    assert refusal(tiny.flatbuffer(), a__txt=b"a\nb\nc", b__txt=b"c\nb\na").startswith(
        "2 text files inside, 2 of them with 3 lines; expected one list of labels"
    )


def test_a_file_of_ours_that_lost_its_card_is_refused() -> None:
    content = strangers.described(tiny.flatbuffer(), "Flora 0.1 int8")
    assert refusal(content) == "written by Flora, but its card is cut off; copy it again"


@pytest.mark.parametrize(
    ("mean", "std"),
    [((0,), (0,)), ((np.nan,), (1,)), ((0, 0), (1, 1)), ((0,), (1, 1, 1)), ((0,), ()), ((0,), (np.inf,))],
    ids=["std 0", "not a number", "two channels", "lengths differ", "no std", "infinite"],
)
def test_an_impossible_normalisation_is_refused(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    message = refusal(with_told(mean=mean, std=std))
    assert message.startswith("its metadata normalise by mean [")
    assert "expected one or three numbers each, std not 0" in message


@pytest.mark.parametrize("damage", [b"", b"\0" * 8, strangers.told()[:40], b"\xff" * 4 + strangers.told()[4:]])
def test_damaged_metadata_are_refused(damage: bytes) -> None:
    content = strangers.with_metadata(tiny.flatbuffer(), damage)
    assert refusal(content).startswith("its metadata are damaged (")
    with pytest.raises(ModelError, match="its metadata are damaged"):
        standard_labels("m", content, FILES)


def test_an_output_that_is_no_vector_is_refused() -> None:
    def widen(model: Any, schema: Any) -> None:
        for tensor in model.subgraphs[0].tensors[2:]:
            tensor.shape = [2, 3]

    assert refusal(strangers.edited(tiny.flatbuffer(), widen)).startswith(
        "its output is [2, 3]; expected one [1, classes]"
    )


def test_a_damaged_flatbuffer_is_refused() -> None:
    assert "damaged" in refusal(b"\xff\xff\xff\x7f" + tiny.flatbuffer()[4:])
