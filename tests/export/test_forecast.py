"""What is foretold of the demo's steps, with a clock that the test moves."""

from __future__ import annotations

from itertools import count

import pytest

from export import forecast
from export.forecast import SAMPLE, Forecast, in_words, sample_s
from training.garden.planting import SPECIES


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_step_costs_what_a_flower_costs_here() -> None:
    foretold = Forecast({"first": 1000.0, "second": 3000.0}, flower_s=0.02, clock=Clock())
    assert foretold.total_s == pytest.approx(80.0)
    assert foretold.begin("first") == pytest.approx(20.0)


def test_a_step_that_took_longer_lengthens_what_is_foretold_of_the_next() -> None:
    clock = Clock()
    foretold = Forecast({"first": 1000.0, "second": 3000.0, "third": 500.0}, 0.02, clock)
    foretold.begin("first")
    clock.now_s += 40.0  # twice as long as foretold
    assert foretold.begin("second") == pytest.approx(120.0)
    clock.now_s += 40.0  # a third of it: 80 s for 4000 flowers in all
    assert foretold.begin("third") == pytest.approx(10.0)


def test_a_sample_is_a_flower_after_one_of_each_species(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []
    monkeypatch.setattr(forecast, "render_flower", lambda species, seed: rendered.append(species))
    ticks = count(0.0, 3.0)
    assert sample_s(lambda: next(ticks)) == pytest.approx(3.0 / SAMPLE)
    assert len(rendered) == len(SPECIES) + SAMPLE
    assert set(rendered[: len(SPECIES)]) == set(SPECIES)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (2.0, "10 seconds"),
        (47.0, "50 seconds"),
        (114.0, "110 seconds"),
        (116.0, "2 minutes"),
        (140.0, "2.5 minutes"),
        (601.0, "10 minutes"),
    ],
)
def test_seconds_are_told_as_roughly_as_they_are_known(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
