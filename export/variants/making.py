"""Every variant that an export makes, and how the slim ones came about.

In:  a FinishedRun, what was asked for, a latency table of the device, a folder for decoded photos and one for work that
     may be gone on with.
Out: Made variants in the order of the table, with a Slimmed record of each slim network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.progress import Stages
from edge.errors import UsageError
from export.config import ExportConfig
from export.network.channels import groups
from export.opening import finished_run
from export.opening.finished_run import FinishedRun
from export.quantising import aware, convert
from export.quantising.sparsify import Pruning, prune, sparsity_of
from export.report.slimmed import Slimmed, Width
from export.slimming.latency import LatencyTable
from export.slimming.slimming import Slimming, SlimNetwork
from export.variants.measuring import Made
from training.fitting.augmentation import Augmentation, epoch_batches
from training.fitting.cache import build_cache
from training.network.backbone import FEATURES
from training.photos.split import class_weights

MILDEST_CROP = 0.5  # of the area; pruning has too few epochs to learn from smaller crops


@dataclass
class Variants:
    """What was made so far."""

    made: list[Made] = field(default_factory=list)
    slimmed: list[Slimmed] = field(default_factory=list)
    work: list[Path] = field(default_factory=list)  # folders that are of no use once a file is written

    def add(self, name: str, flatbuffer: bytes, network: Any, size: int, *, is_integer: bool = False) -> None:
        """One more; `network` is what it was converted from, without fake quantisation."""
        self.made.append(Made(name, flatbuffer, sparsity_of(network), size, is_integer))


def device_table(config: ExportConfig) -> LatencyTable | None:
    """The table that says which channels of a slim network go; None where none is made. Raises UsageError."""
    if config.device_table:
        return LatencyTable.read(Path(config.device_table))
    return LatencyTable.of_this_machine_kind() if config.plan.distil_epochs else None


def make_variants(
    config: ExportConfig, run: FinishedRun, table: LatencyTable | None, cache: Path, work: Path, stages: Stages,
    tell: Callable[[str], None],
) -> Variants:  # fmt: skip
    """Make what the plan asks for; `table` is `device_table`'s. Raises ModelError, PhotoError, OutputError."""
    maker, plan = _Maker(config, run, cache, work, stages), config.plan
    maker.plain()
    if run.why_fixed:
        return maker.variants  # what cannot be had of such a network was told when it was opened
    if plan.self_epochs:
        maker.self_distilled()
    if plan.sparsity:
        maker.pruned()
    if plan.distil_epochs and table:
        maker.slim(table, tell)
    elif plan.aware_epochs:
        maker.aware_of_the_run()
    return maker.variants


class _Maker:
    """Makes one kind of variant after another."""

    def __init__(self, config: ExportConfig, run: FinishedRun, cache: Path, work: Path, stages: Stages) -> None:
        self.config, self.plan, self.run, self.stages = config, config.plan, run, stages
        self.cache, self.work = cache, work
        self.teacher = run  # with the best network there is, which the others are made of
        self.variants = Variants()

    def plain(self) -> None:
        """The trained network as it is."""
        network, size, add = self.run.model, self.run.config.size, self.variants.add
        add("float32", convert.convert_float(network), network, size)
        if not self.config.quick:  # these are there to compare only
            add("float16", convert.convert_float16(network), network, size)
            add("dynamic_range", convert.convert_dynamic_range(network), network, size)
        add("int8", convert.convert_int8(network, self.calibration(size)), network, size, is_integer=True)

    def self_distilled(self) -> None:
        """The trained network, taught further by itself."""
        size, self.teacher = self.run.config.size, self._slimming().self_distilled()
        int8 = convert.convert_int8(self.teacher.model, self.calibration(size))
        self.variants.add("int8_selfdistil", int8, self.teacher.model, size, is_integer=True)

    def pruned(self) -> None:
        """Weights set to zero: a smaller download, no more speed."""
        network, size = _pruned(self.config, self.run, self.cache, self.stages), self.run.config.size
        zeros = self.config.pattern.replace(":", "of") if self.config.pattern else f"{100 * self.plan.sparsity:.0f}"
        int8 = convert.convert_int8(network, self.calibration(size))
        self.variants.add(f"int8_pruned{zeros}", int8, network, size, is_integer=True)
        if self.plan.aware_epochs and not self.plan.distil_epochs:  # lessons are of the slim network's size otherwise
            slimming = self._slimming()
            taught = slimming.made_aware(network, slimming.lessons(), preserve_zeros=True)
            name, int8 = f"int8_qat_pruned{zeros}", aware.convert_aware(taught)
            self.variants.add(name, int8, network, size, is_integer=True)

    def aware_of_the_run(self) -> None:
        """The whole network, trained on with fake quantisation."""
        slimming, network, size = self._slimming(), self.teacher.model, self.run.config.size
        taught = slimming.made_aware(network, slimming.lessons())
        self.variants.add("int8_qat", aware.convert_aware(taught), network, size, is_integer=True)

    def slim(self, table: LatencyTable, tell: Callable[[str], None]) -> None:
        """Fewer channels, perhaps smaller pictures; nothing where no channels are few enough."""
        slimming = self._slimming()
        try:
            slim = slimming.slimmed(table)
        except UsageError as error:  # the other variants may still be within the limits, and are worth showing
            tell(f"no slim network: {error}")
            return
        tell(
            f"slim network: {slim.kept:.0%} of the channels at {slim.shape.size} px, foretold "
            f"{slim.predicted_speed:.1f} times as fast as int8 and {slim.shape.bytes / 1000:.0f} kB"
        )
        size, name = slim.shape.size, f"int8_{slim.name}"
        int8 = convert.convert_int8(slim.model, self.calibration(size))
        self.variants.add(name, int8, slim.model, size, is_integer=True)
        self.variants.slimmed.append(self._record(slim, name))
        if self.plan.aware_epochs:
            network = slimming.made_aware(slim.model, slimming.lessons())
            self.variants.add(f"int8_qat_{slim.name}", aware.convert_aware(network), slim.model, size, is_integer=True)

    def calibration(self, size: int) -> NDArray[np.uint8]:
        """Training photos of all classes, as a device sees them."""
        train = self.run.members("train")
        labels = [photo.label for photo in train]
        picked = finished_run.pick_calibration(labels, self.config.calibration_photos, self.run.config.seed)
        return self.run.views([train[i] for i in picked], self.stages("reading calibration photos"), size).pictures

    def _slimming(self) -> Slimming:
        slimming = Slimming(self.teacher, self.plan, self.cache, self.work, self.stages)
        if slimming.work not in self.variants.work:
            self.variants.work.append(slimming.work)
        return slimming

    def _record(self, slim: SlimNetwork, name: str) -> Slimmed:
        left = slim.shape.widths
        widths = [
            Width(group.name, group.channels, left.get(group.name, group.channels)) for group in groups(self.run.model)
        ]
        return Slimmed(name, widths, self.run.config.size, slim.shape.size, slim.predicted_speed, None, slim.history)


def _pruned(config: ExportConfig, run: FinishedRun, cache: Path, stages: Stages) -> Any:
    train, asked = run.members("train"), run.config
    paths, hashes = [photo.path for photo in train], [photo.sha256 for photo in train]
    cached = build_cache(cache, run.root, paths, hashes, asked.size, stages("caching training photos"))
    channels = run.model.get_layer(FEATURES).output.shape[-1]
    mild = Augmentation(asked.size, max(asked.crop, MILDEST_CROP), asked.colour, 0.0, channels)
    weight = class_weights(train) if asked.balance else dict.fromkeys(run.labels, 1.0)
    truth, weights = run.truth(train), np.array([weight[photo.label] for photo in train], np.float32)

    def batches(epoch: int) -> Any:
        return epoch_batches(cached, truth, weights, mild, batch=asked.batch, seed=asked.seed + 1, epoch=epoch)

    how = Pruning(
        config.plan.sparsity, config.prune_epochs, max(1, len(train) // asked.batch), config.prune_rate,
        asked.label_smoothing, asked.seed, config.zeros_among,
    )  # fmt: skip
    return prune(run.model, batches, how, stages("pruning"))
