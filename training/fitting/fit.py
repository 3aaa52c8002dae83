"""Train a flower classifier: photos in, a run folder out.

Two phases: the head alone on frozen features, then the whole network on augmented photos. Each step leaves its
result in the run folder under its final name only when it is whole, so a run killed anywhere goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.files import in_place_of, writing
from edge.base.formats import remarks_on
from edge.base.progress import Say, Stages, silent
from edge.errors import ModelError
from edge.model.interpreter import softmax
from edge.photos import run_folder
from edge.photos.manifest import Photo
from training.config import TrainConfig
from training.fitting.augmentation import Augmentation, epoch_batches
from training.fitting.cache import build_cache
from training.fitting.checkpoint import GO_ON, Reached, State, load_arrays, load_state, save_arrays, save_state
from training.fitting.keeping import keeping_model
from training.fitting.phase import AveragedModel, Phase, Validation, averaged_model, prepare, run_phase
from training.network import backbone
from training.network.inference import predictor
from training.network.keras import keras, tf
from training.network.strategy import Devices, choose_devices
from training.others.gathering import with_other_things
from training.photos.listing import list_photos
from training.photos.split import class_weights
from training.photos.views import device_views

HEAD, FINE_TUNE = "head", "fine-tune"
STATE, FEATURES = "state.npz", "features.npz"  # in the folder of checkpoints: the training's, the head phase's inputs


@dataclass(frozen=True)
class Trained:
    """What a finished training left."""

    run: Path
    config: TrainConfig
    labels: tuple[str, ...]
    photos: tuple[Photo, ...]
    devices: str
    history: tuple[dict[str, Any], ...]
    best_epoch: int
    is_chief: bool = True  # False on the helpers of a training on several machines: they write nothing


@dataclass
class _Job:
    """What both phases work with."""

    config: TrainConfig
    photos: dict[str, list[Photo]]  # by split
    labels: tuple[str, ...]
    root: Path
    run: Path
    cache: Path
    state: State
    stages: Stages

    def truth(self, name: str) -> NDArray[np.int64]:
        return np.array([self.labels.index(photo.label) for photo in self.photos[name]], np.int64)

    def views(self, name: str) -> NDArray[np.uint8]:
        paths = [photo.located(self.run) for photo in self.photos[name]]
        return device_views(self.root, paths, self.config.size, self.stages(f"reading {name} photos"))

    def loss_weights(self) -> NDArray[np.float32]:
        members = self.photos["train"]
        weight = class_weights(members) if self.config.balance else dict.fromkeys(self.labels, 1.0)
        return np.array([weight[photo.label] for photo in members], np.float32)


def fit(
    config: TrainConfig, run: Path, cache: Path, stages: Stages = silent, tell: Say = lambda _: None
) -> Trained:
    """Train as `config` says, into the folder `run`; goes on from what an earlier call with the same config left there.

    `tell` is given what a person should know: the devices, what was left out. Raises PhotoError for photos that
    cannot be trained on, ModelError for weights that do not fit, OutputError for a full or unwritable disk.
    """
    photos = list_photos(config, run, stages, tell, lambda survey: with_other_things(config, survey, run, stages, tell))
    labels = tuple(sorted({photo.label for photo in photos}))
    devices = choose_devices(mixed_precision=config.mixed_precision, threads=config.threads)
    tell(f"devices: {devices.description}")
    keras.utils.set_random_seed(config.seed)
    state_path = run / run_folder.CHECKPOINT / STATE
    state = load_state(state_path) or State(Reached(), [], [], [], [])
    for line in remarks_on(state_path, state):
        tell(line)
    by_split = {name: [photo for photo in photos if photo.split == name] for name in ("train", "validation", "test")}
    job = _Job(config, by_split, labels, Path(config.photos), run, cache, state, stages)
    if not (run / run_folder.MODEL).exists():
        _train(job, devices, state_path)
    history = tuple(state.reached.history)
    if not history:
        raise ModelError(
            f"{run}: the training has finished, but {state_path} with its history is gone; start a new run"
        )
    if devices.is_chief:
        _forget_tensors(state_path, state)
    return Trained(
        run, config, labels, photos, devices.description, history, state.reached.best_epoch, devices.is_chief
    )


def _train(job: _Job, devices: Devices, state_path: Path) -> None:
    config = job.config
    saved = state_path if devices.is_chief else None
    with devices.strategy.scope():
        model = _fresh_model(config, len(job.labels))
    validation_views = job.views("validation")
    if config.head_epochs and not config.from_scratch:
        _train_head(job, model, validation_views, saved)
    if config.epochs:
        with devices.strategy.scope():
            network, phase = _network(job, model)
        infer, batches = predictor(model), _epochs(job, model)
        validation = Validation(lambda: infer(validation_views), job.truth("validation"))
        run_phase(network, phase, batches, validation, job.state, saved, job.stages("fine-tuning"))
        network.set_weights(job.state.best)
    weights = model.get_weights()  # by every worker: reading BatchNorm's statistics averages them over all
    if devices.is_chief:
        _save_model(weights, config, len(job.labels), job.run / run_folder.MODEL)


def _forget_tensors(path: Path, state: State) -> None:
    """Shrink the checkpoint of a finished training from megabytes to its history: there is nothing to go on with."""
    if state.weights:
        save_state(path, State(state.reached, [], [], [], []))
    path.with_name(FEATURES).unlink(missing_ok=True)


def _fresh_model(config: TrainConfig, num_classes: int) -> Any:
    momentum = 0.9 if config.from_scratch else 0.99
    model = backbone.build(
        config.backbone, config.alpha, config.size, num_classes, dropout=config.dropout, momentum=momentum
    )
    if config.from_scratch:
        backbone.initialise(model, config.seed)
        return model
    backbone.load_weights(model, config.backbone, config.alpha, config.size, config.weights)
    for layer in backbone.batch_norms(model):
        layer.trainable = False  # a few thousand photos are too few to estimate its statistics anew
    return model


def _network(job: _Job, model: Any) -> tuple[AveragedModel, Phase]:
    config, photos = job.config, len(job.photos["train"])
    phase = _phase(config, FINE_TUNE, config.epochs, config.rate, max(1, photos // config.batch))
    training = backbone.training_model(model)
    is_kept = config.keep_features > 0 and not config.from_scratch
    network = keeping_model(model, training, config.keep_features) if is_kept else averaged_model(training)
    prepare(network, phase)
    return network, phase


def _phase(config: TrainConfig, name: str, epochs: int, rate: float, steps: int) -> Phase:
    return Phase(
        name, epochs, rate, steps, config.weight_decay, config.label_smoothing, config.average,
        patience=config.patience,
    )  # fmt: skip


def _epochs(job: _Job, model: Any) -> Callable[[int], Any]:
    """The augmented batches of each fine-tuning epoch."""
    config, members = job.config, job.photos["train"]
    paths, hashes = [photo.located(job.run) for photo in members], [photo.sha256 for photo in members]
    cached = build_cache(job.cache, job.root, paths, hashes, config.size, job.stages("caching training photos"))
    how = Augmentation(
        config.size, config.crop, config.colour, config.dropout, model.get_layer(backbone.FEATURES).output.shape[-1]
    )
    truth, weights = job.truth("train"), job.loss_weights()
    return lambda epoch: epoch_batches(cached, truth, weights, how, batch=config.batch, seed=config.seed, epoch=epoch)


def _train_head(job: _Job, model: Any, validation_views: NDArray[np.uint8], saved: Path | None) -> None:
    """Train the head on frozen features and put it into `model`; nothing to do once fine-tuning has begun."""
    config, state = job.config, job.state
    if state.reached.phase == FINE_TUNE:
        return
    train, validation = _features(job, model, validation_views, is_kept=saved is not None)
    truth, weights = job.truth("train"), job.loss_weights()
    head = averaged_model(backbone.head_model(train.shape[1], len(job.labels)))
    phase = _phase(config, HEAD, config.head_epochs, config.head_rate, -(-len(train) // config.batch))
    prepare(head, phase)
    unit = np.ones_like(validation)

    def batches(epoch: int) -> Any:
        draws = np.random.default_rng([config.seed, epoch])
        order = draws.permutation(len(train))
        is_kept = draws.random(train.shape, np.float32) >= config.dropout
        keep = is_kept.astype(np.float32) / np.float32(1 - config.dropout)
        targets = np.eye(len(job.labels), dtype=np.float32)[truth[order]]
        return tf.data.Dataset.from_tensor_slices(((train[order], keep), targets, weights[order])).batch(config.batch)

    def predicted() -> NDArray[np.float32]:
        return softmax(head.predict([validation, unit], verbose=0).astype(np.float64))

    check = Validation(predicted, job.truth("validation"))
    run_phase(head, phase, batches, check, state, saved, job.stages("training the head"))
    kernel, bias = state.best
    model.get_layer(backbone.EVIDENCE).set_weights([kernel[None, None], bias])


def _features(
    job: _Job, model: Any, validation_views: NDArray[np.uint8], *, is_kept: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pooled features (n, channels) of train and validation photos as the device sees them; kept in the run folder."""
    path = job.run / run_folder.CHECKPOINT / FEATURES
    if path.exists():
        features = load_arrays(path)
        return features["train"], features["validation"]
    extract = predictor(backbone.feature_model(model))
    train_views = job.views("train")
    train = extract(train_views, job.stages("computing features"))
    validation = extract(validation_views)
    if is_kept:
        save_arrays(path, train=train, validation=validation)
    return train, validation


def _save_model(weights: list[NDArray[Any]], config: TrainConfig, num_classes: int, path: Path) -> None:
    """Save the network in float32, whatever precision it was trained in, whole or not at all."""
    keras.mixed_precision.set_global_policy("float32")
    plain = backbone.build(config.backbone, config.alpha, config.size, num_classes, dropout=config.dropout)
    plain.set_weights(weights)
    part = path.with_name("model.part.keras")
    with writing(path, "the model cannot be written", GO_ON), in_place_of(path, part):
        plain.save(part)
