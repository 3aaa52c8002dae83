"""Cached photos varied into batches of training.

In:  the cache of `training.fitting.cache`.
Out: for each epoch, batches ((float32 (batch, N, N, 3) in [-1, 1], keep mask (batch, channels)), one-hot
     (batch, num_classes), weight (batch,)).

Every random draw is a function of (seed, epoch, photo), never of a generator's state: a run that was
killed and resumed sees exactly what an uninterrupted one would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.fitting.cache import parse_record
from training.network.keras import tf

SHUFFLE_BYTES = 1 << 30


@dataclass(frozen=True)
class Augmentation:
    """How a photo is varied in training."""

    size: int  # pixels, side of the model's input
    crop: float  # smallest share of the area that a crop keeps
    colour: float  # strength; 0 is off
    dropout: float  # share of feature channels dropped
    channels: int  # number of feature channels


def epoch_batches(
    cache: Path,
    labels: NDArray[np.int64],
    weights: NDArray[np.float32],
    how: Augmentation,
    *,
    batch: int,
    seed: int,
    epoch: int,
) -> Any:
    """One epoch of augmented training batches, as a tf.data.Dataset.

    `labels` (photos,) is the class number of each cached photo, `weights` (photos,) its weight in the loss.
    """
    members = len(labels)
    shards = sorted(str(path) for path in cache.glob("*.tfrecord"))
    order = np.random.default_rng([seed, epoch]).permutation(len(shards))
    num_classes = int(labels.max()) + 1
    label_of, weight_of = tf.constant(labels), tf.constant(weights)
    record_bytes = sum(Path(shard).stat().st_size for shard in shards) // members
    data = tf.data.TFRecordDataset([shards[i] for i in order]).map(parse_record)
    data = data.shuffle(
        min(members, SHUFFLE_BYTES // record_bytes + 1), seed=mix(seed, epoch), reshuffle_each_iteration=False
    )

    def vary(number: Any, shape: Any, pixels: Any) -> Any:
        photo = tf.reshape(tf.io.decode_raw(pixels, tf.uint8), shape)
        image, keep = augment(photo, number, how, seed=mix(seed, epoch))
        return (image, keep), tf.one_hot(label_of[number], num_classes), weight_of[number]

    data = data.map(vary, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    # Several machines share each batch out among them; by default they would share out the shards.
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return untuned(data.batch(batch, drop_remainder=members >= batch).prefetch(2).with_options(options))


def untuned(data: Any) -> Any:
    """The dataset without the thread that tunes it: an epoch's end waits until that thread looks up, up to a minute.

    AUTOTUNE then means as many calls at once as there are processors.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


def augment(photo: Any, number: Any, how: Augmentation, *, seed: int) -> tuple[Any, Any]:
    """Vary one photo: RGB uint8 (H, W, 3) -> (float32 (size, size, 3) in [-1, 1], keep mask (channels,)).

    `seed` is `mix` of the run's seed and the epoch, `number` the photo's place among those of the training.
    """
    key = tf.stack([tf.constant(seed, tf.int64), tf.cast(number, tf.int64)])
    draw = tf.random.stateless_uniform((9,), key)
    image = tf.cast(_random_crop(photo, how, draw), tf.float32) / 255.0
    image = tf.cond(draw[4] < 0.5, lambda: tf.image.flip_left_right(image), lambda: image)
    image = _recolour(image, how.colour, draw) if how.colour else image
    keep = tf.cast(tf.random.stateless_uniform((how.channels,), key + 1) >= how.dropout, tf.float32) / (
        1.0 - how.dropout
    )
    return tf.ensure_shape(tf.clip_by_value(image, 0.0, 1.0) * 2.0 - 1.0, (how.size, how.size, 3)), keep


def _random_crop(photo: Any, how: Augmentation, draw: Any) -> Any:
    """A rectangle of random area and aspect (3:4 to 4:3), resized with antialiasing to the input size."""
    height, width = tf.cast(tf.shape(photo)[0], tf.float32), tf.cast(tf.shape(photo)[1], tf.float32)
    side = tf.minimum(height, width)  # of the centre square, whose area a device sees
    area = side * side * (how.crop + draw[0] * (1.0 - how.crop))
    stretch = tf.exp((draw[1] * 2.0 - 1.0) * np.log(4 / 3) / 2.0)
    crop_h = tf.minimum(tf.sqrt(area) / stretch, height)
    crop_w = tf.minimum(tf.sqrt(area) * stretch, width)
    top, left = draw[2] * (height - crop_h), draw[3] * (width - crop_w)
    top_i, left_i = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
    h_i, w_i = (tf.maximum(tf.cast(value, tf.int32), 1) for value in (crop_h, crop_w))
    return tf.image.resize(photo[top_i : top_i + h_i, left_i : left_i + w_i], (how.size, how.size), antialias=True)


def _recolour(image: Any, strength: float, draw: Any) -> Any:
    """Vary brightness, contrast, saturation and hue of a float image in [0, 1]."""
    around = draw * 2.0 - 1.0
    image = tf.image.adjust_contrast(image, 1.0 + 0.3 * strength * around[5])
    image = tf.clip_by_value(image + 0.15 * strength * around[6], 0.0, 1.0)
    image = tf.image.adjust_saturation(image, 1.0 + 0.3 * strength * around[7])
    return tf.image.adjust_hue(image, 0.03 * strength * around[8])


def mix(seed: int, epoch: int) -> int:
    """One 31-bit number out of two, so that neighbouring seeds and epochs share no draws."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0] >> 1)
