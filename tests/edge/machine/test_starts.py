"""What a fresh process takes is asked of one, and a model that does not start there is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.base import child
from edge.errors import ModelError
from edge.machine import starts
from edge.machine.starts import fresh_start, peak_mb
from tests.edge.fakes import one_line
from tests.edge.model import tiny

SMALL, LARGE = 16, 3000  # pixels


def test_a_fresh_start_has_times_and_memory(model: Path) -> None:
    found = fresh_start(str(model), (64, 48))
    assert min(found.init_ms, found.first_ms, found.warm_up_ms) > 0
    if found.peak_mb is not None and found.imports_mb is not None:
        assert found.peak_mb > found.imports_mb > 10


def test_a_larger_model_needs_more_memory_in_its_own_process() -> None:
    small, large = (peak_mb(tiny.flatbuffer((1, size, size, 3)), "tiny") for size in (SMALL, LARGE))
    if small is None or large is None:
        pytest.skip("this system does not tell")
    assert large - small > LARGE * LARGE * 3 / 1e6


def test_a_flatbuffer_that_does_not_start_is_one_clear_line() -> None:
    with pytest.raises(ModelError, match=r"int8_bad: gives no answer in a fresh process \(.+\); see what") as caught:
        peak_mb(b"not a model", "int8_bad")
    one_line(caught)


def test_a_file_that_does_not_start_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "none.tflite"
    with pytest.raises(ModelError, match=r"none.tflite: gives no answer in a fresh process \(.*no such file") as caught:
        fresh_start(str(path), (64, 48))
    assert one_line(caught).endswith("see what is wrong: flora doctor")


def test_a_start_that_takes_too_long_is_given_up(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "LONGEST_START_S", 0.01)
    with pytest.raises(ModelError, match=r"no answer within 0\.01 s in a fresh process; try again$") as caught:
        fresh_start(str(model), (64, 48))
    assert isinstance(caught.value.__cause__, child.TooLate)
