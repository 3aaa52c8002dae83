"""flora predict: names what is on photos, and says in one line what it cannot use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract.result import Result
from edge.verbs import predict
from tests.edge.conftest import Flora
from tests.edge.fakes import FakeClassifier
from tests.edge.model import tiny


def records(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_photo_is_named_with_its_best_labels_and_bars(flora: Flora, model: Path, photos: Path) -> None:
    photo = photos / "green" / "1.png"
    found = flora("predict", "--model", model, photo)
    assert (found.code, found.err) == (0, "")
    first, *ranked = found.out.splitlines()
    assert first == f"{photo}: green"
    assert [line.split()[:2] for line in ranked] == [["green", "99.6%"], ["red", "0.0%"], ["blue", "0.0%"]]
    assert ranked[0].endswith("#" * 30)


def test_without_a_model_the_bundled_one_is_introduced_and_asked(flora: Flora, bundled: Path, photos: Path) -> None:
    found = flora("predict", photos / "green" / "1.png", "--json")
    assert (found.code, records(found.out)[0]["answer"]) == (0, "green")
    assert found.err == (
        "no model named: the bundled colours.tflite knows red, green, blue; top-1 90.0% of 100 held-out photos\n"
    )


def test_without_a_bundled_model_one_must_be_named(flora: Flora, no_bundled: str, photos: Path) -> None:
    assert flora("predict", photos).error == no_bundled


def test_the_bundled_model_has_no_map_to_draw(flora: Flora, bundled: Path, photos: Path, tmp_path: Path) -> None:
    found = flora("predict", photos / "red/1.png", "--evidence", tmp_path / "where.png")
    assert found.err.splitlines()[-1].startswith(f"flora: {bundled.name}: has no class evidence map; ")


def test_json_is_one_object_per_photo_and_nothing_else(flora: Flora, model: Path, photos: Path) -> None:
    found = flora("predict", "--model", model, photos, "--json", "--top", "2")
    assert (found.code, found.err) == (0, "")
    first, *_, last = records(found.out)
    assert len(records(found.out)) == 6
    assert (first["photo"], first["answer"], first["unknown"]) == (str(photos / "blue" / "1.png"), "blue", False)
    assert first["top"] == [{"label": "blue", "probability": 0.996094}, {"label": "red", "probability": 0.0}]
    assert (last["photo"], last["answer"]) == (str(photos / "red" / "2.jpg"), "blue")


def test_photos_folders_and_globs_come_in_the_order_they_were_named(flora: Flora, model: Path, photos: Path) -> None:
    found = flora(
        "predict", "--model", model, photos / "red" / "1.png", photos / "green", f"{photos}/b*/*.png", "--json"
    )
    names = [Path(str(record["photo"])).relative_to(photos).as_posix() for record in records(found.out)]
    assert names == ["red/1.png", "green/1.png", "green/2.jpg", "blue/1.png"]


def test_below_the_threshold_the_answer_is_unknown(flora: Flora, model: Path, tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    cv2.imwrite(str(grey), np.full((40, 40, 3), 128, np.uint8))
    found = flora("predict", "--model", model, "--threshold", "0.5", grey, "--json")
    assert found.code == 0
    (record,) = records(found.out)
    assert (record["answer"], record["unknown"]) == ("unknown", True)
    assert record["nearest"] == record["top"][0]
    assert flora("predict", "--model", model, "--threshold", "0.5", grey).out.startswith(
        f"{grey}: nothing known (nearest: "
    )


def test_a_class_of_other_things_is_nothing_known_to_a_person(flora: Flora, tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "m.tflite", labels=("unknown", "green", "blue"))
    photo = tiny.write_photo(tmp_path / "red.png", "red")
    first, bar, *_ = flora("predict", "--model", model, photo).out.splitlines()
    assert first == f"{photo}: nothing known (nearest: green 0.00)"
    assert bar.startswith("  nothing known   99.6%  #")
    (record,) = records(flora("predict", "--model", model, photo, "--json").out)
    assert (record["answer"], record["top"][0]["label"]) == ("unknown", "unknown")
    assert record["nearest"] == {"label": "green", "probability": 0.0}


def test_one_bad_photo_among_many_is_told_and_the_others_are_answered(flora: Flora, model: Path, photos: Path) -> None:
    (photos / "green" / "0.jpg").write_bytes(b"no picture\n" * 20)
    found = flora("predict", "--model", model, photos / "green", "--json")
    assert found.code == 1
    assert [record["answer"] for record in records(found.out)] == ["green", "green"]
    told, failed = found.err.splitlines()
    assert told.startswith(f"left out {photos}/green/0.jpg: not a readable picture")
    assert failed.startswith(f"flora: 1 of 3 photos could not be read, the first: {photos}/green/0.jpg: not a readable")


def jpeg() -> bytes:
    return cv2.imencode(".jpg", tiny.plain("red", (64, 48)))[1].tobytes()


def png() -> bytes:
    return cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "the file is empty; expected", id="empty"),
        pytest.param(b"just text\n" * 9, "not a readable picture; expected JPEG, PNG, BMP or WebP", id="text"),
        pytest.param(b"BM" + bytes(60), "not a readable picture", id="a BMP header alone"),
        pytest.param(b"GIF89a" + bytes(30), "not a readable picture", id="a GIF header alone"),
        pytest.param(b"II*\x00" + b"\xff" * 30, "not a readable picture", id="a TIFF header alone"),
        pytest.param(jpeg()[:-40], "cut short: a JPEG without its end marker", id="a cut JPEG"),
        pytest.param(png()[:100] + b"!" + png()[101:], "damaged: a PNG whose checksum is wrong", id="a damaged PNG"),
    ],
)
def test_an_image_that_is_none_is_one_line(
    data: bytes, message: str, flora: Flora, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    found = flora("predict", "--model", model, path)
    assert found.code == 1
    assert found.error.startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.jpg", "gone.jpg: no such file; expected a photo, a folder of photos, or a quoted glob"),
        ("empty", "empty: no photo there; expected JPEG, PNG, BMP or WebP files"),
        ("*.jpg", "*.jpg: no photo there; expected JPEG, PNG, BMP or WebP files"),
    ],
)
def test_no_photo_is_one_line(name: str, message: str, flora: Flora, model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = flora("predict", "--model", model, tmp_path / name)
    assert found.code == 1
    assert found.error == f"{tmp_path}/{message}"


def test_a_photo_named_in_two_lines_is_told_in_one(flora: Flora, model: Path, tmp_path: Path) -> None:
    assert "two\\nlines.jpg: no such file" in flora("predict", "--model", model, tmp_path / "two\nlines.jpg").error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--top", "0"], "--top 0: expected 1 or more"),
        (["--threshold", "2"], "--threshold 2.0: expected a score from 0 (never unknown) to 1"),
    ],
)
def test_impossible_options_are_one_line(
    options: list[str], message: str, flora: Flora, model: Path, photos: Path
) -> None:
    found = flora("predict", "--model", model, photos, *options)
    assert found.code == 2
    assert found.error == message


def test_no_model_is_one_line(flora: Flora, photos: Path, tmp_path: Path) -> None:
    found = flora("predict", "--model", tmp_path / "gone.tflite", photos)
    assert found.code == 1
    assert found.error == f"{tmp_path}/gone.tflite: no such file; expected a .tflite file written by: flora export"


class WithMap(FakeClassifier):
    """A classifier of greys that finds evidence for "red" at the top left alone."""

    labels = tiny.LABELS
    name = "mapped.tflite"
    size = tiny.SIZE

    def __call__(self, frame_bgr: NDArray[np.uint8]) -> Result:
        evidence = np.full((4, 4, 3), -1, np.float32)
        evidence[0, 0, 0] = 3
        return Result(self.labels, np.array([0.8, 0.1, 0.1], np.float32), 0.0, 0.0, evidence=evidence)


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a model that puts out a class evidence map."""
    monkeypatch.setattr(predict, "open_classifier", lambda model, threshold: WithMap())
    return WithMap.name


def grey(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.full((80, 120, 3), 90, np.uint8))
    return path


def is_drawn_over(path: Path) -> list[bool]:
    """Whether the top left and the bottom right of the centre square are other than grey."""
    drawn = cv2.imread(str(path))
    assert drawn is not None
    assert drawn.shape == (80, 120, 3)
    return [abs(drawn[y, x].astype(int) - 90).max() > 10 for y, x in ((8, 28), (70, 90))]


@pytest.mark.parametrize("name", ["where.png", "where.JPG"])
def test_evidence_of_one_photo_is_drawn_to_a_file(name: str, flora: Flora, mapped: str, tmp_path: Path) -> None:
    photo, out = grey(tmp_path / "a.png"), tmp_path / "new" / name
    found = flora("predict", "--model", mapped, photo, "--evidence", out)
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines()[-1] == f"  where: {out}"
    assert is_drawn_over(out) == [True, False]


def test_evidence_of_several_photos_is_drawn_to_a_folder(flora: Flora, mapped: str, tmp_path: Path) -> None:
    photos = [grey(tmp_path / folder / "1.png") for folder in ("x", "y")]
    found = flora("predict", "--model", mapped, *photos, "--evidence", tmp_path / "maps", "--json")
    drawn = [tmp_path / "maps" / "0001-1.png", tmp_path / "maps" / "0002-1.png"]
    assert [record["evidence"] for record in records(found.out)] == list(map(str, drawn))
    assert sorted((tmp_path / "maps").iterdir()) == drawn
    assert is_drawn_over(drawn[1]) == [True, False]


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("where.png", 2, "where.png: one picture for 2 photos; expected a folder"),
        ("where.bmp", 1, "where.bmp: expected .png, .jpg, .jpeg, or a folder"),
        ("0.png", 1, "0.png: the photo itself; expected another name, or it would be lost"),
    ],
)
def test_a_place_that_the_evidence_does_not_fit_is_refused(
    name: str, count: int, message: str, flora: Flora, mapped: str, tmp_path: Path
) -> None:
    photos = [grey(tmp_path / f"{number}.png") for number in range(count)]
    found = flora("predict", "--model", mapped, *photos, "--evidence", tmp_path / name)
    assert (found.code, found.error) == (2, f"--evidence {tmp_path}/{message}")


def test_a_place_that_cannot_be_written_to_is_one_line(flora: Flora, mapped: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    found = flora("predict", "--model", mapped, grey(tmp_path / "a.png"), "--evidence", tmp_path / "file")
    assert found.error.startswith(f"{tmp_path}/file/0001-a.png: cannot be written (")


def test_a_model_without_a_map_says_how_to_get_one(flora: Flora, model: Path, photos: Path, tmp_path: Path) -> None:
    found = flora("predict", "--model", model, photos / "red/1.png", "--evidence", tmp_path / "where.png")
    assert found.error.startswith(f"{model}: has no class evidence map; ")
    assert not (tmp_path / "where.png").exists()
