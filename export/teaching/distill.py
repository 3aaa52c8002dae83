"""Knowledge distillation: a trained network teaches a slim one what it answers to augmented photos.

In:  a pupil, a flat Keras network, float32 [-1, 1] (batch, N, N, 3) -> probabilities; lessons of its teacher.
Out: the pupil with the averaged weights of its best epoch on validation photos, or as it came if none was better.

The pupil is shown no label. Its targets are the teacher's probabilities (Hinton et al. 2015), and, where a reference
is given, the maps behind each of its blocks (as in FitNets, Romero et al. 2015): a few thousand photos have too few
answers among them to teach a network what the teacher knows, but each has thousands of places to agree on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.base.progress import Bar, no_bar
from export.network.channels import makes_channels
from export.teaching.lessons import Lessons, LiveLessons
from training.fitting.checkpoint import Reached, State, load_state
from training.fitting.phase import AveragedModel, Phase, Validation, prepare, run_phase, validate
from training.network.backbone import EVIDENCE, FEATURES
from training.network.keras import keras, tf

NAME = "distilling"
LEAST = 1e-9  # variance: maps that are the same everywhere have none


@dataclass(frozen=True)
class Distillation:
    """How a pupil is taught."""

    epochs: int
    rate: float  # peak learning rate
    batch: int = 32
    weight_decay: float = 0.02
    average: float = 0.99  # momentum of the weight average
    softness: float = 2.0  # temperature of both softmaxes
    matching: float = 1.0  # weight of the maps against the answers
    seed: int = 0


class _Pupil(AveragedModel):
    """Trains on the teacher's answers, and on the reference's maps."""

    def taught(self, how: Distillation, maps: Any, head: Any, reference: Any | None) -> None:
        """`maps` gives the pupil's features and maps, `head` logits of features, `reference` what maps are to equal."""
        # Behind closures, so that Keras does not take their weights for the pupil's.
        self._maps: Callable[[Any], Any] = lambda pictures: maps(pictures, training=True)
        self._head: Callable[[Any, Any], Any] = lambda features, step: head(features, step, training=True)
        self._wanted: Callable[[Any], Any] = lambda pictures: reference(pictures, training=False) if reference else []
        means = [keras.metrics.Mean("loss"), keras.metrics.Mean("accuracy")]
        self._means: Callable[[], list[Any]] = lambda: means
        self._how = how

    @property
    def metrics(self) -> list[Any]:
        """Those of this loss: Keras puts the results of its own, which see nothing here, into the history."""
        return self._means()

    def train_step(self, data: Any) -> Any:
        pictures, answers = data
        wanted = tf.nest.flatten(self._wanted(pictures))  # Keras gives a single output without its list
        with tf.GradientTape() as tape:
            features, *maps = tf.nest.flatten(self._maps(pictures))
            logits = self._head(features, self.optimizer.iterations)
            loss = _divergence(answers, logits, self._how.softness)
            loss += self._how.matching * _mismatch(maps, wanted)
            scaled = self.optimizer.get_scaled_loss(loss) if hasattr(self.optimizer, "get_scaled_loss") else loss
        gradients = tape.gradient(scaled, self.trainable_variables)
        if hasattr(self.optimizer, "get_unscaled_gradients"):
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self.follow()
        for mean, value in zip(self._means(), (loss, keras.metrics.categorical_accuracy(answers, logits)), strict=True):
            mean.update_state(value)
        return {mean.name: mean.result() for mean in self._means()}


class _Head(keras.layers.Layer):
    """A network's head behind its features, with a dropout that is a function of the seed and the step.

    The layer's own generator could not be resumed: a training that broke off would end otherwise than one that did not.
    """

    def __init__(self, model: Any, seed: int) -> None:
        super().__init__()
        self.rate, self.seed = float(model.get_layer("dropout").rate), seed
        self.evidence, self.pool = model.get_layer(EVIDENCE), model.get_layer("pool")

    def call(self, features: Any, step: Any, training: bool = True) -> Any:
        if self.rate:
            shape, key = tf.shape(features), tf.stack([tf.constant(self.seed, tf.int64), tf.cast(step, tf.int64)])
            keep = tf.random.stateless_uniform((shape[0], 1, 1, shape[3]), key) >= self.rate
            features = features * tf.cast(keep, features.dtype) / (1.0 - self.rate)
        return self.pool(self.evidence(features))


def distil(
    pupil: Any, lessons: Lessons | LiveLessons, how: Distillation, validation: Validation, reference: Any | None = None,
    progress: Bar = no_bar, checkpoint: Path | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Teach `pupil` in place; returns the history, a row for each epoch; "accuracy" is agreement with the teacher.

    `reference` is the teacher's network, or one as wide, with the pupil's input size; without it answers alone are
    learned. With a `checkpoint` file, what broke off is gone on with.
    """
    size = int(pupil.input_shape[1])
    phase = Phase(
        NAME, how.epochs, how.rate, lessons.steps(how.batch), how.weight_decay, 0.0, how.average, patience=how.epochs
    )  # fmt: skip
    names = matched(pupil, reference) if reference is not None else []
    network = _Pupil(pupil.input, logits_of(pupil))
    maps = _maps(pupil, [FEATURES, *names])
    network.taught(how, maps, _Head(pupil, how.seed), _maps(reference, names) if names else None)
    prepare(network, phase)
    state = (load_state(checkpoint) if checkpoint else None) or _untaught(network, phase, validation)
    run_phase(
        network, phase, lambda epoch: lessons.batches(size, epoch, how.batch, how.seed), validation, state, checkpoint,
        progress,
    )  # fmt: skip
    network.set_weights(state.best)
    return state.reached.history


def _untaught(network: AveragedModel, phase: Phase, validation: Validation) -> State:
    """The pupil as it comes: few photos may not be enough to make it better than that."""
    loss, _ = validate(network, validation, phase)
    optimizer = [variable.numpy() for variable in network.optimizer.variables()]
    weights = network.get_weights()
    return State(Reached(NAME, best_loss=loss), weights, network.average(), weights, optimizer)


def logits_of(model: Any) -> Any:
    """What goes into a network's last softmax, as a Keras tensor."""
    return model.layers[-1].input


def matched(pupil: Any, reference: Any) -> list[str]:
    """Names of the layers whose maps both networks have: ends of linear bottlenecks, with all their channels.

    MobileNetV1 has no linear bottlenecks, so its maps are not matched.
    """
    wide = {layer.name: layer.output_shape[-1] for layer in reference.layers}
    ends = [layer for layer in pupil.layers if _ends_block(layer)]
    return [layer.name for layer in ends if layer.output_shape[-1] == wide.get(layer.name)]


def _ends_block(layer: Any) -> bool:
    """Whether a layer's output is a bottleneck: a residual sum, or a BatchNorm that the next block's convolution reads.

    What comes out of the first block of a stage is read by the next block and by its sum.
    """
    if isinstance(layer, keras.layers.Add):
        return True
    followers = [node.outbound_layer for node in layer.outbound_nodes]
    return isinstance(layer, keras.layers.BatchNormalization) and any(map(makes_channels, followers))


def _maps(model: Any, names: list[str]) -> Any:
    return keras.Model(model.input, [model.get_layer(name).output for name in names])


def _divergence(answers: Any, logits: Any, softness: float) -> Any:
    """Kullback-Leibler divergence of softened answers, on the scale of unsoftened gradients."""
    wanted = tf.nn.log_softmax(answers / softness)
    found = tf.nn.log_softmax(tf.cast(logits, tf.float32) / softness)
    return tf.reduce_mean(tf.reduce_sum(tf.exp(wanted) * (wanted - found), axis=-1)) * softness**2


def _mismatch(maps: list[Any], wanted: list[Any]) -> Any:
    """Mean share of the wanted maps' variance that is missing."""
    shares = [
        tf.reduce_sum(tf.reduce_mean((found - aim) ** 2, (0, 1, 2)))
        / (tf.reduce_sum(tf.math.reduce_variance(aim, (0, 1, 2))) + LEAST)
        for found, aim in zip(maps, wanted, strict=True)
    ]
    return tf.add_n(shares) / len(shares) if shares else 0.0
