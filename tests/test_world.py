"""Our files in programs that know nothing of Flora: MediaPipe Tasks, and LiteRT's newer CompiledModel.

FLORA_MEDIAPIPE_ENV  Python of an environment with mediapipe; it needs the system's libEGL and libGLESv2
"""

from __future__ import annotations

import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.model import golden
from edge.model.classifier import BUNDLED, Classifier
from edge.model.interpreter import Interpreter
from edge.picture.geometry import model_input, read_photo
from export.graph import edit
from export.graph.metadata import About
from tests.drills.live_agreement import held_out
from tests.drills.mediapipe_agreement import LEAST_AGREEMENT, agreement, mediapipe_answers
from tests.edge.model import tiny
from tests.road import Road

ABOUT = About("colours", "names the colour of a picture", "1", "nobody", "CC0-1.0")


@pytest.fixture(scope="module")
def finished() -> bytes:
    """The flatbuffer of the colour model as export would finish it."""
    return edit.finish(tiny.flatbuffer(), tiny.LABELS, ABOUT)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """A picture of each colour, and one of a paler red, of the model's own size."""
    frames = [tiny.plain(colour) for colour in tiny.LABELS]
    frames.append(np.full((tiny.SIZE, tiny.SIZE, 3), (110, 120, 180), np.uint8))
    paths = [tmp_path / f"{number}.png" for number in range(len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        cv2.imwrite(str(path), frame)
    return paths


@pytest.mark.device
def test_mediapipe_reads_labels_and_probabilities_as_we_do(
    mediapipe_python: Path, finished: bytes, pictures: list[Path], tmp_path: Path
) -> None:
    model = tiny.write_model(tmp_path / "colours.tflite", finished)
    classify = Classifier(model)
    expected = [classify(read_photo(path)) for path in pictures]
    for (head, label, probability), ours in zip(
        mediapipe_answers(mediapipe_python, model, pictures), expected, strict=True
    ):
        assert head == "probability"
        assert label == ours.label
        assert probability == pytest.approx(ours.probability, abs=1 / 256)


@pytest.mark.device
def test_mediapipe_loads_the_bundled_model_and_gives_its_golden_answers(mediapipe_python: Path, tmp_path: Path) -> None:
    classify = Classifier()
    assert classify.card is not None
    cases, paths = classify.card.golden, []
    for number, case in enumerate(cases):
        picture = model_input(golden.frame(case), classify.size)
        paths.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(paths[-1]), np.ascontiguousarray(picture[..., ::-1]))
    answers = mediapipe_answers(mediapipe_python, BUNDLED, paths)
    for (_, label, probability), case in zip(answers, cases, strict=True):
        assert label == max(case.answers, key=case.answers.__getitem__)
        assert probability == pytest.approx(case.answers[label], abs=golden.TOLERANCE)


@pytest.mark.device
def test_mediapipe_refuses_labels_that_are_compressed(
    mediapipe_python: Path, finished: bytes, pictures: list[Path], tmp_path: Path
) -> None:
    """Why our zip is stored and not deflated."""
    model = tmp_path / "deflated.tflite"
    model.write_bytes(finished)
    with zipfile.ZipFile(model, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", "\n".join(tiny.LABELS) + "\n")
    with pytest.raises(RuntimeError, match="Expected uncompressed zip archive"):
        mediapipe_answers(mediapipe_python, model, pictures)


@pytest.mark.photos
@pytest.mark.device
def test_mediapipe_names_held_out_photos_as_flora_predict_does(
    mediapipe_python: Path, road: Road, tmp_path: Path
) -> None:
    shares = agreement(mediapipe_python, road.model, held_out(road.run), tmp_path)
    assert shares["cropped"] >= LEAST_AGREEMENT, shares
    assert shares["native"] > 0, shares  # only reported: MediaPipe squeezes what we crop


def test_the_compiled_model_answers_as_the_interpreter_does(finished: bytes, tmp_path: Path) -> None:
    path = tiny.write_model(tmp_path / "colours.tflite", finished)
    compiled_model: Any = import_module("ai_edge_litert.compiled_model").CompiledModel
    interpreter, draws = Interpreter(finished, "colours"), np.random.default_rng(0)
    with compiled_model.from_file(str(path)) as model:
        assert model.get_signature_list() == {"serving_default": {"inputs": ["pixels"], "outputs": ["probabilities"]}}
        inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
        for tint in draws.integers(0, 256, (10, 3)):
            picture = np.clip(tint + draws.normal(0, 40, (tiny.SIZE, tiny.SIZE, 3)), 0, 255).astype(np.uint8)
            inputs[0].write(picture[None])
            model.run_by_index(0, inputs, outputs)
            answer = outputs[0].read(len(tiny.LABELS), np.uint8) / np.float32(256)
            np.testing.assert_array_equal(answer, interpreter(picture))
