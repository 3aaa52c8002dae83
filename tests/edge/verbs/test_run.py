"""flora run: live answers, a clean stop, and every kind of bad input in one line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge.model.golden import GoldenCase
from edge.picture.png import group_of
from edge.tflite.archive import appended
from tests.edge.conftest import Flora
from tests.edge.model import tiny

ROOT = Path(__file__).resolve().parents[3]


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_is_one_object_per_frame_and_nothing_else_on_stdout(flora: Flora, model: Path, photos: Path) -> None:
    found = flora("run", model, "--source", photos / "red", "--json")
    assert found.code == 0
    first, second = records(found.out)
    assert (first["name"], first["label"], first["frame"], first["unknown"]) == ("1.png", "red", 0, False)
    assert (second["name"], second["label"], second["frame"]) == ("2.jpg", "blue", 1)
    assert set(first["probabilities"]) == set(tiny.LABELS)
    assert "seen: " in found.err


def test_jsonl_to_a_file_is_appended_and_named_at_the_end(
    flora: Flora, model: Path, photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"
    for _ in range(2):
        found = flora("run", model, "--source", photos / "red", "--jsonl", path)
        assert found.code == 0
    assert [record["label"] for record in records(path.read_text())] == ["red", "blue"] * 2
    assert found.err.splitlines()[-1] == f"wrote {path}"
    assert "red" in found.out  # and the terminal shows it as well


def test_jsonl_minus_is_stdout(flora: Flora, model: Path, photos: Path) -> None:
    found = flora("run", model, "--source", photos / "red", "--jsonl", "-")
    assert [record["label"] for record in records(found.out)] == ["red", "blue"]


INTRODUCTION = "no model named: the bundled colours.tflite knows red, green, blue; top-1 90.0% of 100 held-out photos"


def test_without_a_model_the_bundled_one_is_introduced_and_run(flora: Flora, bundled: Path, photos: Path) -> None:
    found = flora("run", "--source", photos / "red", "--jsonl", "-")
    assert found.code == 0
    assert [record["label"] for record in records(found.out)] == ["red", "blue"]
    assert found.err.splitlines()[0] == INTRODUCTION


def test_a_model_that_is_named_is_not_introduced(flora: Flora, model: Path, photos: Path) -> None:
    for arguments in ((model, "--source", photos / "red"), ("--source", photos / "red", "--json", model)):
        assert "no model named" not in flora("run", *arguments).err


def test_without_a_bundled_model_one_must_be_named(flora: Flora, no_bundled: str) -> None:
    assert flora("run", "--source", "test").error == no_bundled


def test_a_bundled_model_that_fails_its_proof_is_refused_without_an_introduction(
    flora: Flora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.model.classifier.BUNDLED", tiny.write_model(tmp_path / "wrong.tflite", golden=(WRONG,)))
    assert flora("run", "--source", "test", "--frames", "1").error.startswith(f"{tmp_path}/wrong.tflite: ")


def test_the_terminal_shows_the_answer_without_being_asked(flora: Flora, model: Path, photos: Path) -> None:
    found = flora("run", model, "--source", photos / "green" / "1.png")
    assert found.code == 0
    assert "green" in found.out
    assert found.err.startswith("1 frames in ")


def test_frames_ends_an_endless_source(flora: Flora, model: Path) -> None:
    found = flora("run", model, "--source", "test", "--frames", "3", "--json", "--threads", "1")
    assert found.code == 0
    answers = [record for record in records(found.out) if "event" not in record]
    assert len(answers) == 3
    assert "\n3 frames in " in found.err


def test_below_the_threshold_the_answer_is_unknown(flora: Flora, model: Path, photos: Path) -> None:
    found = flora("run", model, "--source", photos / "red" / "1.png", "--json", "--threshold", "1")
    assert records(found.out)[0]["unknown"] is True


def test_a_scene_is_learned_and_what_to_do_with_it_is_said_once(flora: Flora, model: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    options = ("--source", "test", "--frames", "3", "--keep-uncertain", kept)
    whole = flora("run", model, *options, "--learn-scene", "0.001s")
    assert whole.code == 0, whole.err
    assert "  scene_learned: kept 1 frame of the scene in " in whole.out
    assert "of the scene" not in whole.err
    broken_off = flora("run", model, *options, "--learn-scene", "24h")
    assert broken_off.code == 0, broken_off.err
    assert "of the scene" not in broken_off.out
    assert "\nthe run ended before its lesson: " in broken_off.err
    assert [group_of(path.read_bytes()) is None for path in (kept / "labelled/unknown").iterdir()][:1] == [False]


def test_an_annotated_clip_is_written(flora: Flora, model: Path, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    found = flora("run", model, "--source", photos / "red", "--clip", path, "--json")
    assert found.code == 0
    assert found.err.splitlines()[-1] == f"wrote {path}"
    assert int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)) == 2
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["clip.avi", "photos"]


def test_a_photo_that_cannot_be_read_is_told_at_the_end(flora: Flora, model: Path, photos: Path) -> None:
    (photos / "red" / "0.jpg").write_text("no picture")
    found = flora("run", model, "--source", photos / "red", "--json")
    assert found.code == 0
    assert len(records(found.out)) == 2
    assert "0.jpg: not a readable picture" in found.err.splitlines()[0]


# A clean stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_it_cleanly_with_a_summary(number: signal.Signals, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "edge.cli",
        "run",
        model,
        "--source",
        "test",
        "--json",
        "--jsonl",
        path,
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()  # it is running
        process.send_signal(number)
        # Not communicate(), which would pass over what readline() has read ahead.
        rest, err = process.stdout.read(), process.stderr.read()
    assert process.returncode == 0, err
    told = records(first + rest)
    frames = [record for record in told if "event" not in record]
    assert (told[0]["event"], told[-1]["event"]) == ("started", "stopped")
    assert f"\n{len(frames)} frames in " in err
    assert err.splitlines()[-1] == f"wrote {path}"
    assert records(path.read_text()) == told
    assert "Traceback" not in err


# Bad input: models


def write_nothing(path: Path) -> None:
    """There is no such file."""


def write_without_labels(path: Path) -> None:
    path.write_bytes(tiny.flatbuffer())


def write_cut(path: Path) -> None:
    path.write_bytes(tiny.write_model(path).read_bytes()[:-100])


def write_corrupt(path: Path) -> None:
    data = bytearray(tiny.write_model(path).read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(data)


def write_foreign(path: Path) -> None:
    path.write_bytes(b"\x89HDF\r\n\x1a\n" * 100)


def write_wrong_shape(path: Path) -> None:
    tiny.write_model(path, tiny.flatbuffer((1, 32, 24, 3)))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(write_nothing, "no such file; expected a .tflite file written by: flora export", id="missing"),
        pytest.param(write_foreign, "not a TFLite model (800 bytes, no TFL3 mark); expected", id="foreign"),
        pytest.param(write_cut, "the end of the file, with its card, is damaged or cut off; copy or", id="cut"),
        pytest.param(write_corrupt, "the card inside is of another model, or the file is damaged", id="corrupt"),
        pytest.param(write_without_labels, "no labels and no card inside", id="no labels"),
        pytest.param(write_wrong_shape, "its input is [1, 32, 24, 3] uint8; expected one picture", id="wrong shape"),
        pytest.param(Path.mkdir, "a folder without config.json; expected a .tflite file", id="folder"),
    ],
)
def test_a_bad_model_is_one_line(
    write: Callable[[Path], object], message: str, flora: Flora, photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.tflite"
    write(path)
    for found in (
        flora("run", path, "--source", "test"),
        flora("predict", "--model", path, photos),
    ):
        assert found.code == 1
        assert found.error.startswith(f"{path}: {message}")


# Bad input: sources


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("97", "could not open camera 97: no such device; video devices here: ", id="no camera"),
        pytest.param("{tmp}/text.mp4", "{tmp}/text.mp4: not a readable video; expected", id="text as video"),
        pytest.param("{tmp}/empty.mp4", "{tmp}/empty.mp4: not a readable video; expected", id="empty video"),
        pytest.param("{tmp}/text.jpg", "{tmp}/text.jpg: not a readable picture; expected", id="text as picture"),
        pytest.param("{tmp}/nothing", "{tmp}/nothing: no photo in this folder or below; expected", id="no photos"),
        pytest.param("{tmp}/gone.mp4", "no such file or folder: {tmp}/gone.mp4; expected", id="no file"),
        pytest.param("{tmp}/*.png", "{tmp}/*.png: matches no photo; expected", id="no match"),
        pytest.param("ftp://host/x", "ftp://host/x: ftp:// is not supported; expected", id="another protocol"),
        pytest.param("http://127.0.0.1:9/x", "could not open http://127.0.0.1:9/x: no video stream", id="no server"),
    ],
)
def test_a_bad_source_is_one_line_and_leaves_nothing_half_written(
    name: str, message: str, flora: Flora, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "nothing").mkdir()
    for text in ("text.mp4", "text.jpg"):
        (tmp_path / text).write_text("this is text\n" * 50)
    (tmp_path / "empty.mp4").touch()
    out = tmp_path / "answers.jsonl"
    found = flora("run", model, "--source", name.format(tmp=tmp_path), "--jsonl", out, "--clip", tmp_path / "clip.avi")
    assert found.code == 1
    assert found.error.startswith(message.format(tmp=tmp_path))
    assert not (tmp_path / "clip.avi").exists()
    assert not out.exists() or out.read_bytes() == b""


class FewFrames(BaseHTTPRequestHandler):
    """A camera's MJPEG stream that closes after eight pictures, 25 ms apart as a camera's are."""

    def do_GET(self) -> None:
        jpeg = cv2.imencode(".jpg", tiny.plain("green", (64, 48)))[1].tobytes()
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for _ in range(8):
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
            self.wfile.write(jpeg + b"\r\n")
            threading.Event().wait(0.025)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def stream() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), FewFrames) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/stream.mjpg"
        server.shutdown()
        thread.join()


def test_a_stream_that_ends_is_one_line_and_loses_no_answer(
    stream: str, flora: Flora, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answers.jsonl"
    found = flora("run", model, "--source", stream, "--jsonl", out, "--json", "--give-up-after", "0.2")
    assert found.code == 1
    *_, last = found.err.splitlines()
    assert last.startswith(f"flora: {stream}: no picture for 0 s, given up as asked; reason: ended after ")
    assert found.err.count("flora: ") == 1
    assert "Traceback" not in found.err
    answers = records(out.read_text())
    assert records(found.out) == answers
    assert {record["label"] for record in answers if "event" not in record} == {"green"}
    assert [record["event"] for record in answers if "event" in record] == ["started", "no_picture", "stopped"]


# Recordings, services, pages


def test_a_recording_is_run_again_to_the_same_lines(flora: Flora, model: Path, tmp_path: Path) -> None:
    first, again = tmp_path / "first.jsonl", tmp_path / "again.jsonl"
    live = ("--source", "test", "--frames", "12", "--jsonl", first, "--record", tmp_path / "kept")
    assert flora("run", model, *live).code == 0
    found = flora("run", model, "--source", tmp_path / "kept", "--replay", "--jsonl", again)
    assert found.code == 0
    assert "12 of 12 answers are as they were recorded with colours.tflite" in found.err
    assert again.read_bytes() == first.read_bytes()


def test_a_replay_with_another_model_says_so(flora: Flora, model: Path, tmp_path: Path) -> None:
    assert flora("run", model, "--source", "test", "--frames", "3", "--record", tmp_path / "kept").code == 0
    other = tiny.write_model(tmp_path / "other.tflite", licence="CC BY 4.0")
    found = flora("run", other, "--source", tmp_path / "kept", "--replay")
    assert "other.tflite answers anew" in found.err


def test_the_page_is_named_and_answers_while_it_runs(model: Path) -> None:
    command: list[str | Path] = [sys.executable, "-m", "edge.cli", "run", model, "--source", "test", "--web", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        link = process.stderr.readline().removeprefix("page: ").strip()
        with urllib.request.urlopen(f"{link}api/state", timeout=30) as answer:
            state = json.load(answer)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert state["health"]["source"] == "test"
    assert process.returncode == 0


def test_a_service_is_printed_and_nothing_is_opened(flora: Flora, model: Path, tmp_path: Path) -> None:
    found = flora("run", model, "--source", "7", "--jsonl", tmp_path / "a.jsonl", "--max-fps", "2", "--print-service")
    assert found.code == 0
    (command,) = [line for line in found.out.splitlines() if line.startswith("ExecStart=")]
    assert command.endswith(f" run {model} --source 7 --jsonl {tmp_path}/a.jsonl --max-fps 2")
    assert "sudo systemctl enable --now flora" in found.err
    assert not (tmp_path / "a.jsonl").exists()


@pytest.mark.parametrize("mode", [0o755, 0o644], ids=["a program", "a module"])
def test_the_service_calls_what_was_called(
    mode: int, flora: Flora, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "flora"
    program.touch(mode)
    monkeypatch.setattr(sys, "argv", [str(program)])
    found = flora("run", model, "--source", "7", "--print-service")
    (command,) = [line for line in found.out.splitlines() if line.startswith("ExecStart=")]
    called = str(program) if mode == 0o755 else f"{sys.executable} -m edge.cli"
    assert command == f"ExecStart={called} run {model} --source 7"


def test_a_new_model_file_takes_over_while_it_runs(tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "colours.tflite")
    command: list[str | Path] = [sys.executable, "-m", "edge.cli", "run", model, "--source", "test", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        tiny.write_model(tmp_path / "new.tflite", labels=("ruby", "leaf", "sky")).replace(model)
        kinds = (json.loads(line).get("event") for line in process.stdout)
        assert any(kind == "model_changed" for kind in kinds)
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    assert process.returncode == 0


# Bad input: outputs


@pytest.mark.parametrize(
    ("option", "path", "message"),
    [
        pytest.param("--jsonl", "/dev/full", "/dev/full: cannot be written (No space left on device)", id="full disk"),
        pytest.param(
            "--jsonl", "{tmp}/no/a.jsonl", "{tmp}/no/a.jsonl: cannot be written (No such file", id="no folder"
        ),
        pytest.param("--jsonl", "{tmp}", "{tmp}: cannot be written (Is a directory)", id="a folder"),
        pytest.param("--clip", "{tmp}/no/a.avi", "{tmp}/no/a.avi: cannot be written (No such file", id="clip"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line(
    option: str, path: str, message: str, flora: Flora, model: Path, photos: Path, tmp_path: Path
) -> None:
    found = flora("run", model, "--source", photos, "--json", option, path.format(tmp=tmp_path))
    assert found.code == 1
    assert len(records(found.out)) <= 1  # stdout may have had the first answer before the full disk showed
    (line,) = found.err.splitlines()
    assert line.startswith(f"flora: {message.format(tmp=tmp_path)}")


def test_stdout_on_a_full_disk_is_one_line(model: Path, photos: Path) -> None:
    command: list[str | Path] = [sys.executable, "-m", "edge.cli", "run", model, "--source", photos, "--json"]
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert found.returncode == 1
    (line,) = found.stderr.splitlines()
    assert line.startswith("flora: JSON lines cannot be written to the output (No space left on device)")


# Bad input: options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threads", "0"], "--threads 0: expected 1 or more"),
        (["--threshold", "2"], "--threshold 2.0: expected a score from 0 (never unknown) to 1"),
        (["--threshold", "nan"], "--threshold nan: expected a score from 0 (never unknown) to 1"),
        (["--frames", "0"], "--frames is 0; expected 1 or more"),
        (["--max-fps", "0"], "--max-fps is 0; expected more than 0"),
        (["--smoothing-s", "-1"], "--smoothing-s is -1; expected 0 or more seconds"),
        (["--hysteresis", "1"], "--hysteresis is 1; expected at least 0 and less than 1"),
        (
            ["--roi", "0,0,0,1"],
            "--roi 0,0,0,1: expected x1,y1,x2,y2 as shares of width and height, "
            "0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1, as 0.2,0,0.8,1",
        ),
        (["--camera-size", "wide"], "--camera-size wide: expected width x height in pixels, as 1280x720"),
        (["--camera-size", "0x9"], "--camera-size is 0x9; expected pixels, as 1280x720"),
        (["--skip-still", "0"], "--skip-still 0: expected grey levels, more than 0 and at most 255"),
        (["--give-up-after", "0"], "--give-up-after is 0; expected more than 0 seconds, or inf"),
        (["--jsonl", "-", "--jsonl-keep", "0", "--jsonl", "a"], "--jsonl-keep is 0; expected 1 or more old files"),
        (
            ["--show", "--print-service"],
            "--print-service with --show: a service has no screen; use --web, or leave --show out",
        ),
        (["--learn-scene", "60s"], "--learn-scene: where shall the frames go? add --keep-uncertain DIR"),
        (
            ["--keep-uncertain", "x", "--learn-scene", "soon"],
            "--learn-scene soon: expected a time such as 45, 60s, 5m or 1h, at most 24h",
        ),
        (["--clip", "x.mp4"], "x.mp4: the clip is an MJPEG .avi; give a name that ends with .avi"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_impossible_options_are_one_line(options: list[str], message: str, flora: Flora, model: Path) -> None:
    found = flora("run", model, "--source", "test", *options)
    assert found.code == 2
    assert found.error == message


WRONG = GoldenCase("scene", 1, 64, 48, {"red": 0.5, "blue": 0.5})  # no answer that the colour model gives


def test_a_model_that_gives_wrong_answers_here_is_refused_before_anything_is_opened(
    flora: Flora, tmp_path: Path, photos: Path
) -> None:
    path = tiny.write_model(tmp_path / "m.tflite", golden=(WRONG,))
    found = flora("run", path, "--source", photos, "--jsonl", tmp_path / "answers.jsonl")
    assert found.code == 1
    assert "1 of 1 golden cases fail on this device" in found.error
    assert "likely cause: " in found.error
    assert not (tmp_path / "answers.jsonl").exists()


def test_a_model_that_gives_wrong_answers_runs_if_that_is_asked_for(flora: Flora, tmp_path: Path, photos: Path) -> None:
    path = tiny.write_model(tmp_path / "m.tflite", golden=(WRONG,))
    assert flora("run", path, "--source", photos / "red", "--json", "--no-verify").code == 0


def test_a_model_from_elsewhere_runs_and_what_is_assumed_is_said(flora: Flora, tmp_path: Path, photos: Path) -> None:
    path = tmp_path / "stranger.tflite"
    path.write_bytes(appended(tiny.flatbuffer(), {"names.txt": b"red\ngreen\nblue\n"}))
    found = flora("run", path, "--source", photos / "red", "--json")
    assert found.code == 0
    assert [record["label"] for record in records(found.out)] == ["red", "blue"]
    assert "stranger.tflite: assumed: " in found.err
