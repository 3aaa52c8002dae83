"""From a run folder or a Keras file to one model file: make variants, measure each, choose, verify, package.

In:  RUN (model.keras, manifest.csv, config.json) and its photos; or a Keras file, its labels and photos.
Out: one `.tflite` with its card, and a table of all variants.

Validation photos alone decide which variant is written, its temperature and its threshold. Test photos are read last.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base.progress import Say, Stages, silent
from edge.contract.rejection import UNKNOWN
from edge.errors import FloraError, ModelError, UsageError
from edge.evaluation.accuracy import Scores, score
from edge.model.card import ModelCard, Unknown, pack
from edge.photos.manifest import Split, manifest_hash
from edge.picture import geometry
from export.config import ExportConfig
from export.finishing.finish import Finished, finish
from export.finishing.others import as_long, learned_from, source_of, told_apart
from export.finishing.package import Provenance, make_card, require_place, write_model
from export.graph.asking import answers as answers_of
from export.graph.metadata import About
from export.opening.finished_run import FinishedRun, Views, open_run, pick_calibration, slim_size
from export.opening.from_keras import is_keras_file, open_keras
from export.opening.unknowns import Unknowns, read_unknowns
from export.outcome import Exported, PassedOver
from export.report.export_page import ExportReport, Measured, write_export_report
from export.slimming.shaping import Judged
from export.variants.choosing import Budget, BudgetError, Candidate, choose, drop, misses, passed_over, remedy
from export.variants.maker import Variants, device_table, make_variants
from export.variants.measuring import Tested, measure, tested
from export.variants.variant import Made, Variant
from training.network.backbone import EVIDENCE
from training.network.inference import predict

CARD_SLACK = 256  # bytes; two cards of one file differ by their digits only
MOST_ADDED = 100_000  # bytes; by finishing: a residual, a card. What is smaller than a limit by more is not in doubt
FINISHING_STEPS = 4
USUAL_PHOTOS = 1000  # whose features say what is strange
WORK = "exports"  # below the cache: what takes minutes, kept until an export is done

Show = Callable[[Sequence[Variant], Scores], None]


def export(
    config: ExportConfig, run: Path, out: Path, cache: Path, stages: Stages = silent,
    show: Show = lambda variants, float_validation: None, tell: Say = lambda line: None,
) -> Exported:  # fmt: skip
    """Export the trained network of `run`, a run folder or a Keras file, to the model file `out`.

    `show` is given the variants before the gate, so that a refusal can come with its table; `tell` what a person
    should know. What took minutes is kept below `cache` until a file is written: a broken-off or refused export goes
    on from there. Raises BudgetError when no variant is within the limits, UsageError for what cannot be had,
    ModelError for a run that is not finished or a file that does not prove itself, PhotoError for photos that are
    gone, OutputError for a place that cannot be written to; then `out` stays as it was.
    """
    require_place(out)
    device = device_table(config, tell)
    trained = _opened(config, run, stages, tell)
    photos, unknowns = _Photos(trained, stages), _unknowns(config, trained, stages, tell)
    job = _Job(config, trained, photos, unknowns, out.stem, stages)
    views = photos.validation(trained.config.size)
    reference = predict(trained.model, views.pictures, stages("predicting with Keras"))
    float_validation = score(views.truth, reference, trained.labels)
    found = make_variants(config, trained, device, cache, cache / WORK, stages, tell)
    variants = measure(found.made, photos.validation, reference, trained.labels, stages)
    show(variants, float_validation)
    winner, finished, choice = _chosen(job, found, variants, float_validation, tell)
    result = job.tested(found.made, variants, winner, finished)
    before = score(result.truth, result.before, trained.labels).ece
    others = job.reporting(result, finished, winner.size)
    unknown = job.unknown(finished, result, others)
    card = job.card(winner, finished, result.scores, result.float_test, before, unknown)
    first = geometry.read_photo(trained.root / trained.located(trained.photos[:1])[0])
    size = write_model(out, finished.flatbuffer, card, first)
    page = write_export_report(
        trained.exports / out.stem, job.report(winner, finished, result, float_validation, found, choice, others)
    )
    _tidy(found, choice, tell)
    return Exported(
        out, size, winner.name, result.variants, float_validation, result.float_test, card, page, choice.missed,
        choice.passed_over,
    )  # fmt: skip


def _opened(config: ExportConfig, run: Path, stages: Stages, tell: Say) -> FinishedRun:
    """The trained network, and what is going to be done with it told."""
    if is_keras_file(run):
        trained = open_keras(run, config.labels, config.photos, config.pixels, stages, tell)
    elif config.labels:
        raise UsageError(
            f"--labels {config.labels}: {run} is no Keras file, and a run knows its labels; leave out --labels"
        )
    else:
        trained = open_run(run, config.photos, tell, config.unknown)
    if trained.why_fixed and "speed" in config.typed and config.plan.speed > 1:
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


@dataclass(frozen=True)
class _Choice:
    """What is to be told of a choice."""

    missed: tuple[str, ...]
    passed_over: PassedOver | None


def _chosen(
    job: _Job, found: Variants, variants: list[Variant], float_scores: Scores, tell: Say
) -> tuple[Made, Finished, _Choice]:
    try:
        return job.chosen(found, variants, float_scores)
    except FloraError:
        _tell_kept(found, tell)
        raise


def _tidy(found: Variants, choice: _Choice, tell: Say) -> None:
    """Remove what took minutes, unless a network that was taught may still be wanted."""
    if choice.passed_over:
        _tell_kept(found, tell)
        return
    for work in found.work:
        shutil.rmtree(work, ignore_errors=True)


def _tell_kept(found: Variants, tell: Say) -> None:
    for work in filter(Path.exists, found.work):
        tell(f"kept, and gone on with if the limits are changed: {work}")


def _unknowns(config: ExportConfig, run: FinishedRun, stages: Stages, tell: Say) -> Unknowns | None:
    if not config.unknown or str(Path(config.unknown).absolute()) in {photo.root for photo in run.photos}:
        return None  # the run's own are known already
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

    def chosen(
        self, found: Variants, variants: list[Variant], float_scores: Scores
    ) -> tuple[Made, Finished, _Choice]:
        """The variant to write, finished. How large its file is shows only then; one that is too large has lost.

        When nothing is within the limits, it is remembered what became of the slim network.
        """
        budget, candidates = self._budget(float_scores), {v.name: _candidate(v) for v in variants}
        done: dict[str, Finished] = {}
        try:
            best = self._best(found, candidates, done, budget, float_scores)
        except BudgetError:
            self._remember(found, candidates, budget)
            raise
        missed = misses(best, budget)
        other = passed_over(list(candidates.values()), best, budget) if missed else None
        if other:
            self._remember(found, candidates, budget)
        why = f"loses {drop(other, budget):.2f} points, allowed are {budget.max_drop:g}" if other else ""
        passed = PassedOver(other.name, why, remedy(other, budget)) if other else None
        return found.find(best.name), done[best.name], _Choice(missed, passed)

    def _best(
        self, found: Variants, candidates: dict[str, Candidate], done: dict[str, Finished], budget: Budget,
        float_scores: Scores,
    ) -> Candidate:  # fmt: skip
        """The choice, once the true size of its file is known; so is that of what a refusal says could be written."""
        while True:
            try:
                best = choose(list(candidates.values()), budget)
            except BudgetError as refusal:
                nearest, most = refusal.nearest, 1000 * (budget.max_kb or budget.aimed_kb)
                if nearest is None or nearest.name in done or not 0 < most < nearest.bytes + MOST_ADDED:
                    raise
                try:
                    candidates[nearest.name] = nearest = self._sized(found, nearest, done, float_scores)
                except ModelError:  # it proves nothing, so no limits would have it written
                    raise BudgetError(str(refusal)) from None
                return choose([nearest], budget)  # refuses it with its size
            if best.name in done:
                return best
            candidates[best.name] = self._sized(found, best, done, float_scores)

    def _sized(
        self, found: Variants, candidate: Candidate, done: dict[str, Finished], float_scores: Scores
    ) -> Candidate:
        """A candidate with the size of its file: its variant is finished for that."""
        made = found.find(candidate.name)
        finished = done[made.name] = self.finished(made)
        photos, named = self.run.photos, [Path(self.config.unknown).name] if self.config.unknown else []
        sources = {source_of(one) for one in photos if one.label == UNKNOWN and one.split == "test"}
        unknown = as_long(photos, sorted({*sources, *named}))
        stand_in = self.card(made, finished, float_scores, float_scores, 0.0, unknown)
        return replace(candidate, bytes=len(pack(finished.flatbuffer, stand_in)) + CARD_SLACK)

    def _budget(self, float_scores: Scores) -> Budget:
        plan, typed = self.config.plan, self.config.typed
        return Budget(
            float_scores.top1, plan.max_drop, plan.max_kb if "max_kb" in typed else 0.0,
            plan.speed if "speed" in typed else 0.0, plan.max_kb, plan.speed,
        )  # fmt: skip

    def _remember(self, found: Variants, candidates: Mapping[str, Candidate], budget: Budget) -> None:
        for name in found.slim_names:
            one = candidates[name]
            found.remember(Judged(one.speed, one.bytes / 1000, drop(one, budget)))

    def finished(self, winner: Made) -> Finished:
        """Calibrated on validation photos, with threshold, golden cases and metadata."""
        config, run = self.config, self.run
        train = [photo for photo in run.members("train") if photo.label != UNKNOWN]  # of the usual, not of the strange
        picked = pick_calibration([photo.label for photo in train], USUAL_PHOTOS, run.config.seed)
        bar, steps = self.stages("reading training photos"), count(1)
        usual = run.views([train[i] for i in picked], bar, winner.size).pictures
        bar = self.stages("finishing")
        return finish(
            winner.flatbuffer, run.labels, self.photos.validation(winner.size), self._about(winner),
            coverage=config.coverage, usual=usual,
            unknown=self._choosing(winner.size),
            has_evidence=config.evidence, seed=run.config.seed,
            step=lambda what: bar(next(steps), FINISHING_STEPS, what),
        )  # fmt: skip

    def _choosing(self, size: int) -> NDArray[np.uint8] | None:
        """Pictures of other things that may decide the threshold: the run's own for validation, and half of others."""
        views, index = self.photos.validation(size), self._unknown_index
        found = [views.pictures[views.truth == index], *([self.unknowns.choosing(size)] if self.unknowns else [])]
        pictures = np.concatenate(found)
        return pictures if len(pictures) else None

    def reporting(self, result: Tested, finished: Finished, size: int) -> dict[str, NDArray[np.float32]]:
        """The file's answers to those that are only measured on, by the name of their folder."""
        found: dict[str, list[NDArray[np.float32]]] = {}
        for photo, answer in zip(self.run.members("test"), result.after, strict=True):
            if photo.label == UNKNOWN:
                found.setdefault(source_of(photo), []).append(answer)
        if self.unknowns:
            answers = answers_of(finished.flatbuffer, self.unknowns.reporting(size))
            found.setdefault(Path(self.config.unknown or "").name, []).extend(answers)
        return {name: np.stack(answers) for name, answers in found.items()}

    @property
    def _unknown_index(self) -> int:
        """Of the class of other things; -1: there is none."""
        return self.run.labels.index(UNKNOWN) if UNKNOWN in self.run.labels else -1

    def unknown(self, finished: Finished, result: Tested, others: Mapping[str, NDArray[np.float32]]) -> Unknown:
        """For the card: what "none of these" was learned from, and how well it is told on held-out pictures."""
        known = result.after[result.truth != self._unknown_index]
        share, rows = told_apart(self.run.labels, finished.rejection, known, others)
        return replace(learned_from(self.run.photos), known=share, measured=rows)

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
        self, winner: Made, finished: Finished, scores: Scores, float_scores: Scores, ece_before: float,
        unknown: Unknown | None = None,
    ) -> ModelCard:  # fmt: skip
        run, config = self.run, self.config
        attribution = "; ".join(filter(None, (config.attribution, run.remark)))
        provenance = Provenance(manifest_hash(run.photos), run.source, config.licence or "", attribution)
        return make_card(
            finished, run.labels, winner.size, winner.name, scores=scores, float_scores=float_scores,
            ece_before=ece_before, provenance=provenance, unknown=unknown,
        )  # fmt: skip

    def report(
        self, winner: Made, finished: Finished, result: Tested, float_validation: Scores, found: Variants,
        choice: _Choice, others: Mapping[str, NDArray[np.float32]],
    ) -> ExportReport:  # fmt: skip
        views = self.photos.validation(winner.size)
        speeds = {variant.name: variant.speed for variant in result.variants}
        return ExportReport(
            self.name, self.run.labels, result.variants, float_validation, result.float_test, finished.temperature,
            finished.rejection,
            Measured(views.truth, answers_of(winner.flatbuffer, views.pictures), finished.validation),
            Measured(result.truth, result.before, result.after),
            unknown=np.concatenate(list(others.values())) if others else None,
            unknown_note=self._told_of(others),
            golden=finished.golden,
            slimmed=[replace(one, measured_speed=speeds[one.name]) for one in found.slimmed],
            facts=[("missed", line) for line in choice.missed],
        )  # fmt: skip


    def _told_of(self, others: Mapping[str, NDArray[np.float32]]) -> str:
        learned = learned_from(self.run.photos)
        parts = [f"learned from {learned.pictures} pictures of other things and {learned.made} made of nothing"]
        parts += [self.unknowns.note] if self.unknowns else []
        parts += [f"measured on {len(answers)} of {name}" for name, answers in others.items()]
        return "; ".join(parts)


def _candidate(variant: Variant) -> Candidate:
    measured = variant.speed.value if variant.speed else 1.0
    speed = measured if variant.foretold is None else variant.foretold
    return Candidate(
        variant.name, variant.is_integer, variant.validation.top1, variant.bytes, variant.gzip_bytes, speed
    )
