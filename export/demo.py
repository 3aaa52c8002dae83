"""The whole road on rendered flowers: photos, training, pruning and int8, live answers over a clip.

In:  nothing but a seed.
Out: a folder with the photos, the run, the model file, the clip, its annotated copy, the answers and a contact sheet.

Every figure is measured: test pictures are held out of training, and the clip is rendered from another seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.base.progress import Stages
from edge.contract.decision import Decision
from edge.contract.event import Event
from edge.contract.frame import Frame
from edge.contract.sink import ALL, Sink
from edge.errors import SourceError
from edge.live.loop import LiveConfig, run_live
from edge.live.monitor import LiveSummary
from edge.model.classifier import Classifier
from edge.picture import geometry
from edge.sinks.clip import ClipSink
from edge.sinks.jsonl import JsonLinesFile
from edge.sources.opening import open_source
from export.config import ExportConfig
from export.exporter import export
from export.variants.variant import Exported
from training.config import TrainConfig
from training.fitting.closing import evaluate_run
from training.fitting.fit import fit
from training.garden.parade import ClipScene, render_clip
from training.garden.planting import plant
from training.report import plots

PER_CLASS, PHOTO_WH = 200, (160, 128)
FLOWERS, FRAMES_PER_FLOWER, FPS = 10, 30, 15
CLIP_WH = (320, 240)
CONTACT_COLUMNS = 5


@dataclass(frozen=True)
class Demo:
    """What the demo did, and where it is."""

    folder: Path
    photos: int
    exported: Exported
    summary: LiveSummary
    scenes: int
    named: int  # scenes whose flower was the answer in its middle


def training_config(photos: Path, seed: int, epochs: int) -> TrainConfig:
    """A small network from scratch, sized for two cores and two minutes."""
    return TrainConfig(
        photos=str(photos), weights="none", alpha=0.35, size=96, seed=seed, epochs=epochs, head_epochs=0, rate=4e-3,
        dropout=0.0, average=0.95, patience=epochs, crop=0.7, colour=0.4,
    )  # fmt: skip


def demo(folder: Path, seed: int, epochs: int, stages: Stages, tell: Callable[[str], None]) -> Demo:
    """Run everything into `folder`. Raises what the stages raise."""
    photos, run, model = folder / "photos", folder / "run", folder / "garden.tflite"
    tell(f"1/4  a garden of {5 * PER_CLASS} rendered pictures, five species")
    planted = plant(photos, PER_CLASS, seed, PHOTO_WH, stages("planting"))
    tell(f"2/4  a small MobileNet, trained on them from scratch for {epochs} epochs")
    run.mkdir(parents=True, exist_ok=True)
    config = training_config(photos, seed, epochs)
    config.write(run / "config.json")
    evaluate_run(fit(config, run, folder / "cache", stages, tell), stages)
    tell("3/4  pruned, quantised to int8, measured, packaged")
    asked = ExportConfig(
        preset="accurate",
        max_drop=3.0,
        self_epochs=0,
        aware_epochs=0,
        sparsity=0.5,
        prune_epochs=8,
        prune_rate=2e-3,
        calibration=150,
        licence="Apache-2.0, rendered pictures",
    )
    exported = export(asked, run, model, folder / "cache", stages, tell=tell)
    tell("4/4  live over a clip in which one flower after another passes by")
    scenes = render_clip(
        folder / "clip.avi", seed + 1, CLIP_WH, FLOWERS, FRAMES_PER_FLOWER, FPS, stages("rendering the clip")
    )
    summary, seen = _live(model, folder, scenes, stages)
    named = sum(seen[_middle(scene)][0].shown == scene.species for scene in scenes)
    tiles = [_tile(*seen[_middle(scene)]) for scene in scenes]
    plots.sheet(tiles, folder / "contact-sheet.png", CONTACT_COLUMNS)
    return Demo(folder, planted, exported, summary, len(scenes), named)


class _Watcher:
    """A sink that keeps the decisions in the middle of each scene, and moves the progress bar."""

    name, backlog, needs_picture = "demo", ALL, True

    def __init__(self, wanted: set[int], total: int, bar: Callable[..., None]) -> None:
        self.seen: dict[int, tuple[Decision, Frame]] = {}
        self._wanted, self._total, self._bar = wanted, total, bar

    def show(self, decision: Decision, frame: Frame) -> None:
        if frame.number in self._wanted:
            self.seen[frame.number] = (decision, frame)
        self._bar(frame.number + 1, self._total, f"{decision.shown} {decision.probability:.0%}")

    def tell(self, event: Event) -> None:
        """A clip brings none."""

    def close(self) -> None:
        """Nothing is held open."""


def _live(
    model: Path, folder: Path, scenes: list[ClipScene], stages: Stages
) -> tuple[LiveSummary, dict[int, tuple[Decision, Frame]]]:
    watcher = _Watcher({_middle(scene) for scene in scenes}, scenes[-1].last_frame + 1, stages("watching the clip"))
    sinks: list[Sink] = [JsonLinesFile(folder / "answers.jsonl"), ClipSink(folder / "annotated.avi", FPS), watcher]
    summary = run_live(Classifier(model), open_source(str(folder / "clip.avi")), sinks, config=LiveConfig())
    if summary.error is not None:
        raise summary.error
    if len(watcher.seen) != len({_middle(scene) for scene in scenes}):
        raise SourceError(f"{folder / 'clip.avi'}: only {summary.frames} frames could be read back; render it again")
    return summary, watcher.seen


def _middle(scene: ClipScene) -> int:
    return (scene.first_frame + scene.last_frame) // 2


def _tile(decision: Decision, frame: Frame) -> plots.Tile:
    picture = geometry.model_input(frame.image_bgr, 224)
    return np.ascontiguousarray(picture), f"{decision.shown} {decision.probability:.0%}"
