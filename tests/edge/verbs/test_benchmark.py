"""flora benchmark: every file, every number of threads, ratios to the first; bad input in one line."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path

import pytest

from edge.base.board import Board
from edge.machine.layers import ConvLayer, Probe, single
from edge.verbs import benchmark
from tests.edge.conftest import Flora
from tests.edge.model import tiny
from tests.making.layer_probes import network


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    return [tiny.write_model(tmp_path / name) for name in ("one.tflite", "two.tflite")]


def test_json_has_each_file_with_each_number_of_threads(flora: Flora, pair: list[Path]) -> None:
    found = flora("benchmark", *pair, "--threads", 2, "--threads", 1, "--rounds", 6, "--frame", "64x48", "--json")
    assert found.code == 0
    record = json.loads(found.out)
    assert [(row["model"], row["threads"]) for row in record["steady"]] == [
        (str(path), threads) for threads in (1, 2) for path in pair
    ]
    for row in record["steady"]:
        assert 0 < row["geometry"]["p50"] < row["total"]["p50"] <= row["total"]["p99"]
        assert min(row[stage]["p95"] for stage in ("decode", "invoke", "rest")) > 0
        assert row["speed"]["low"] <= row["speed"]["value"] <= row["speed"]["high"]
    assert record["steady"][0]["speed"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert set(record["start"]) == {str(path) for path in pair}
    for start in record["start"].values():
        assert start["peak_mb"] > start["imports_mb"] > 0
        assert min(start["init_ms"], start["first_ms"], start["warm_up_ms"]) > 0


def test_json_says_what_makes_boards_comparable(flora: Flora, pair: list[Path]) -> None:
    found = flora("benchmark", pair[0], "--threads", 1, "--rounds", 2, "--frame", "64x48", "--json")
    record = json.loads(found.out)
    assert record["board"].items() >= Board().facts().items()
    assert record["sha256"] == {str(pair[0]): hashlib.sha256(pair[0].read_bytes()).hexdigest()}
    assert record["runtime"].split()[0] in {"ai-edge-litert", "tflite-runtime"}
    assert (record["best_threads"], record["frame"]) == ({str(pair[0]): 1}, "64x48")
    assert datetime.fromisoformat(record["date"]).tzinfo is not None
    assert set(record["temperature_c"]) == {"before", "after"}


def test_every_number_of_threads_is_tried_and_the_best_one_named(
    flora: Flora, pair: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Board, "cores", lambda self: 3)
    found = flora("benchmark", pair[0], "--rounds", 2, "--frame", "64x48")
    rows = [line.split() for line in found.out.splitlines() if line.startswith(str(pair[0]))]
    assert [row[1] for row in rows[:3]] == ["1", "2", "3"]
    (best,) = (line for line in found.out.splitlines() if line.startswith(f"best for {pair[0]}: --threads "))
    named = best.split("--threads ")[1].split(",")[0]
    assert found.err.splitlines()[-1] == f"next: flora run {pair[0]} --source 0 --threads {named}"


def test_a_throttled_board_is_told_beside_its_figures(
    flora: Flora, pair: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Board, "is_throttled", lambda self: True)
    monkeypatch.setattr(Board, "temperature_c", lambda self: 81.25)
    found = flora("benchmark", pair[0], "--threads", 1, "--rounds", 2, "--frame", "64x48")
    assert "while throttled" in found.out
    assert found.out.splitlines()[-1] == "81.2 to 81.2 °C; throttled meanwhile: the figures are too high"


def test_a_soak_has_a_line_for_each_period_and_the_drift(flora: Flora, pair: list[Path]) -> None:
    found = flora("benchmark", pair[0], "--threads", 1, "--frame", "64x48", "--soak", "0.2s", "--max-fps", 200)
    head, columns, *rows, last = found.out.splitlines()
    assert (found.code, head.startswith(f"{pair[0]}, 1 thread, ")) == (0, True)
    assert columns.split()[:2] == ["seconds", "frames/s"]
    assert len(rows) == 2
    assert last.startswith("last line against the first: ")


def test_a_soak_as_json_has_its_periods(flora: Flora, pair: list[Path]) -> None:
    found = flora("benchmark", pair[0], "--threads", 1, "--frame", "64x48", "--soak", "0.2s", "--json")
    record = json.loads(found.out)
    assert [period["total"]["p50"] > 0 for period in record["soak"]["periods"]] == [True, True]
    assert (record["soak"]["threads"], record["soak"]["max_fps"]) == (1, None)
    assert record["soak"]["drift"]["slower"] > 0
    assert {"board", "date", "runtime", "sha256"} <= set(record)


def test_text_has_a_line_for_each_and_the_next_command(flora: Flora, pair: list[Path]) -> None:
    found = flora("benchmark", *pair, "--threads", 1, "--rounds", 3, "--frame", "64x48")
    assert found.code == 0
    assert sum(line.startswith(str(pair[1])) for line in found.out.splitlines()) == 2
    assert found.err.splitlines()[-1] == f"next: flora run {pair[1]} --source 0 --threads 1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--frame", "big"], "--frame big: expected width x height"),
        (["--frame", "0x48"], "--frame 0x48: expected width x height"),
        (["--frame", "99999x48"], "--frame 99999x48: expected width x height"),
        (["--rounds", "0"], "--rounds 0: expected 1 or more"),
        (["--threads", "0"], "--threads 0: expected 1 or more"),
        (["--soak", "10"], "--soak 10: expected a time such as 90s, 10m or 2h"),
        (["--soak", "1s", "--max-fps", "0"], "--max-fps 0: expected more than 0, and --soak TIME"),
        (["--max-fps", "5"], "--max-fps 5: expected more than 0, and --soak TIME"),
        (["--soak", "1s", "--threads", "1", "--threads", "2"], "--soak with 2 numbers of threads: expected one"),
    ],
    ids=[
        "words",
        "no width",
        "huge",
        "no rounds",
        "no threads",
        "no unit",
        "no rate",
        "a rate alone",
        "a soak's threads",
    ],
)
def test_impossible_options_are_one_line(options: list[str], message: str, flora: Flora, pair: list[Path]) -> None:
    found = flora("benchmark", pair[0], *options)
    assert found.code == 2
    assert found.error.startswith(message)


def test_a_soak_is_of_one_file(flora: Flora, pair: list[Path]) -> None:
    found = flora("benchmark", *pair, "--soak", "1s")
    assert (found.code, found.error) == (2, "--soak with 2 files: expected one")


def test_a_file_named_twice_is_no_comparison(flora: Flora, pair: list[Path]) -> None:
    found = flora("benchmark", pair[0], pair[0])
    assert (found.code, "is named 2 times" in found.error) == (2, True)


def test_a_file_that_does_not_load_is_one_line(flora: Flora, tmp_path: Path) -> None:
    found = flora("benchmark", tmp_path / "none.tflite")
    assert found.code == 1
    assert found.error.startswith(f"{tmp_path / 'none.tflite'}: no such file")


def test_without_a_file_it_times_the_bundled_model(flora: Flora, bundled: Path) -> None:
    found = flora("benchmark", "--threads", 1, "--rounds", 3, "--frame", "64x48", "--json")
    assert (found.code, [row["model"] for row in json.loads(found.out)["steady"]]) == (0, [str(bundled)])


def test_without_a_file_and_without_the_bundled_model_is_one_line(flora: Flora, no_bundled: str) -> None:
    assert flora("benchmark").error == no_bundled


@pytest.fixture
def few_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers and one network of both in place of the archive, for the fewest rounds."""
    layers = ConvLayer("pointwise", 4, 8, 16, 1), ConvLayer("depthwise", 2, 16, 16, 2)
    probes = *(single(layer, 2) for layer in layers), Probe("row.tflite", layers)
    monkeypatch.setattr(benchmark, "read_probes", lambda: {probe: network(probe) for probe in probes})
    monkeypatch.setattr(benchmark, "SECONDS", 0.0)


@pytest.mark.usefixtures("few_layers")
def test_layers_are_timed_into_a_table(flora: Flora, tmp_path: Path) -> None:
    found = flora("benchmark", "--layers", tmp_path / "here.json")
    table = json.loads((tmp_path / "here.json").read_bytes())
    assert [(row["kind"], row["ms"] > 0) for row in table["rows"]] == [("pointwise", True), ("depthwise", True)]
    assert [len(network["layers"]) for network in table["networks"]] == [2]
    assert (found.code, "one thread: 2 layers and 1 networks" in found.out) == (0, True)
    assert found.err.splitlines()[-1].endswith(f"flora export RUN --device-table {tmp_path / 'here.json'}")


@pytest.mark.usefixtures("few_layers")
@pytest.mark.parametrize("has_file", [False, True], ids=["no file", "a file and --json"])
def test_the_table_of_layers_goes_to_stdout(has_file: bool, flora: Flora, tmp_path: Path) -> None:
    found = flora("benchmark", "--json", "--layers", *([tmp_path / "here.json"] if has_file else []))
    assert (found.code, json.loads(found.out)["threads"]) == (0, 1)
    assert (tmp_path / "here.json").exists() == has_file


@pytest.mark.usefixtures("few_layers")
def test_a_table_that_cannot_be_written_is_one_line(flora: Flora, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in flora("benchmark", "--layers", tmp_path / "file" / "here.json").error


@pytest.mark.parametrize(
    "extra", [("model.tflite",), ("--threads", "2"), ("--soak", "1m")], ids=["a file", "threads", "a soak"]
)
def test_layers_are_timed_alone(extra: tuple[str, ...], flora: Flora) -> None:
    found = flora("benchmark", *extra, "--layers")
    assert (found.code, found.error.startswith(f"--layers together with {' '.join(extra)}: expected")) == (2, True)
