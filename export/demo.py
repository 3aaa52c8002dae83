"""The whole road on rendered flowers: photos, training, pruning and int8, live answers over a clip.

In:  nothing but a seed.
Out: a folder with the photos, the run, the model file, the clip, its annotated copy, the answers and a contact sheet.

Every figure is measured: test pictures are held out of training, and the clip is rendered from another seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.contract.decision import Decision
from edge.contract.event import Event
from edge.contract.frame import Frame
from edge.contract.rejection import UNKNOWN
from edge.contract.sink import ALL, Sink
from edge.errors import SourceError
from edge.live.loop import LiveConfig, run_live
from edge.live.monitor import LiveSummary
from edge.model.classifier import Classifier
from edge.photos import run_folder
from edge.picture import geometry
from edge.sinks.clip import ClipSink
from edge.sinks.jsonl import JsonLinesFile
from edge.sources.opening import open_source
from export.config import ExportConfig
from export.forecast import CLIP, EXPORT, GARDEN, TRAINING, Forecast, in_words, sample_s
from training.config import TrainConfig
from training.garden.parade import NOTHING, ClipScene, render_clip
from training.garden.planting import SPECIES, plant

if TYPE_CHECKING:
    from edge.base.progress import Say, Stages
    from export.outcome import Exported
    from training.report.plots import Tile

PER_CLASS, EMPTY, PHOTO_WH = 300, 200, (160, 128)  # pictures of a species, of none
FLOWERS, EMPTY_PLACES, FRAMES_PER_FLOWER, FPS = 10, 4, 30, 15
CLIP_WH = (320, 240)
CONTACT_COLUMNS = 5
PATIENCE, MADE = 4, 120  # epochs, pictures of nothing
# What the steps cost in times of a rendered flower, on two cores; of training, before its epochs and for each of them.
COSTS = {GARDEN: 1600.0, TRAINING: 1200.0, EXPORT: 3400.0, CLIP: 900.0}
EPOCH_COST, USUAL_EPOCHS = 190.0, 20


@dataclass(frozen=True)
class Demo:
    """What the demo did, and where it is."""

    folder: Path
    photos: int
    exported: Exported
    summary: LiveSummary
    scenes: int
    named: int  # scenes whose flower was the answer in its middle
    empty_frames: int  # of the clip, without a flower
    empty_named: int  # of these, named as one all the same


def training_config(photos: Path, seed: int, epochs: int) -> TrainConfig:
    """A small network from scratch, sized for two cores and a minute."""
    return TrainConfig(
        photos=str(photos), backbone="mobilenet", weights="none", alpha=0.25, size=96, seed=seed, epochs=epochs,
        head_epochs=0, rate=4e-3, dropout=0.0, average=0.95, patience=PATIENCE, crop=0.85, colour=0.2,
        made_others=MADE,
    )  # fmt: skip


EXPORT_CONFIG = ExportConfig(
    preset="accurate", max_drop=3.0, self_epochs=0, aware_epochs=0, sparsity=0.5, prune_epochs=10, prune_rate=2e-3,
    calibration=150, coverage=0.98, licence="Apache-2.0, rendered pictures",
)  # fmt: skip


def forecast(epochs: int) -> Forecast:
    """How long the steps will take on this machine, measured in less than a second."""
    training = COSTS[TRAINING] + EPOCH_COST * min(epochs, USUAL_EPOCHS)
    return Forecast(COSTS | {TRAINING: training}, sample_s())


def demo(folder: Path, seed: int, epochs: int, stages: Stages, tell: Say) -> Demo:
    """Run everything into `folder`. Raises what the steps raise."""
    foretold = forecast(epochs)
    tell(f"four steps, about {in_words(foretold.total_s)} on this machine")

    def begin(number: int, step: str, what: str) -> None:
        tell(f"{number}/4  {what}: about {in_words(foretold.begin(step))}")

    pictures = len(SPECIES) * PER_CLASS + EMPTY
    begin(1, GARDEN, f"a garden of {pictures} rendered pictures, five species, and {EMPTY} of them with no flower")
    planted = plant(folder / "photos", PER_CLASS, seed, PHOTO_WH, stages("planting"), empty=EMPTY)
    begin(2, TRAINING, f"a small MobileNet, trained on them from scratch, {epochs} epochs at most")
    _train(folder, training_config(folder / "photos", seed, epochs), stages, tell)
    begin(3, EXPORT, "pruned, quantised to int8, measured, packaged")
    exported = _export(folder, stages, tell)
    begin(4, CLIP, "live over a clip in which one flower after another passes by, and now and then none")
    scenes = render_clip(
        folder / "clip.avi", seed + 1, CLIP_WH, FLOWERS, FRAMES_PER_FLOWER, FPS, stages("rendering the clip"),
        empty=EMPTY_PLACES,
    )  # fmt: skip
    summary, watcher = _live(exported.path, folder, scenes, stages)
    flowers = [scene for scene in scenes if scene.species != NOTHING]
    named = sum(watcher.seen[_middle(scene)][0].shown == scene.species for scene in flowers)
    empty = [word for number, word in watcher.shown.items() if _is_empty(number, scenes)]
    false = sum(word != UNKNOWN for word in empty)
    return Demo(folder, planted, exported, summary, len(flowers), named, len(empty), false)


def _is_empty(frame: int, scenes: list[ClipScene]) -> bool:
    """Whether a frame is of a stretch without a flower."""
    return any(scene.species == NOTHING and scene.first_frame <= frame <= scene.last_frame for scene in scenes)


def _train(folder: Path, config: TrainConfig, stages: Stages, tell: Say) -> None:
    run = folder / "run"
    bar = stages("loading TensorFlow")
    from training.fitting.closing import evaluate_run  # only now: it takes seconds, or on a cold disk half a minute
    from training.fitting.fit import fit

    bar(1, 1)
    run.mkdir(parents=True, exist_ok=True)
    config.write(run / run_folder.CONFIG)
    trained = fit(config, run, folder / "cache", stages, tell)
    best = trained.history[trained.best_epoch - 1]
    tell(
        f"{len(trained.history)} epochs; validation found number {trained.best_epoch} the best: "
        f"{best['val_accuracy']:.0%} of its pictures named rightly"
    )
    evaluate_run(trained, stages)


def _export(folder: Path, stages: Stages, tell: Say) -> Exported:
    bar = stages("loading the exporter")
    from export.exporter import export

    bar(1, 1)
    return export(EXPORT_CONFIG, folder / "run", folder / "garden.tflite", folder / "cache", stages, tell=tell)


class _Watcher:
    """A sink that keeps the decisions in the middle of each scene, and moves the progress bar."""

    name, backlog, needs_picture = "demo", ALL, True

    def __init__(self, wanted: set[int], total: int, bar: Callable[..., None]) -> None:
        self.seen: dict[int, tuple[Decision, Frame]] = {}
        self.shown: dict[int, str] = {}  # the answer to each frame
        self._wanted, self._total, self._bar = wanted, total, bar

    def show(self, decision: Decision, frame: Frame) -> None:
        self.shown[frame.number] = decision.shown
        if frame.number in self._wanted:
            self.seen[frame.number] = (decision, frame)
        self._bar(frame.number + 1, self._total, decision.said)

    def tell(self, event: Event) -> None:
        """A clip brings none."""

    def close(self) -> None:
        """Nothing is held open."""


def _live(
    model: Path, folder: Path, scenes: list[ClipScene], stages: Stages
) -> tuple[LiveSummary, _Watcher]:
    watcher = _Watcher({_middle(scene) for scene in scenes}, scenes[-1].last_frame + 1, stages("watching the clip"))
    sinks: list[Sink] = [JsonLinesFile(folder / "answers.jsonl"), ClipSink(folder / "annotated.avi", FPS), watcher]
    summary = run_live(Classifier(model), open_source(str(folder / "clip.avi")), sinks, config=LiveConfig())
    if summary.error is not None:
        raise summary.error
    if len(watcher.seen) != len({_middle(scene) for scene in scenes}):
        raise SourceError(f"{folder / 'clip.avi'}: only {summary.frames} frames could be read back; render it again")
    _draw([watcher.seen[_middle(scene)] for scene in scenes], folder / "contact-sheet.png")
    return summary, watcher


def _draw(shown: list[tuple[Decision, Frame]], path: Path) -> None:
    from training.report import plots

    plots.sheet([_tile(decision, frame) for decision, frame in shown], path, CONTACT_COLUMNS)


def _middle(scene: ClipScene) -> int:
    return (scene.first_frame + scene.last_frame) // 2


def _tile(decision: Decision, frame: Frame) -> Tile:
    picture = geometry.model_input(frame.image_bgr, 224)
    surely = "" if decision.is_unknown else f" {decision.probability:.0%}"
    return np.ascontiguousarray(picture), f"{decision.said}{surely}"
