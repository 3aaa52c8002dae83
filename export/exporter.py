"""From a run folder to one model file: prune, quantise, measure each variant, choose, verify, package.

In:  RUN (model.keras, manifest.csv, config.json) and its photos.
Out: one `.tflite` with its card, and a table of all variants.

Validation photos alone decide which variant is written. Test photos are read after the choice.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import geometry, metrics
from edge.benchmark import time_invokes
from edge.card import ModelCard, pack
from edge.interpreter import Interpreter
from edge.manifest import manifest_hash
from edge.metrics import Scores, score
from export import quantize
from export.budget import Candidate, choose
from export.config import ExportConfig
from export.package import make_card, require_place, write_model
from export.sparsify import Pruning, Sparsity, prune, sparsity_of
from export.trained import FinishedRun, Views, open_run
from export.variants import Exported, Variant, as_json, table
from training.backbone import FEATURES
from training.fit import Stages, predict, silent
from training.photos import class_weights
from training.pipeline import Augmentation, build_cache, epoch_batches

__all__ = ["Exported", "Variant", "as_json", "export", "table"]

TIMED_INVOKES = 60
MILDEST_CROP = 0.5  # of the area; pruning has too few epochs to learn from smaller crops
CARD_SLACK = 256  # bytes; two cards of one run differ by their digits and hashes only

Show = Callable[[Sequence[Variant], Scores], None]


@dataclass(frozen=True)
class _Made:
    """A variant that has not been measured yet."""

    name: str
    flatbuffer: bytes
    sparsity: Sparsity


def export(
    config: ExportConfig,
    run: Path,
    out: Path,
    cache: Path,
    stages: Stages = silent,
    show: Show = lambda variants, float_validation: None,
) -> Exported:
    """Export the trained network of `run` to the model file `out`.

    `show` is given the variants before the gate, so that a refusal can come with its table. Raises
    BudgetError when no variant is within the limits, ModelError for a run that is not finished, PhotoError for
    photos that are gone, OutputError for a place that cannot be written to; then `out` stays as it was.
    """
    require_place(out)
    trained = open_run(run, config.photos)
    views = trained.views(trained.members("validation"), stages("reading validation photos"))
    reference = predict(trained.model, views.pictures, stages("predicting with Keras"))
    float_validation = score(views.truth, reference, trained.labels)
    made = _variants(config, trained, cache, stages)
    variants = _measure(made, views, reference, trained.labels, stages)
    show(variants, float_validation)
    chosen = choose(
        _candidates(config, trained, variants, float_validation),
        float_validation.top1, max_drop=config.max_drop, max_kb=config.max_kb,
    )  # fmt: skip
    float_test, variants = _test(trained, made, variants, chosen.name, stages)
    winner, flatbuffer = next((v, m.flatbuffer) for v, m in zip(variants, made, strict=True) if v.is_chosen)
    assert winner.test is not None
    card = _card(config, trained, flatbuffer, winner.name, winner.test, float_test)
    size = write_model(out, flatbuffer, card, geometry.read_photo(trained.root / trained.photos[0].path))
    return Exported(out, size, winner.name, tuple(variants), float_validation, float_test)


def _variants(config: ExportConfig, run: FinishedRun, cache: Path, stages: Stages) -> list[_Made]:
    """Every variant, in the order of the table."""
    train = run.members("train")
    picked = quantize.pick_calibration([photo.label for photo in train], config.calibration, run.config.seed)
    calibration = run.views([train[i] for i in picked], stages("reading calibration photos")).pictures
    dense = sparsity_of(run.model)
    made = [
        _Made("float32", quantize.convert_float(run.model), dense),
        _Made("dynamic_range", quantize.convert_dynamic_range(run.model), dense),
        _Made("int8", quantize.convert_int8(run.model, calibration), dense),
    ]
    if config.sparsity:
        pruned = _prune(config, run, cache, stages)
        name = f"int8_pruned{round(100 * config.sparsity)}"
        made.append(_Made(name, quantize.convert_int8(pruned, calibration), sparsity_of(pruned)))
    return made


def _prune(config: ExportConfig, run: FinishedRun, cache: Path, stages: Stages) -> Any:
    train, asked = run.members("train"), run.config
    paths, hashes = [photo.path for photo in train], [photo.sha256 for photo in train]
    cached = build_cache(cache, run.root, paths, hashes, asked.size, stages("caching training photos"))
    channels = run.model.get_layer(FEATURES).output.shape[-1]
    mild = Augmentation(asked.size, max(asked.crop, MILDEST_CROP), asked.colour, 0.0, channels)
    weight = class_weights(train) if asked.balance else dict.fromkeys(run.labels, 1.0)
    truth, weights = run.truth(train), np.array([weight[photo.label] for photo in train], np.float32)

    def batches(epoch: int) -> Any:
        return epoch_batches(cached, truth, weights, mild, batch=asked.batch, seed=asked.seed + 1, epoch=epoch)

    steps = max(1, len(train) // asked.batch)
    how = Pruning(config.sparsity, config.prune_epochs, steps, config.prune_rate, asked.label_smoothing, asked.seed)
    return prune(run.model, batches, how, stages("pruning"))


def _measure(
    made: list[_Made], views: Views, reference: NDArray[Any], labels: tuple[str, ...], stages: Stages
) -> list[Variant]:
    times = time_invokes({m.name: Interpreter(m.flatbuffer, m.name, threads=1) for m in made}, TIMED_INVOKES)
    bar = stages("measuring variants")
    variants = []
    for number, m in enumerate(made, 1):
        answers = _answers(m, views.pictures)
        variants.append(
            Variant(
                m.name,
                is_integer=m.name.startswith("int8"),
                bytes=len(m.flatbuffer),
                gzip_bytes=len(gzip.compress(m.flatbuffer, 9)),
                p50_ms=metrics.percentiles(times[m.name]).p50,
                sparsity=m.sparsity.total,
                sparsity_by_layer=m.sparsity.by_layer,
                validation=score(views.truth, answers, labels),
                agreement=metrics.agreement(answers.argmax(axis=1), reference.argmax(axis=1)),
            )
        )
        bar(number, len(made), m.name)
    return variants


def _answers(made: _Made, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    interpreter = Interpreter(made.flatbuffer, made.name)
    return np.stack([interpreter(picture) for picture in pictures])


def _candidates(config: ExportConfig, run: FinishedRun, variants: list[Variant], reference: Scores) -> list[Candidate]:
    """What the choice may know: sizes are those of the file, with a little to spare for its card."""
    card = _card(config, run, b"", "int8", reference, reference)  # stands in for the real one, which knows test figures
    extra = len(pack(b"", card)) + CARD_SLACK
    return [Candidate(v.name, v.is_integer, v.validation.top1, v.bytes + extra, v.gzip_bytes) for v in variants]


def _test(
    run: FinishedRun, made: list[_Made], variants: list[Variant], chosen: str, stages: Stages
) -> tuple[Scores, list[Variant]]:
    """Test figures of the network and of every variant, once the choice is made."""
    views = run.views(run.members("test"), stages("reading test photos"))
    float_test = score(views.truth, predict(run.model, views.pictures), run.labels)
    tested, bar = [], stages("measuring on test photos")
    for number, (m, v) in enumerate(zip(made, variants, strict=True), 1):
        scores = score(views.truth, _answers(m, views.pictures), run.labels)
        tested.append(replace(v, test=scores, is_chosen=v.name == chosen))
        bar(number, len(made), v.name)
    return float_test, tested


def _card(
    config: ExportConfig, run: FinishedRun, flatbuffer: bytes, variant: str, scores: Scores, float_scores: Scores
) -> ModelCard:
    return make_card(
        flatbuffer, run.labels, run.config.size, variant, scores=scores, float_scores=float_scores,
        manifest_sha256=manifest_hash(run.photos), config_path=run.folder / "config.json",
        licence=config.licence or "", attribution=config.attribution or "",
    )  # fmt: skip
