"""From a run folder or a Keras file to one model file: make variants, measure each, choose, verify, package.

In:  RUN (model.keras, manifest.csv, config.json) and its photos; or a Keras file, its labels and photos.
Out: one `.tflite` with its card, and a table of all variants.

Validation photos alone decide which variant is written, its temperature and its threshold. Test photos are read last.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from edge.base.progress import Stages, silent
from edge.errors import FloraError, UsageError
from edge.evaluation import calibration
from edge.evaluation.accuracy import Scores, score
from edge.model.card import ModelCard, pack
from edge.photos.manifest import Split, manifest_hash
from edge.picture import geometry
from export.config import ExportConfig
from export.finishing.finish import Finished, finish
from export.finishing.finish import answers as answers_of
from export.finishing.package import Provenance, make_card, require_place, write_model
from export.graph.metadata import About
from export.opening import finished_run
from export.opening.finished_run import FinishedRun, Views, open_run, slim_size
from export.opening.from_keras import is_keras_file, open_keras
from export.opening.unknowns import Unknowns, read_unknowns
from export.report.export_page import ExportReport, Measured, write_export_report
from export.variants.choosing import Budget, Candidate, choose
from export.variants.making import Variants, device_table, make_variants
from export.variants.measuring import Made, Tested, measure, tested
from export.variants.variant import Exported, Variant, as_json, table
from training.network.backbone import EVIDENCE
from training.network.inference import predict

__all__ = ["Exported", "Variant", "as_json", "export", "table"]

CARD_SLACK = 256  # bytes; two cards of one file differ by their digits only
FINISHING_STEPS = 4
USUAL_PHOTOS = 1000  # whose features say what is strange
WORK = "exports"  # below the cache: what takes minutes, kept until an export is done

Show = Callable[[Sequence[Variant], Scores], None]
Tell = Callable[[str], None]


def export(
    config: ExportConfig, run: Path, out: Path, cache: Path, stages: Stages = silent,
    show: Show = lambda variants, float_validation: None, tell: Tell = lambda line: None,
) -> Exported:  # fmt: skip
    """Export the trained network of `run`, a run folder or a Keras file, to the model file `out`.

    `show` is given the variants before the gate, so that a refusal can come with its table; `tell` what a person
    should know. What took minutes is kept below `cache` until a file is written: a broken-off or refused export goes
    on from there. Raises BudgetError when no variant is within the limits, UsageError for what cannot be had,
    ModelError for a run that is not finished or a file that does not prove itself, PhotoError for photos that are
    gone, OutputError for a place that cannot be written to; then `out` stays as it was.
    """
    require_place(out)
    device = device_table(config)
    trained = _opened(config, run, stages, tell)
    photos, unknowns = _Photos(trained, stages), _unknowns(config, trained, stages, tell)
    job = _Job(config, trained, photos, unknowns, out.stem, stages)
    views = photos.validation(trained.config.size)
    reference = predict(trained.model, views.pictures, stages("predicting with Keras"))
    float_validation = score(views.truth, reference, trained.labels)
    found = make_variants(config, trained, device, cache, cache / WORK, stages, tell)
    variants = measure(found.made, photos.validation, reference, trained.labels, stages)
    show(variants, float_validation)
    winner, finished = _chosen(job, found, variants, float_validation, tell)
    result = job.tested(found.made, variants, winner, finished)
    before = calibration.expected_calibration_error(result.before, result.truth)
    card = job.card(winner, finished, result.scores, result.float_test, before)
    size = write_model(out, finished.flatbuffer, card, geometry.read_photo(trained.root / trained.photos[0].path))
    page = write_export_report(
        trained.exports / out.stem, job.report(winner, finished, result, float_validation, found)
    )
    for work in found.work:
        shutil.rmtree(work, ignore_errors=True)
    return Exported(out, size, winner.name, result.variants, float_validation, result.float_test, card, page)


def _opened(config: ExportConfig, run: Path, stages: Stages, tell: Tell) -> FinishedRun:
    """The trained network, and what is going to be done with it told."""
    if is_keras_file(run):
        trained = open_keras(run, config.labels, config.photos, config.pixels, stages, tell)
    elif config.labels:
        raise UsageError(
            f"--labels {config.labels}: {run} is no Keras file, and a run knows its labels; leave out --labels"
        )
    else:
        trained = open_run(run, config.photos)
    if trained.why_fixed and config.plan.speed > 1:
        raise UsageError(
            f"{run}: can only be quantised ({trained.why_fixed}), which makes it no {config.plan.speed:g} times as "
            "fast as its int8 file; give --preset accurate, or --speed 0"
        )
    if config.evidence and EVIDENCE not in {layer.name for layer in trained.model.layers}:
        raise UsageError(
            f"{run}: its head has no map of evidence (expected 1x1 convolution, average, softmax); leave out "
            "--evidence, or train with: flora train"
        )
    plan = replace(config.plan, size=slim_size(trained, config.plan))
    if trained.why_fixed:
        plan = replace(plan, self_epochs=0, distil_epochs=0, aware_epochs=0, sparsity=0.0)
    tell(f"{config.preset}{', quick' if config.quick else ''}: {plan}")
    return trained


def _chosen(
    job: _Job, found: Variants, variants: list[Variant], float_scores: Scores, tell: Tell
) -> tuple[Made, Finished]:
    try:
        return job.chosen(found.made, variants, float_scores)
    except FloraError:
        for work in filter(Path.exists, found.work):
            tell(f"kept, and gone on with if the limits are changed: {work}")
        raise


def _unknowns(config: ExportConfig, run: FinishedRun, stages: Stages, tell: Tell) -> Unknowns | None:
    if not config.unknown:
        return None
    sizes = {run.config.size, slim_size(run, config.plan)}
    return read_unknowns(Path(config.unknown), run, sizes, tell, stages("reading unknown pictures"))


class _Photos:
    """The photos of a split as networks of different sizes see them, each size read once, when it is asked for."""

    def __init__(self, run: FinishedRun, stages: Stages) -> None:
        self._run, self._stages = run, stages
        self._known: dict[tuple[Split, int], Views] = {}

    def validation(self, size: int) -> Views:
        return self._views("validation", size)

    def test(self, size: int) -> Views:
        return self._views("test", size)

    def _views(self, split: Split, size: int) -> Views:
        if (split, size) not in self._known:
            bar = self._stages(f"reading {split} photos")
            self._known[split, size] = self._run.views(self._run.members(split), bar, size)
        return self._known[split, size]


@dataclass(frozen=True, eq=False)
class _Job:
    """From the measured variants to one file."""

    config: ExportConfig
    run: FinishedRun
    photos: _Photos
    unknowns: Unknowns | None
    name: str  # of the file, without its ending
    stages: Stages

    def chosen(self, made: list[Made], variants: list[Variant], float_scores: Scores) -> tuple[Made, Finished]:
        """The variant to write, finished. How large its file is shows only then; one that is too large has lost."""
        plan, candidates = self.config.plan, {v.name: _candidate(v) for v in variants}
        budget = Budget(float_scores.top1, plan.max_drop, plan.max_kb, plan.speed)
        while True:
            best = choose(list(candidates.values()), budget)
            winner = next(m for m in made if m.name == best.name)
            finished = self.finished(winner)
            stand_in = self.card(winner, finished, float_scores, float_scores, 0.0)
            size = len(pack(finished.flatbuffer, stand_in)) + CARD_SLACK
            if not plan.max_kb or size <= plan.max_kb * 1000:
                return winner, finished
            candidates[best.name] = replace(best, bytes=size)

    def finished(self, winner: Made) -> Finished:
        """Calibrated on validation photos, with threshold, golden cases and metadata."""
        config, run, train = self.config, self.run, self.run.members("train")
        picked = finished_run.pick_calibration([photo.label for photo in train], USUAL_PHOTOS, run.config.seed)
        bar, steps = self.stages("reading training photos"), count(1)
        usual = run.views([train[i] for i in picked], bar, winner.size).pictures
        bar = self.stages("finishing")
        return finish(
            winner.flatbuffer, run.labels, self.photos.validation(winner.size), self._about(winner),
            coverage=config.coverage, usual=usual,
            unknown=self.unknowns.choosing(winner.size) if self.unknowns else None,
            has_evidence=config.evidence, seed=run.config.seed,
            step=lambda what: bar(next(steps), FINISHING_STEPS, what),
        )  # fmt: skip

    def _about(self, winner: Made) -> About:
        labels = self.run.labels
        return About(
            self.name,
            f"{winner.name} classifier of {', '.join(labels[:5])}{', ...' if len(labels) > 5 else ''}",
            datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            self.config.attribution or "",
            self.config.licence or "",
        )

    def tested(self, made: list[Made], variants: list[Variant], winner: Made, finished: Finished) -> Tested:
        """All variants on the test photos, which are read here for the first time."""
        run = self.run
        reference = predict(run.model, self.photos.test(run.config.size).pictures)
        return tested(
            made, variants, winner.name, finished.flatbuffer, self.photos.test, reference, run.labels, self.stages
        )

    def card(
        self, winner: Made, finished: Finished, scores: Scores, float_scores: Scores, ece_before: float
    ) -> ModelCard:
        run, config = self.run, self.config
        attribution = "; ".join(filter(None, (config.attribution, run.remark)))
        provenance = Provenance(manifest_hash(run.photos), run.source, config.licence or "", attribution)
        return make_card(
            finished, run.labels, winner.size, winner.name, scores=scores, float_scores=float_scores,
            ece_before=ece_before, provenance=provenance,
        )  # fmt: skip

    def report(
        self, winner: Made, finished: Finished, result: Tested, float_validation: Scores, found: Variants
    ) -> ExportReport:
        views, unknowns = self.photos.validation(winner.size), self.unknowns
        speeds = {variant.name: variant.speed for variant in result.variants}
        return ExportReport(
            self.name, self.run.labels, result.variants, float_validation, result.float_test, finished.temperature,
            finished.rejection,
            Measured(views.truth, answers_of(winner.flatbuffer, views.pictures), finished.validation),
            Measured(result.truth, result.before, result.after),
            unknown=answers_of(finished.flatbuffer, unknowns.reporting(winner.size)) if unknowns else None,
            unknown_note=unknowns.note if unknowns else "",
            golden=finished.golden,
            slimmed=[replace(one, measured_speed=speeds[one.name]) for one in found.slimmed],
        )  # fmt: skip


def _candidate(variant: Variant) -> Candidate:
    speed = variant.speed.value if variant.speed else 1.0
    return Candidate(
        variant.name, variant.is_integer, variant.validation.top1, variant.bytes, variant.gzip_bytes, speed
    )
