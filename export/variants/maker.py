"""What the variants of an export are made with: networks, calibration pictures, a teacher; each made once.

In:  a FinishedRun, what was asked for, a latency table of the device, a folder for decoded photos and one for work that
     may be gone on with.
Out: Made variants in the order of the table, with a Slimmed record of each slim network.

What a person has asked for and cannot have is refused before anything is taught, for that takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.board import Board
from edge.base.progress import Say, Stages
from export.config import ExportConfig
from export.network.channels import groups
from export.opening.finished_run import FinishedRun, pick_calibration
from export.quantising import aware
from export.quantising import convert as quantize
from export.quantising.sparsify import Pruning, prune, sparsity_of
from export.slimming.latency import LatencyTable
from export.slimming.record import Slimmed, Width
from export.slimming.shaping import Judged, Settled
from export.slimming.slimming import Slimming, SlimNetwork, share_kept
from export.teaching.teacher import Teacher, drawn
from export.variants import making
from export.variants.choosing import AS_FAST, BudgetError
from export.variants.measuring import UNIT_OF_SPEED, speed_beside
from export.variants.variant import Made

MILDEST_CROP = 0.5  # of the area; pruning has too few epochs to learn from smaller crops


@dataclass
class Variants:
    """What was made so far."""

    made: list[Made] = field(default_factory=list)
    slimmed: list[Slimmed] = field(default_factory=list)
    work: list[Path] = field(default_factory=list)  # folders that are of no use once a file is written
    slim_names: list[str] = field(default_factory=list)  # of the variants of the slim network
    remember: Callable[[Judged], None] = lambda judged: None  # what became of the slim network, for a later export

    def find(self, name: str) -> Made:
        return next(made for made in self.made if made.name == name)


def device_table(config: ExportConfig, tell: Say = lambda line: None) -> LatencyTable | None:
    """The table that says which channels of a slim network go; None where none is made. Raises UsageError."""
    if config.device_table:
        table = LatencyTable.read(Path(config.device_table))
        for line in table.remarks:
            tell(line)
        return table
    return LatencyTable.of_this_machine_kind() if config.plan.distil_epochs else None


def make_variants(
    config: ExportConfig, run: FinishedRun, table: LatencyTable | None, cache: Path, work: Path, stages: Stages,
    tell: Say,
) -> Variants:  # fmt: skip
    """Make every variant of `making.RECIPES` that is asked for; `table` is `device_table`'s.

    Raises BudgetError for a limit that was given and cannot be kept, ModelError, PhotoError, OutputError.
    """
    maker = Maker(config, run, table, cache, work, stages, tell)
    asked = [recipe for recipe in making.RECIPES if recipe.is_asked_for(config)]
    for recipe in asked:
        if not recipe.teaches:
            maker.add(recipe.make(maker))
    if run.why_fixed:
        return maker.variants  # what cannot be had of such a network was told when it was opened
    maker.require_possible()
    for recipe in asked:
        if recipe.teaches:
            maker.add(recipe.make(maker))
    return maker.variants


class Maker:
    """Makes what recipes ask for."""

    def __init__(
        self, config: ExportConfig, run: FinishedRun, table: LatencyTable | None, cache: Path, work: Path,
        stages: Stages, tell: Say,
    ) -> None:  # fmt: skip
        self.config, self.plan, self.run, self.table = config, config.plan, run, table
        self.best = run  # with the best network there is, which the others are made of
        self.variants = Variants()
        self._cache, self._work, self._stages, self._tell = cache, work, stages, tell
        self._told: set[str] = set()
        self._slimmings: dict[int, Slimming] = {}  # by the run, which is kept here as long
        self._settled: Settled | None = None  # None: no slim network

    def add(self, made: Made | None) -> None:
        """One more; None is nothing, which was told."""
        if made:
            self.variants.made.append(made)

    def made(
        self, name: str, flatbuffer: bytes, network: Any, *, is_integer: bool = True, foretold: float | None = None
    ) -> Made:
        """A variant; `network` is what it was converted from, without fake quantisation."""
        return Made(name, flatbuffer, sparsity_of(network), int(network.input_shape[1]), is_integer, foretold)

    def quantised(self, name: str, network: Any, *, foretold: float | None = None) -> Made:
        """A network as int8, with the ranges that calibration pictures have."""
        views = self.calibration(int(network.input_shape[1]))
        int8 = self._converted("int8", lambda: quantize.convert_int8(network, views))
        return self.made(name, int8, network, foretold=foretold)

    def taught_on(self, name: str, network: Any, *, keeps_zeros: bool = False, foretold: float | None = None) -> Made:
        """A network as int8, after training with fake quantisation in it."""
        teacher = self._slimming().teacher
        taught = teacher.made_aware(network, teacher.lessons(), preserve_zeros=keeps_zeros)
        int8 = self._converted("int8", lambda: aware.convert_aware(taught))
        return self.made(name, int8, network, foretold=foretold)

    def float32(self) -> Made:
        return self._to_compare("float32", quantize.convert_float)

    def float16(self) -> Made:
        return self._to_compare("float16", quantize.convert_float16)

    def dynamic_range(self) -> Made:
        return self._to_compare("dynamic_range", quantize.convert_dynamic_range)

    def _to_compare(self, name: str, convert: Callable[[Any], bytes]) -> Made:
        """The trained network with floats inside: never written."""
        flatbuffer = self._converted(name, lambda: convert(self.run.model))
        return self.made(name, flatbuffer, self.run.model, is_integer=False)

    def _converted(self, what: str, convert: Callable[[], bytes]) -> bytes:
        bar = self._stages(f"converting to {what}")
        flatbuffer = convert()
        bar(1, 1)
        return flatbuffer

    def self_distilled(self) -> Made:
        """The trained network, taught further by itself; what comes after is made of it."""
        self.best = self._slimming().teacher.self_distilled()
        return self.quantised("int8_selfdistil", self.best.model)

    @cached_property
    def pruned(self) -> Any:
        """The trained network with weights set to zero, fine-tuned: a smaller download, no more speed."""
        config, asked = self.config, self.run.config
        batches, photos = drawn(self.run, self._cache, asked.seed + 1, self._stages, mildest_crop=MILDEST_CROP)
        how = Pruning(
            self.plan.sparsity, config.prune_epochs, max(1, photos // asked.batch), config.prune_rate,
            asked.label_smoothing, asked.seed, config.zeros_among,
        )  # fmt: skip
        return prune(self.run.model, batches, how, self._stages("pruning"))

    @property
    def zeros(self) -> str:
        """As in the name of a pruned variant: percent, or a pattern."""
        return self.config.pattern.replace(":", "of") if self.config.pattern else f"{100 * self.plan.sparsity:.0f}"

    def require_possible(self) -> None:
        """Settle how slim the slim network is going to be. Raises BudgetError for a limit that cannot be kept."""
        if self.table and self.plan.distil_epochs:
            self._settled = self._shape(self.table)
        else:
            _require_without_slim(self.config, self.variants.find(UNIT_OF_SPEED))

    def _shape(self, table: LatencyTable) -> Settled | None:
        """Nothing where no network is as fast as the preset aims at: the other variants are worth writing."""
        slimming, plain = self._slimming(), self.variants.find(UNIT_OF_SPEED).flatbuffer
        is_here = not self.config.device_table or table.device == Board().name()
        settled = slimming.shape(table, (lambda other: speed_beside(plain, other)) if is_here else None)
        self._tell(_told(settled, share_kept(self.run, settled.shape), table.device))
        if settled.judged:
            self._tell(f"it was taught by an export that was refused, and is not taught again: {slimming.work}")
            return settled
        why = _short_of(settled, self.plan.speed)
        _require_kept(self.config, settled, why)
        if why:
            self._tell(f"no slim network: {why}, aimed for are {self.plan.speed:g} times; lower --speed or --size")
        return None if why else settled

    def slim(self) -> Made | None:
        """Fewer channels, perhaps smaller pictures."""
        if not self._settled:
            return None
        slim = self._slim_network
        name, found = f"int8_{slim.name}", self.variants
        found.slimmed.append(self._record(slim, name))
        found.slim_names.append(name)
        return self.quantised(name, slim.model, foretold=self._foretold)

    def slim_taught_on(self) -> Made | None:
        """The same, after training with fake quantisation in it."""
        if not self._settled:
            return None
        name = f"int8_qat_{self._slim_network.name}"
        self.variants.slim_names.append(name)
        return self.taught_on(name, self._slim_network.model, foretold=self._foretold)

    @cached_property
    def _slim_network(self) -> SlimNetwork:
        slimming, first, settled = self._slimming(), self._slimmings[id(self.run)], self._settled
        assert settled is not None
        assert self.table is not None
        self.variants.remember = lambda judged: first.judge(settled, judged)
        return slimming.slimmed(slimming.of_before(self.table) or settled)

    @property
    def _foretold(self) -> float | None:
        """The speed of the slim network, where the table of another device decides."""
        return self._slim_network.predicted_speed if self._settled and self._settled.timed is None else None

    def calibration(self, size: int) -> NDArray[np.uint8]:
        """Training photos of all classes, as a device sees them."""
        train = self.run.members("train")
        labels = [photo.label for photo in train]
        picked = pick_calibration(labels, self.config.calibration_photos, self.run.config.seed)
        return self.run.views([train[i] for i in picked], self._stages("reading calibration photos"), size).pictures

    def _tell_once(self, line: str) -> None:
        """What is kept is read as often as it is needed."""
        if line not in self._told:
            self._told.add(line)
            self._tell(line)

    def _slimming(self) -> Slimming:
        """That of the best network there is, the same whenever it is asked for."""
        if id(self.best) not in self._slimmings:
            found = Slimming(
                Teacher(self.best, self.plan, self._cache, self._work, self._stages, self._tell_once)
            )
            self._slimmings[id(self.best)] = found
            if found.work not in self.variants.work:  # what was taught and got no better has the same
                self.variants.work.append(found.work)
        return self._slimmings[id(self.best)]

    def _record(self, slim: SlimNetwork, name: str) -> Slimmed:
        left = slim.shape.widths
        widths = [
            Width(group.name, group.channels, left.get(group.name, group.channels)) for group in groups(self.run.model)
        ]
        return Slimmed(
            name, widths, self.run.config.size, slim.shape.size, slim.predicted_speed, None, slim.history,
            slim.timed_speed,
        )  # fmt: skip


def _require_without_slim(config: ExportConfig, int8: Made) -> None:
    """Without a slim network nothing is faster or smaller than the plain int8 file: so much is known at once."""
    plan, kb = config.plan, len(int8.flatbuffer) / 1000
    if "speed" in config.typed and plan.speed * AS_FAST > 1:
        raise BudgetError(
            "nothing was written, nothing taught: without a slim network (--distil-epochs 0, as --preset accurate has "
            f"it) no file is faster than int8, asked for are {plan.speed:g} times; give --preset balanced"
        )
    if "max_kb" in config.typed and 0 < plan.max_kb < kb:
        raise BudgetError(
            f"nothing was written, nothing taught: the smallest variant, int8, takes {kb:.0f} kB without its card, "
            f"allowed are {plan.max_kb:g}; raise --max-kb, or give --preset balanced"
        )


def _require_kept(config: ExportConfig, settled: Settled, why: str) -> None:
    """Raises BudgetError for a limit that was given, and that no shape keeps; `why` is that of the speed."""
    plan = config.plan
    if why and "speed" in config.typed:
        raise BudgetError(
            f"nothing was written, nothing taught: {why}, asked for are {plan.speed:g} times; lower --speed or --size"
        )
    if "max_kb" in config.typed and 0 < plan.max_kb * 1000 < settled.shape.bytes:
        raise BudgetError(
            f"nothing was written, nothing taught: no network of {settled.shape.size} px has a file of "
            f"{plan.max_kb:g} kB; raise --max-kb, or lower --size"
        )


def _short_of(settled: Settled, speed: float) -> str:
    """Why a shape is not as fast as it should be; nothing if it is."""
    fastest = f"of {settled.shape.size} px no network is more than {settled.speed:.2f} times as fast as int8"
    return fastest if settled.speed < AS_FAST * speed else ""


def _told(settled: Settled, kept: float, device: str) -> str:
    speed = f"{settled.speed:.1f} times as fast as int8"
    how = f"timed here, before it is taught, it is {speed}"
    if settled.timed is None:
        how = f"by the table of {device or 'another device'}, which decides and not the time here, it is {speed}"
    shape = settled.shape
    return f"slim network: {kept:.0%} of the channels at {shape.size} px: {how}, about {shape.bytes / 1000:.0f} kB"
