"""The table of operators fits the runtimes that are here, and a missing operator is explained in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.base.packages import installed
from edge.tflite import runtimes
from edge.tflite.runtimes import OPERATORS, Operator, explain, least_runtimes
from tests.making import probe_runtimes
from tests.making.probe_runtimes import probe, probe_in, table

INT8 = [
    Operator("QUANTIZE", 1), Operator("CONV_2D", 3), Operator("DEPTHWISE_CONV_2D", 3), Operator("ADD", 2),
    Operator("MEAN", 2), Operator("SOFTMAX", 2),
]  # fmt: skip


def listed(package: str, version: str) -> list[int]:
    """Of each operator, in the order of the codes, the greatest version in the table; 0 for none."""
    found = next(each for each in runtimes.runtimes() if (each.package, each.version) == (package, version))
    return [found.greatest.get(name, 0) for name in OPERATORS]


def test_the_runtime_here_has_every_operator_at_its_listed_version_and_not_above() -> None:
    here = installed(["ai-edge-litert"])
    if here["ai-edge-litert"] not in {each.version for each in runtimes.runtimes() if each.package == "ai-edge-litert"}:
        pytest.skip(f"ai-edge-litert {here['ai-edge-litert']} is not in the table; probe it")
    assert probe(len(OPERATORS))["greatest"] == listed("ai-edge-litert", here["ai-edge-litert"])


@pytest.mark.legacy
@pytest.mark.device
def test_so_has_the_old_runtime(legacy_python: Path) -> None:
    found = probe_in(legacy_python, len(OPERATORS))
    assert found["package"] == "tflite-runtime"
    assert found["greatest"] == listed("tflite-runtime", found["version"])


def test_the_codes_are_those_of_the_schema() -> None:
    assert list(OPERATORS) == probe_runtimes.operator_names()[: len(OPERATORS)]


@pytest.mark.parametrize(
    ("operators", "least"),
    [
        (INT8, {"ai-edge-litert": "1.0.1", "tflite-runtime": "2.13.0"}),
        ([*INT8, Operator("SLICE", 6)], {"ai-edge-litert": "1.0.1", "tflite-runtime": "2.14.0"}),
        ([*INT8, Operator("FULLY_CONNECTED", 12)], {"ai-edge-litert": "1.0.1"}),
        ([Operator("TRANSPOSE", 7), Operator("CAST", 7)], {"ai-edge-litert": "1.2.0"}),
        ([Operator("CONV_2D", 99)], {}),
        ([Operator("CONV_2D", 1, is_custom=True)], {}),
        ([], {"ai-edge-litert": "1.0.1", "tflite-runtime": "2.13.0"}),
    ],
    ids=["int8", "a newer release", "not the old runtime", "the later of two", "none yet", "custom", "no operator"],
)
def test_the_least_runtime_is_the_oldest_that_has_them_all(operators: list[Operator], least: dict[str, str]) -> None:
    assert least_runtimes(operators) == least


def test_a_missing_version_is_explained_with_two_ways_out() -> None:
    text = (
        "Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'. An older version of this builtin might be "
        "supported. Are you using an old TFLite binary with a newer model?\nRegistration failed.\n"
    )
    assert explain(text, "tflite-runtime", "2.14.0") == (
        "it needs the operator FULLY_CONNECTED version 12; tflite-runtime 2.14.0 has it up to version 10; expected "
        "ai-edge-litert 1.0.1 or newer; update the runtime: pip install -U 'flora-edge[headless]'; or export again as "
        "int8 (not dynamic_range or float16), which older runtimes can run"
    )


@pytest.mark.parametrize(
    ("text", "version", "words"),
    [
        ("Op builtin_code out of range: 209. Are you", "2.14.0", ["STABLEHLO_CASE", "does not have it;", "1.1.2"]),
        ("Op builtin_code out of range: 900. Are you", "2.14.0", ["number 900", "a newer one than any known"]),
        ("find op for builtin opcode 'SLICE' version '6'", "2.13.0", ["up to version 5", "or tflite-runtime 2.14.0"]),
        ("find op for builtin opcode 'ADD' version '9'", "2.12.0", ["does not have it at that version", "[headless]"]),
        ("Encountered unresolved custom op: Blur.\nSee", "2.14.0", ["custom operator Blur", "builtin"]),
    ],
    ids=["code", "code of the future", "newer release of the same", "release not probed", "custom"],
)
def test_other_complaints_of_a_missing_operator(text: str, version: str, words: list[str]) -> None:
    line = explain(text, "tflite-runtime", version)
    assert line is not None
    assert len(line.splitlines()) == 1
    for word in words:
        assert word in line


@pytest.mark.parametrize("text", ["", "Input tensor 3 lacks data", "Didn't find op"])
def test_complaints_of_other_matters_are_left_alone(text: str) -> None:
    assert explain(text, "ai-edge-litert", "2.3.0") is None


def test_a_table_is_read_back_as_it_was_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    probed = [
        {"package": "a", "version": "1", "greatest": [1, 0, 2]},
        {"package": "a", "version": "2", "greatest": [3, 0, 0]},
        {"package": "b", "version": "1", "greatest": [0, 5, 0]},
    ]
    monkeypatch.setattr(runtimes, "_TABLE", json.loads(table(["ADD", "CONV_2D", "RNN"], probed)))
    runtimes.runtimes.cache_clear()
    try:
        found = {(each.package, each.version): each.greatest for each in runtimes.runtimes()}
    finally:
        runtimes.runtimes.cache_clear()
    assert found == {
        ("a", "1"): {"ADD": 1, "RNN": 2},
        ("a", "2"): {"ADD": 3, "RNN": 0},
        ("b", "1"): {"CONV_2D": 5},
    }
