"""From a run folder to one model file: prune, quantise, measure each variant, choose, verify, package.

In:  RUN (model.keras, manifest.csv, config.json) and its photos.
Out: one `.tflite` with its card, and a table of all variants.

Validation photos alone decide which variant is written, its temperature and its threshold. Test photos are read last.
"""

from __future__ import annotations

import datetime
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
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
from export.finishing import Finished, finish
from export.finishing import answers as answers_of
from export.metadata import About
from export.package import Provenance, make_card, require_place, write_model
from export.report import ExportReport, Measured, write_export_report
from export.sparsify import Pruning, Sparsity, prune, sparsity_of
from export.trained import FinishedRun, Views, open_run
from export.unknowns import Unknowns, read_unknowns
from export.variants import Exported, Variant, as_json, table
from training.backbone import FEATURES
from training.fit import Stages, predict, silent
from training.photos import class_weights
from training.pipeline import Augmentation, build_cache, epoch_batches

__all__ = ["Exported", "Variant", "as_json", "export", "table"]

TIMED_INVOKES = 60
MILDEST_CROP = 0.5  # of the area; pruning has too few epochs to learn from smaller crops
CARD_SLACK = 256  # bytes; two cards of one file differ by their digits only
FINISHING_STEPS = 4
USUAL_PHOTOS = 1000  # whose features say what is strange

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
    tell: Callable[[str], None] = lambda line: None,
) -> Exported:
    """Export the trained network of `run` to the model file `out`.

    `show` is given the variants before the gate, so that a refusal can come with its table; `tell` what a person
    should know. Raises BudgetError when no variant is within the limits, ModelError for a run that is not finished or
    a file that does not prove itself, PhotoError for photos that are gone, OutputError for a place that cannot be
    written to; then `out` stays as it was.
    """
    require_place(out)
    trained = open_run(run, config.photos)
    bar = stages("reading unknown pictures") if config.unknown else None
    unknowns = read_unknowns(Path(config.unknown), trained, tell, bar) if config.unknown and bar else None
    views = trained.views(trained.members("validation"), stages("reading validation photos"))
    reference = predict(trained.model, views.pictures, stages("predicting with Keras"))
    float_validation = score(views.truth, reference, trained.labels)
    made = _variants(config, trained, cache, stages)
    variants = _measure(made, views, reference, trained.labels, stages)
    show(variants, float_validation)
    winner, finished = _chosen(config, trained, made, variants, float_validation, views, unknowns, out, stages)
    tested = _test(trained, made, variants, winner, finished, stages)
    before = metrics.expected_calibration_error(tested.before, tested.truth)
    card = _card(config, trained, winner.name, finished, tested.scores, tested.float_test, before)
    size = write_model(out, finished.flatbuffer, card, geometry.read_photo(trained.root / trained.photos[0].path))
    report = _report(out.stem, trained, winner, views, finished, tested, float_validation, unknowns)
    page = write_export_report(run / "export" / out.stem, report)
    return Exported(out, size, winner.name, tested.variants, float_validation, tested.float_test, card, page)


def _chosen(
    config: ExportConfig, run: FinishedRun, made: list[_Made], variants: list[Variant], float_validation: Scores,
    views: Views, unknowns: Unknowns | None, out: Path, stages: Stages,
) -> tuple[_Made, Finished]:  # fmt: skip
    """The variant to write, finished. How large its file is shows only then; one that is too large has lost."""
    candidates = {v.name: Candidate(v.name, v.is_integer, v.validation.top1, v.bytes, v.gzip_bytes) for v in variants}
    while True:
        best = choose(list(candidates.values()), float_validation.top1, max_drop=config.max_drop, max_kb=config.max_kb)
        winner = next(m for m in made if m.name == best.name)
        finished = _finish(config, run, winner, views, unknowns, out, stages)
        stand_in = _card(config, run, best.name, finished, float_validation, float_validation, 0.0)
        size = len(pack(finished.flatbuffer, stand_in)) + CARD_SLACK
        if not config.max_kb or size <= config.max_kb * 1000:
            return winner, finished
        candidates[best.name] = replace(best, bytes=size)


def _finish(
    config: ExportConfig, run: FinishedRun, winner: _Made, views: Views, unknowns: Unknowns | None, out: Path,
    stages: Stages,
) -> Finished:  # fmt: skip
    train = run.members("train")
    picked = quantize.pick_calibration([photo.label for photo in train], USUAL_PHOTOS, run.config.seed)
    usual = run.views([train[i] for i in picked], stages("reading training photos")).pictures
    bar, steps = stages("finishing"), count(1)
    about = About(
        out.stem,
        f"{winner.name} classifier of {', '.join(run.labels[:5])}{', ...' if len(run.labels) > 5 else ''}",
        datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        config.attribution or "",
        config.licence or "",
    )
    return finish(
        winner.flatbuffer, run.labels, views, about,
        coverage=config.coverage, usual=usual, unknown=unknowns.choosing if unknowns else None,
        has_evidence=config.evidence, seed=run.config.seed, step=lambda what: bar(next(steps), FINISHING_STEPS, what),
    )  # fmt: skip


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
        answers = answers_of(m.flatbuffer, views.pictures, m.name)
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


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class _Tested:
    """Test figures, once the choice is made."""

    float_test: Scores
    variants: tuple[Variant, ...]
    truth: NDArray[np.int64]
    before: NDArray[np.float32]  # of the winner without its temperature
    after: NDArray[np.float32]  # of the file
    scores: Scores


def _test(
    run: FinishedRun, made: list[_Made], variants: list[Variant], winner: _Made, finished: Finished, stages: Stages
) -> _Tested:
    views = run.views(run.members("test"), stages("reading test photos"))
    float_test = score(views.truth, predict(run.model, views.pictures), run.labels)
    seen, bar = {}, stages("measuring on test photos")
    for number, m in enumerate(made, 1):
        seen[m.name] = answers_of(m.flatbuffer, views.pictures, m.name)
        bar(number, len(made), m.name)
    before = seen[winner.name]
    seen[winner.name] = answers_of(finished.flatbuffer, views.pictures, winner.name)
    scores = {name: score(views.truth, found, run.labels) for name, found in seen.items()}
    tested = tuple(replace(v, test=scores[v.name], is_chosen=v.name == winner.name) for v in variants)
    return _Tested(float_test, tested, views.truth, before, seen[winner.name], scores[winner.name])


def _card(
    config: ExportConfig, run: FinishedRun, variant: str, finished: Finished, scores: Scores, float_scores: Scores,
    ece_before: float,
) -> ModelCard:  # fmt: skip
    provenance = Provenance(
        manifest_hash(run.photos), run.folder / "config.json", config.licence or "", config.attribution or ""
    )
    return make_card(
        finished, run.labels, run.config.size, variant, scores=scores, float_scores=float_scores,
        ece_before=ece_before, provenance=provenance,
    )  # fmt: skip


def _report(
    name: str, run: FinishedRun, winner: _Made, views: Views, finished: Finished, tested: _Tested,
    float_validation: Scores, unknowns: Unknowns | None,
) -> ExportReport:  # fmt: skip
    return ExportReport(
        name, run.labels, tested.variants, float_validation, tested.float_test, finished.temperature,
        finished.rejection,
        Measured(views.truth, answers_of(winner.flatbuffer, views.pictures), finished.validation),
        Measured(tested.truth, tested.before, tested.after),
        unknown=answers_of(finished.flatbuffer, unknowns.reporting) if unknowns else None,
        unknown_note=unknowns.note if unknowns else "",
        golden=finished.golden,
    )  # fmt: skip
