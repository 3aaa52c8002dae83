"""From a run folder to one model file: prune, quantise, measure each variant, choose, verify, package.

In:  RUN (model.keras, manifest.csv, config.json) and its photos.
Out: one `.tflite` with its card, and a table of all variants.

Validation photos alone decide which variant is written. Test photos are read after the choice.
"""

from __future__ import annotations

import gzip
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import geometry, metrics
from edge.benchmark import time_invokes
from edge.errors import OutputError
from edge.interpreter import Interpreter
from edge.manifest import Photo, manifest_hash, read_manifest
from edge.metrics import Scores, score
from export import quantize
from export.budget import Candidate, choose
from export.config import ExportConfig
from export.package import make_card, write_model
from export.sparsify import Pruning, prune, sparsity_of
from training.backbone import FEATURES
from training.config import TrainConfig, read_config
from training.fit import Stages, load_model, predict, silent
from training.pipeline import Augmentation, build_cache, device_views, epoch_batches

TIMED_INVOKES = 60


@dataclass(frozen=True)
class Variant:
    """One row of the table. Accuracies are those of the TFLite runtime, agreement is with the Keras network."""

    name: str
    is_integer: bool
    bytes: int
    gzip_bytes: int
    p50_ms: float  # one thread, median
    sparsity: float  # share of zeros in the convolutions' kernels
    validation: Scores
    agreement: float  # on validation photos
    test: Scores | None = None  # filled in after the choice
    is_chosen: bool = False


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    path: Path
    bytes: int
    chosen: str
    variants: tuple[Variant, ...]
    float_validation: Scores
    float_test: Scores
    sparsity_by_layer: dict[str, float]


@dataclass(frozen=True)
class _Views:
    """Pictures as the device sees them, RGB uint8 (n, N, N, 3), and their class numbers."""

    pictures: NDArray[np.uint8]
    truth: NDArray[np.int64]


class _Run:
    """A finished training, opened for export."""

    def __init__(self, run: Path, config: ExportConfig, stages: Stages) -> None:
        self.folder, self.stages = run, stages
        self.config: TrainConfig = read_config(run)
        self.model = load_model(run)
        self.photos = read_manifest(run / "manifest.csv")
        self.labels = tuple(sorted({photo.label for photo in self.photos}))
        self.root = Path(config.photos or self.config.photos)

    def members(self, split: str) -> list[Photo]:
        return [photo for photo in self.photos if photo.split == split]

    def views(self, photos: list[Photo], title: str) -> _Views:
        pictures = device_views(self.root, [photo.path for photo in photos], self.config.size, self.stages(title))
        return _Views(pictures, self.truth(photos))

    def truth(self, photos: list[Photo]) -> NDArray[np.int64]:
        return np.array([self.labels.index(photo.label) for photo in photos], np.int64)


def export(
    config: ExportConfig,
    run: Path,
    out: Path,
    cache: Path,
    stages: Stages = silent,
    show: Any = lambda variants, float_validation: None,
) -> Exported:
    """Export the trained network of `run` to the model file `out`.

    `show` is given the variants before the gate, so that a refusal comes with its table. Raises
    BudgetError when no variant is within the limits, ModelError for a run that is not finished, OutputError for a
    place that cannot be written to; then `out` stays as it was.
    """
    if not out.parent.is_dir() or out.is_dir():
        raise OutputError(f"{out}: expected the name of a file in a folder that exists")
    trained = _Run(run, config, stages)
    validation = trained.views(trained.members("validation"), "reading validation photos")
    flatbuffers, sparsity = _flatbuffers(config, trained, cache)
    reference = predict(trained.model, validation.pictures, stages("predicting with Keras"))
    float_validation = score(validation.truth, reference, trained.labels)
    variants = _measure(flatbuffers, sparsity, validation, reference, trained)
    show(variants, float_validation)
    chosen = choose(
        [_candidate(v) for v in variants], float_validation.top1, max_drop=config.max_drop, max_kb=config.max_kb
    )
    float_test, variants = _test(trained, flatbuffers, variants, chosen.name)
    size = _package(
        config, trained, out, flatbuffers[chosen.name], next(v for v in variants if v.is_chosen), float_test
    )
    return Exported(
        out, size, chosen.name, tuple(variants), float_validation, float_test, sparsity.get(_pruned_name(config), {})
    )


def _flatbuffers(config: ExportConfig, run: _Run, cache: Path) -> tuple[dict[str, bytes], dict[str, dict[str, float]]]:
    """Every variant by name, and the sparsity by layer of each."""
    train = run.members("train")
    picked = quantize.pick_calibration([photo.label for photo in train], config.calibration, run.config.seed)
    calibration = run.views([train[i] for i in picked], "reading calibration photos").pictures
    dense = sparsity_of(run.model)
    made = {"float32": quantize.convert_float(run.model), "dynamic_range": quantize.convert_dynamic_range(run.model)}
    made["int8"] = quantize.convert_int8(run.model, calibration)
    sparsity = dict.fromkeys(made, dense)
    if config.sparsity:
        pruned = _prune(config, run, cache)
        made[_pruned_name(config)] = quantize.convert_int8(pruned, calibration)
        sparsity[_pruned_name(config)] = sparsity_of(pruned)
    return made, sparsity


def _pruned_name(config: ExportConfig) -> str:
    return f"int8_pruned{round(100 * config.sparsity)}"


def _prune(config: ExportConfig, run: _Run, cache: Path) -> Any:
    train, asked = run.members("train"), run.config
    paths, hashes = [photo.path for photo in train], [photo.sha256 for photo in train]
    cached = build_cache(cache, run.root, paths, hashes, asked.size, run.stages("caching training photos"))
    channels = run.model.get_layer(FEATURES).output.shape[-1]
    mild = Augmentation(asked.size, max(asked.crop, 0.5), asked.colour, 0.0, channels)
    truth, weights = run.truth(train), np.ones(len(train), np.float32)

    def batches(epoch: int) -> Any:
        return epoch_batches(cached, truth, weights, mild, batch=asked.batch, seed=asked.seed + 1, epoch=epoch)

    steps = max(1, len(train) // asked.batch)
    how = Pruning(config.sparsity, config.prune_epochs, steps, config.prune_rate, asked.label_smoothing)
    return prune(run.model, batches, how, run.stages("pruning"))


def _measure(
    flatbuffers: dict[str, bytes],
    sparsity: dict[str, dict[str, float]],
    views: _Views,
    reference: NDArray[Any],
    run: _Run,
) -> list[Variant]:
    times = time_invokes(
        {name: Interpreter(data, name, threads=1) for name, data in flatbuffers.items()}, TIMED_INVOKES
    )
    bar = run.stages("measuring variants")
    variants = []
    for number, (name, data) in enumerate(flatbuffers.items()):
        answers = _answers(data, name, views.pictures)
        agreement = metrics.agreement(answers.argmax(axis=1), reference.argmax(axis=1))
        packed = len(gzip.compress(data, 9))
        scores = score(views.truth, answers, run.labels)
        p50_ms = metrics.percentiles(times[name]).p50
        variants.append(
            Variant(
                name, name.startswith("int8"), len(data), packed, p50_ms, sparsity[name]["total"], scores, agreement
            )
        )
        bar(number + 1, len(flatbuffers), name)
    return variants


def _answers(flatbuffer: bytes, name: str, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    interpreter = Interpreter(flatbuffer, name)
    return np.stack([interpreter(picture) for picture in pictures])


def _candidate(variant: Variant) -> Candidate:
    return Candidate(variant.name, variant.is_integer, variant.validation.top1, variant.bytes, variant.gzip_bytes)


def _test(
    run: _Run, flatbuffers: dict[str, bytes], variants: list[Variant], chosen: str
) -> tuple[Scores, list[Variant]]:
    """Test figures of the network and of every variant, once the choice is made."""
    views = run.views(run.members("test"), "reading test photos")
    float_test = score(views.truth, predict(run.model, views.pictures), run.labels)
    tested = [score(views.truth, _answers(flatbuffers[v.name], v.name, views.pictures), run.labels) for v in variants]
    return float_test, [replace(v, test=t, is_chosen=v.name == chosen) for v, t in zip(variants, tested, strict=True)]


def _package(config: ExportConfig, run: _Run, out: Path, flatbuffer: bytes, chosen: Variant, float_test: Scores) -> int:
    assert chosen.test is not None
    card = make_card(
        flatbuffer, run.labels, run.config.size, chosen.name, scores=chosen.test, float_scores=float_test,
        manifest_sha256=manifest_hash(run.photos), config_path=run.folder / "config.json",
        licence=config.licence, attribution=config.attribution,
    )  # fmt: skip
    return write_model(out, flatbuffer, card, geometry.read_photo(run.root / run.photos[0].path))


def table(
    variants: list[Variant] | tuple[Variant, ...], float_validation: Scores, float_test: Scores | None = None
) -> str:
    """The variants as text: top-1 by the TFLite runtime, agreement with Keras, bytes, milliseconds."""
    head = f"{'variant':<16}{'val top-1':>10}{'test top-1 (95 %)':>24}{'agree':>8}{'kB':>8}{'gzip kB':>9}{'zeros':>7}{'ms':>8}"
    rows = [
        f"{'keras float32':<16}{float_validation.top1:>10.1%}{_interval(float_test):>24}{'':>8}{'':>8}{'':>9}{'':>7}{'':>8}"
    ]
    for v in variants:
        sizes = f"{v.bytes / 1000:>8.0f}{v.gzip_bytes / 1000:>9.0f}{v.sparsity:>7.0%}{v.p50_ms:>8.2f}"
        rows.append(
            f"{v.name:<16}{v.validation.top1:>10.1%}{_interval(v.test):>24}{v.agreement:>8.1%}{sizes}{' <- written' if v.is_chosen else ''}"
        )
    return "\n".join([head, *rows])


def _interval(scores: Scores | None) -> str:
    return "" if scores is None else f"{scores.top1:.1%} ({scores.low:.1%}-{scores.high:.1%})"


def as_json(exported: Exported) -> dict[str, Any]:
    """The same for a machine."""
    rows = [
        {**asdict(v), "validation": v.validation.to_json(), "test": v.test.to_json() if v.test else None}
        for v in exported.variants
    ]
    return {
        "path": str(exported.path), "bytes": exported.bytes, "chosen": exported.chosen, "variants": rows,
        "float_validation": exported.float_validation.to_json(), "float_test": exported.float_test.to_json(),
        "sparsity_by_layer": exported.sparsity_by_layer,
    }  # fmt: skip
