"""Photos on disk to batches of training.

In:  photo files of a manifest, decoded once through edge.picture.geometry.
Out: a cache of TFRecord shards (short side a little over the input size, aspect kept), and from it, for
     each epoch, batches ((float32 (batch, N, N, 3) in [-1, 1], keep mask (batch, channels)), one-hot
     (batch, num_classes), weight (batch,)).

Every random draw is a function of (seed, epoch, photo), never of a generator's state: a run that was
killed and resumed sees exactly what an uninterrupted one would have seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.files import in_place_of, only_one
from edge.base.progress import Bar, no_bar
from edge.base.text import first_line
from edge.errors import OutputError, PhotoError
from edge.picture import geometry
from training.network.keras import tf
from training.photos.views import in_threads

MARGIN = 8 / 7  # short side of a cached photo over the input size: room for crops, 256 for 224
SHARD_PHOTOS = 512


def build_cache(
    folder: Path, root: Path, paths: Sequence[str], hashes: Sequence[str], size: int, bar: Bar = no_bar
) -> Path:
    """Decode photos once into TFRecord shards below `folder`; returns the cache's own folder.

    The folder's name is a hash of the photos, their order and the size, so a cache is never stale, and two runs
    share it; one builds it while the other waits. Raises PhotoError for a photo that changed since it was listed,
    OutputError when the disk is full.
    """
    short_side = round(size * MARGIN)
    key = hashlib.sha256(json.dumps([geometry.RULE, short_side, list(hashes)]).encode()).hexdigest()[:16]
    cache = folder / f"{short_side}px-{key}"
    if (cache / "complete").exists():
        bar(len(paths), len(paths))
        return cache
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with only_one(folder / f".{cache.name}.lock"):
            if not (cache / "complete").exists():  # another training may have made it while this one waited
                _write_shards(cache, root, list(paths), list(hashes), short_side, bar)
                (cache / "complete").touch()
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise OutputError(
            f"{cache}: the photo cache cannot be written ({reason}); give a folder with room with --cache"
        ) from error
    return cache


def _write_shards(
    cache: Path, root: Path, paths: list[str], hashes: list[str], short_side: int, bar: Bar
) -> None:
    photos = in_threads(
        lambda pair: _shrunken(root / pair[0], pair[1], short_side), list(zip(paths, hashes, strict=True))
    )
    for start in range(0, len(paths), SHARD_PHOTOS):
        name = cache / f"{start // SHARD_PHOTOS:05d}.tfrecord"
        part = name.with_name(name.name + ".part")
        with in_place_of(name, part), tf.io.TFRecordWriter(str(part)) as writer:
            for number, photo in enumerate(islice(photos, SHARD_PHOTOS), start):
                writer.write(_serialise(number, photo))
                bar(number + 1, len(paths))


def _shrunken(path: Path, sha256: str, short_side: int) -> NDArray[np.uint8]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read any more ({error.strerror})") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise PhotoError(f"{path}: changed since it was listed in the manifest; start a new run")
    shrunken = geometry.resize_short_side(geometry.decode(data, str(path)), short_side)
    return np.ascontiguousarray(shrunken[..., ::-1])  # BGR to RGB


def _serialise(number: int, photo: NDArray[np.uint8]) -> bytes:
    def numbers(*values: int) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    pixels = tf.train.Feature(bytes_list=tf.train.BytesList(value=[photo.tobytes()]))
    features = {"number": numbers(number), "shape": numbers(*photo.shape), "pixels": pixels}
    return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def parse_record(record: Any) -> Any:
    fields = {
        "number": tf.io.FixedLenFeature((), tf.int64),
        "shape": tf.io.FixedLenFeature((3,), tf.int64),
        "pixels": tf.io.FixedLenFeature((), tf.string),
    }
    example = tf.io.parse_single_example(record, fields)
    return example["number"], example["shape"], example["pixels"]
