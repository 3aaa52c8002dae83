"""What earlier versions wrote is read as they read it, and what a later one might write, but for a new major format.

tests/fixtures holds a folder for each version, made by it with tests/making/fixtures.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.cli import main
from edge.errors import FloraError, ModelError
from edge.model.card import CARD, read_model
from edge.model.golden import TOLERANCE
from edge.picture.png import note_of, with_note
from edge.sinks.recording.journal import JOURNAL
from edge.tflite.archive import appended, halves
from export.opening.finished_run import open_run
from export.slimming import slimming
from export.slimming.latency import LatencyTable
from export.slimming.slimming import Slimming
from export.teaching import teacher
from export.teaching.lessons import DONE, Lessons
from export.teaching.teacher import Teacher
from tests.making.fixtures import ANSWERS, LINES, PLAN, READERS, REPLAYED
from training.fitting import cache

FOLDERS = sorted(path.parent for path in (Path(__file__).parent / "fixtures").glob(f"*/{ANSWERS}"))
LATER = {"steps": [1, None]}  # a field of tomorrow
TOLD = "holds what this Flora does not know and leaves as it is: "


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what one version wrote; the working folder, for its run says where its photos are from there."""
    copy = tmp_path / "fixtures"
    shutil.copytree(request.param, copy)
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def answers(folder: Path) -> dict[str, Any]:
    """What that version read itself."""
    return dict(json.loads((folder / ANSWERS).read_text()))


def require_alike(found: Any, expected: Any, where: str = "") -> None:
    """Equal, but for probabilities, which may differ as on two devices, and the last digits of other figures."""
    if isinstance(expected, dict):
        assert set(found) == set(expected), where
        for name in expected:
            require_alike(found[name], expected[name], f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            require_alike(one, other, f"{where}[{number}]" if "probabilities" not in where else where)
    elif isinstance(expected, float):
        tolerance = TOLERANCE if where.endswith("probabilities") else 1e-6
        assert found == pytest.approx(expected, rel=1e-5, abs=tolerance), where
    else:
        assert found == expected, where


MAKERS = (cache, "_write_shards"), (slimming, "rank"), (teacher, "epoch_batches"), (Lessons, "batches")


def read(kind: str, folder: Path) -> Any:
    """As JSON has it. Nothing that was kept is made again: no photo decoded, no channel ranked, nobody asked or taught.

    But for the run that is there to be gone on with.
    """
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in MAKERS if kind != "interrupted" else ():
            patch.setattr(owner, name, lambda *_, **__: pytest.fail("made again"))
        return json.loads(json.dumps(READERS[kind](folder)))


def test_there_are_fixtures() -> None:
    assert FOLDERS


@pytest.mark.parametrize("kind", READERS)
def test_what_an_earlier_version_wrote_is_read_as_it_read_it(
    kind: str, folder: Path, answers: dict[str, Any]
) -> None:  # fmt: skip
    require_alike(read(kind, folder), answers[kind])


def test_a_recording_of_an_earlier_version_replays_byte_for_byte(folder: Path) -> None:
    READERS["recording"](folder)
    assert (folder / REPLAYED).read_bytes() == (folder / "recording" / LINES).read_bytes()


# What a later version might write

Change = Callable[[dict[str, Any]], object]


def in_json(path: Path, change: Change) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))


def in_card(folder: Path, change: Change) -> None:
    path = folder / "flowers.tflite"
    flatbuffer, entries = halves(path, path.read_bytes())
    card = json.loads(entries[CARD])
    change(card)
    path.write_bytes(appended(flatbuffer, entries | {CARD: json.dumps(card).encode()}))


def in_npz(path: Path, name: str, change: Change) -> None:
    """In the JSON text that is one of an archive's arrays."""
    with np.load(path) as file:
        arrays: dict[str, Any] = dict(file)
    content = json.loads(str(arrays[name]))
    change(content)
    np.savez(path, **(arrays | {name: np.array(json.dumps(content))}))


def in_journal(folder: Path, key: str, change: Change) -> None:
    """In every line of a recording that is of this kind."""
    path = folder / "recording" / JOURNAL
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if key in line:
            change(line[key])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def in_table(folder: Path, change: Change) -> None:
    in_json(folder / "table.json", change)


def in_answers(folder: Path, change: Change) -> None:
    in_journal(folder, "answer", change)


def in_events(folder: Path, change: Change) -> None:
    in_journal(folder, "event", change)


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


# By name: which reader reads it, how it is changed, a field that may be missing.
DOCUMENTS: dict[str, tuple[str, Callable[[Path, Change], None], str]] = {
    "config": ("run", lambda folder, change: in_json(folder / "run/config.json", change), "threads"),
    "state": ("run", lambda folder, change: in_npz(folder / "run/checkpoint/state.npz", "progress", change), "epoch"),
    "card": ("model", in_card, "multiply_adds"),
    "session": ("recording", lambda folder, change: in_journal(folder, "session", change), "labels"),
    "table": ("table", in_table, "machine"),
    "lessons": ("work", lambda folder, change: in_json(only(folder, f"work/*/lessons/{DONE}"), change), "mixing"),
    "shape": ("work", lambda folder, change: in_npz(only(folder, "work/*/shape-*.npz"), "shape", change), "harm"),
}


def of_format(content: dict[str, Any], major_step: int, minor: int) -> None:
    """Change the format, which is a number, or one behind a name, or not there yet and so the first."""
    name, dash, number = str(content.get("format", 1)).rpartition("-")
    content["format"] = f"{name}{dash}{int(number.partition('.')[0]) + major_step}.{minor}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_field_more_changes_nothing(document: str, folder: Path, answers: dict[str, Any]) -> None:
    kind, change, _ = DOCUMENTS[document]
    change(folder, more())
    found = read(kind, folder)
    if document == "session":
        assert found.pop("warnings") == [f"{folder / 'recording' / JOURNAL}: {TOLD}session.later"]
        del answers[kind]["warnings"]
    require_alike(found, answers[kind])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_field_less_changes_nothing(document: str, folder: Path, answers: dict[str, Any]) -> None:
    kind, change, name = DOCUMENTS[document]
    change(folder, lambda content: content.pop(name))
    found = read(kind, folder)
    if document == "config":
        assert answers[kind]["config"].pop(name) == 0  # the reader names those that are written
    require_alike(found, answers[kind])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_newer_minor_format_changes_nothing(document: str, folder: Path, answers: dict[str, Any]) -> None:
    kind, change, _ = DOCUMENTS[document]
    change(folder, lambda content: of_format(content, 0, 7))
    require_alike(read(kind, folder), answers[kind])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_newer_major_format_is_refused_in_one_line(document: str, folder: Path) -> None:
    kind, change, _ = DOCUMENTS[document]
    change(folder, lambda content: of_format(content, 1, 0))
    with pytest.raises(FloraError, match=r"is of format \d\.0, this Flora reads format \d; update Flora") as caught:
        read(kind, folder)
    assert "\n" not in str(caught.value)


def more(*path: str | int) -> Change:
    """A field more in what lies at `path`."""

    def change(content: dict[str, Any]) -> None:
        found: Any = content
        for step in path:
            found = found[step]
        found["later"] = LATER

    return change


@pytest.mark.parametrize(
    ("kind", "document", "change"),
    [
        *(
            pytest.param("model", in_card, more(*path), id=f"{path[0]} of the card")
            for path in (("accuracy",), ("calibration",), ("rejection",), ("golden", 0))
        ),
        pytest.param("model", in_card, lambda card: card["accuracy"].pop("low"), id="accuracy, less"),
        pytest.param("table", in_table, more("rows", 3), id="row of a table"),
        pytest.param("table", in_table, more("networks", 0), id="network of a table"),
        pytest.param("recording", in_answers, more(), id="answer"),
        pytest.param("recording", in_answers, lambda answer: answer.pop("shown"), id="answer, less"),
        pytest.param("recording", in_events, more(), id="event"),
    ],
)
def test_a_nested_field_more_or_less_changes_nothing(
    kind: str, document: Callable[[Path, Change], None], change: Change, folder: Path, answers: dict[str, Any]
) -> None:
    document(folder, change)
    found = read(kind, folder)
    told = {"warnings", "accuracy"} & set(found)  # what is changed here, and what is said of it
    require_alike(found | dict.fromkeys(told), answers[kind] | dict.fromkeys(told))


def test_columns_more_and_less_of_a_manifest_change_nothing(folder: Path, answers: dict[str, Any]) -> None:
    path = folder / "run" / "manifest.csv"
    header, *rows = [line.split(",")[:-2] for line in path.read_text().splitlines()]  # without width and height
    path.write_text("".join(",".join(row) + "\n" for row in [["camera", *header], *(["attic", *row] for row in rows)]))
    found = read("run", folder)
    assert [row[:4] for row in found["photos"]] == [row[:4] for row in answers["run"]["photos"]]
    require_alike(found["probabilities"], answers["run"]["probabilities"], "probabilities")


def test_a_note_with_more_and_less_says_the_rest(folder: Path, answers: dict[str, Any]) -> None:
    for path in folder.glob("uncertain/*/**/*.png"):
        data = path.read_bytes()
        note = note_of(data)
        assert note is not None
        del note["source"], note["frame"], note["mark"]
        path.write_bytes(with_note(data, note | {"later": LATER}))  # the first one counts
    require_alike(read("uncertain", folder), answers["uncertain"])


def test_a_file_with_fields_more_proves_itself_and_keeps_them(folder: Path) -> None:
    in_card(folder, more())
    in_card(folder, more("golden", 1))
    path = folder / "flowers.tflite"
    card = read_model(path).card
    assert card is not None
    assert card.others == {"later": LATER}
    assert card.golden[1].others == {"later": LATER}
    assert main(["inspect", str(path)]) == 0


# What is not known is told once


@pytest.fixture
def told(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """The lines that `flora ...` says of what it does not know."""

    def call(*arguments: str) -> list[str]:
        capsys.readouterr()
        with suppress(KeyboardInterrupt):
            main(list(arguments))
        captured = capsys.readouterr()
        return [line for line in (captured.out + captured.err).splitlines() if "not know" in line]

    return call


def test_what_is_not_known_of_a_file_is_told_once(folder: Path, told: Callable[..., list[str]]) -> None:
    in_card(folder, lambda card: card.update({"later\x1b[2J": 1}))
    in_card(folder, more("accuracy"))
    line = f"flowers.tflite: its card: {TOLD}later?[2J, accuracy.later"
    photo = "photos/daisy/0.jpg"
    assert told("predict", "--model", "flowers.tflite", photo) == [line]
    assert told("run", "flowers.tflite", "--source", photo) == [line]
    assert told("evaluate", "flowers.tflite", "photos") == [line]
    (row,) = told("inspect", "flowers.tflite")
    expected = "besides later\\x1b[2J, accuracy.later: not known to this Flora, left as it is"
    assert row.split() == expected.split()


def test_what_is_not_known_of_a_run_is_told_once(
    folder: Path, told: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_json(folder / "run/config.json", more())
    line = f"run/config.json: {TOLD}later"
    assert told("predict", "--model", "run", "photos/daisy/0.jpg") == [line]
    assert told("evaluate", "run") == [line]
    lines: list[str] = []
    open_run(Path("run"), tell=lines.append)
    assert lines == [line]

    def stop(*_: Any) -> Any:
        raise ModelError("enough")

    monkeypatch.setattr("training.verbs.train._train", stop)
    assert told("train", "--resume", "run") == [line]


def test_what_is_not_known_of_kept_work_is_told(folder: Path) -> None:
    for document in ("shape", "lessons"):
        DOCUMENTS[document][1](folder, more())
    lines: list[str] = []
    kept = Teacher(open_run(folder / "run"), PLAN, folder / "cache", folder / "work", tell=lines.append)
    Slimming(kept).shape(LatencyTable.read(folder / "table.json"), None)
    assert kept.lessons().course.others == {"later": LATER}
    assert lines == [f"{only(folder, pattern)}: {TOLD}later" for pattern in ("work/*/shape-*.npz", "work/*/lessons")]


def test_what_is_not_known_of_a_recording_is_told_once(folder: Path, told: Callable[..., list[str]]) -> None:
    in_answers(folder, more())
    model = "recording/colours.tflite"
    assert told("run", model, "--replay", "--source", "recording") == [f"recording/{JOURNAL}: {TOLD}answer.later"]
