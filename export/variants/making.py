"""RECIPES: the variants that an export makes, one row each.

To add one: a file beside export/quantising/convert.py with a function that returns a flatbuffer, and a row here. What
only that variant has to be told are fields of a dataclass of options, as export.config has them: name it in the row,
and they are options of `flora export`; `config.of(TheDataclass)` has what was given.

Nothing of TensorFlow is imported here, for `flora export --help` reads this table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from export.config import ExportConfig


@dataclass(frozen=True)
class Recipe:
    """One variant."""

    name: str  # how its name in the table begins; it may go on, as with a share of zeros
    is_asked_for: Callable[[ExportConfig], bool]
    make: Callable[[Any], Any]  # an export.variants.maker.Maker -> Made, or None where there is nothing to make
    teaches: bool = False  # weights change: takes minutes, and is nothing for a network that can only be quantised
    options: type[Any] | None = None  # a dataclass of options of its own


RECIPES: tuple[Recipe, ...] = (
    Recipe("float32", lambda config: True, lambda maker: maker.float32()),
    Recipe("float16", lambda config: not config.quick, lambda maker: maker.float16()),  # there to compare only
    Recipe("dynamic_range", lambda config: not config.quick, lambda maker: maker.dynamic_range()),
    Recipe("int8", lambda config: True, lambda maker: maker.quantised("int8", maker.run.model)),
    Recipe(
        "int8_selfdistil", lambda config: config.plan.self_epochs > 0, lambda maker: maker.self_distilled(),
        teaches=True,
    ),
    Recipe(
        "int8_pruned", lambda config: config.plan.sparsity > 0,
        lambda maker: maker.quantised(f"int8_pruned{maker.zeros}", maker.pruned), teaches=True,
    ),
    Recipe(
        "int8_qat_pruned",  # not beside a slim network: the lessons are of that one's size then
        lambda config: bool(config.plan.sparsity and config.plan.aware_epochs and not config.plan.distil_epochs),
        lambda maker: maker.taught_on(f"int8_qat_pruned{maker.zeros}", maker.pruned, keeps_zeros=True), teaches=True,
    ),
    Recipe("int8_slim", lambda config: config.plan.distil_epochs > 0, lambda maker: maker.slim(), teaches=True),
    Recipe(
        "int8_qat_slim", lambda config: bool(config.plan.distil_epochs and config.plan.aware_epochs),
        lambda maker: maker.slim_taught_on(), teaches=True,
    ),
    Recipe(
        "int8_qat", lambda config: config.plan.aware_epochs > 0 and not config.plan.distil_epochs,
        lambda maker: maker.taught_on("int8_qat", maker.best.model), teaches=True,
    ),
)  # fmt: skip


def own_options() -> list[type[Any]]:
    """The dataclasses of options that single variants have."""
    return [recipe.options for recipe in RECIPES if recipe.options]
