"""The table of variants: a row more is a variant more, with options of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.base.options import option
from edge.cli import main
from export.config import ExportConfig
from export.variants import making
from export.variants.making import Recipe
from tests.export.conftest import PLAIN, Export


@dataclass(frozen=True)
class Coarse:
    """Options of a variant that there is not."""

    coarse_steps: int = option(0, "one more variant, with so many steps of a weight; 0: none", metavar="N")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, ready: None, flatbuffers: dict[str, bytes]) -> None:
    """One more variant, in a row."""
    row = Recipe(
        "int8_coarse", lambda config: config.of(Coarse).coarse_steps > 0,
        lambda maker: maker.made("int8_coarse", flatbuffers["int8"], maker.run.model), options=Coarse,
    )  # fmt: skip
    monkeypatch.setattr(making, "RECIPES", (*making.RECIPES, row))


@pytest.mark.usefixtures("toy")
def test_a_variant_more_is_in_the_help_and_in_the_table_where_it_is_asked_for(
    export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--help"]) == 0
    assert "--coarse-steps N" in capsys.readouterr().out
    for options, expected in (((), False), (("--coarse-steps", "3"), True)):
        rows = [line.split()[0] for line in export(*PLAIN, *options).out.splitlines()]
        assert ("int8_coarse" in rows) is expected


@pytest.mark.usefixtures("toy", "slimmed")
def test_an_option_of_its_own_is_in_the_command_that_a_refusal_prints(export: Export, tmp_path: Path) -> None:
    said = export("--coarse-steps", "3", "--max-kb", "1", "--speed", "4")
    assert said.code == 1
    assert " --coarse-steps 3" in said.errors[-1]


def test_options_that_were_not_given_have_their_defaults() -> None:
    assert ExportConfig().of(Coarse) == Coarse()
    assert ExportConfig(own=(Coarse(3),)).of(Coarse) == Coarse(3)


def test_names_begin_otherwise_in_every_row() -> None:
    names = [recipe.name for recipe in making.RECIPES]
    assert len(set(names)) == len(names)
