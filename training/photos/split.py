"""The stratified train / validation / test split, drawn from the seed and the photos' content.

In:  a Survey of usable photos.
Out: the photos of the manifest, each with its split.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from edge.contract.rejection import UNKNOWN
from edge.errors import PhotoError, UsageError
from edge.photos.manifest import SPLITS, Photo, Split
from training.photos.survey import Found, Survey

FRACTIONS = (0.70, 0.15, 0.15)  # of each class, in the order of SPLITS
IMBALANCE = 5.0  # largest class over smallest, above which a warning is due


def split(
    found: Survey | Iterable[Found], seed: int, fractions: tuple[float, float, float] = FRACTIONS
) -> tuple[Photo, ...]:
    """Share the photos of each class out to train, validation and test; sorted by path.

    The share depends on the seed and the photos' bytes alone, so renaming or adding unusable files moves nothing;
    photos with equal bytes stay together, and so do those of one group; each class has at least one in every split.
    Pictures of none of the classes are shared out as far as their groups go.

    Photos that a device kept go to train and move no other: chosen by a model's doubt and much alike, in test they
    would measure something else, and in validation they would choose the epoch, the temperature and the threshold.
    """
    if len(fractions) != len(SPLITS) or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UsageError(f"split fractions {fractions}: expected three above 0 that add up to 1, such as {FRACTIONS}")
    photos = found.photos if isinstance(found, Survey) else tuple(found)
    units: dict[str, set[str]] = defaultdict(set)
    for photo in photos:
        units[photo.label] |= set() if photo.is_train_only else {_unit(photo)}
    where = {label: _cut(label, found, seed, fractions) for label, found in units.items()}
    return tuple(
        Photo(photo.path, photo.sha256, photo.label, _split_of(photo, where), photo.width, photo.height, photo.root)
        for photo in sorted(photos, key=lambda photo: (photo.root, photo.path))
    )


def _unit(photo: Found) -> str:
    """What is in one split as a whole."""
    return photo.group or photo.sha256


def _split_of(photo: Found, where: Mapping[str, Mapping[str, Split]]) -> Split:
    return "train" if photo.is_train_only else where[photo.label][_unit(photo)]


def counts(photos: Iterable[Photo]) -> dict[str, dict[Split, int]]:
    """Number of photos by label, then by split; labels sorted, no split missing."""
    tally = Counter((photo.label, photo.split) for photo in photos)
    labels = sorted({label for label, _ in tally})
    return {label: {name: tally[label, name] for name in SPLITS} for label in labels}


def class_weights(photos: Iterable[Photo]) -> dict[str, float]:
    """Loss weight of each class, inverse to its number of training photos; a training photo weighs 1 on average."""
    train = Counter(photo.label for photo in photos if photo.split == "train")
    return {label: train.total() / (len(train) * number) for label, number in sorted(train.items())}


def imbalance_warning(photos: Iterable[Found | Photo]) -> str | None:
    """One line if the largest class is more than five times the smallest, else None."""
    ranked = Counter(photo.label for photo in photos if photo.label != UNKNOWN).most_common()
    if not ranked or ranked[0][1] <= IMBALANCE * ranked[-1][1]:
        return None
    (largest, most), (smallest, fewest) = ranked[0], ranked[-1]
    return (
        f"class {largest} has {most} photos and class {smallest} only {fewest}, more than {IMBALANCE:g} to 1: "
        f"add photos of {smallest}, or read the per-class recall before trusting the top-1"
    )


def _cut(label: str, units: set[str], seed: int, fractions: tuple[float, float, float]) -> dict[str, Split]:
    """The split of each photo content, or group, of one class: an order drawn by hash, cut in three."""
    if len(units) < len(SPLITS) and label == UNKNOWN:
        return dict.fromkeys(units, "train")
    if len(units) < len(SPLITS):
        raise PhotoError(f"class {label} has {len(units)} different photos; expected at least 3, one for each split")
    order = sorted(units, key=lambda unit: hashlib.sha256(f"{seed}:{unit}".encode()).digest())
    room = len(order) - 2  # so that the other two splits keep one each
    validation = min(max(1, round(len(order) * fractions[1])), room)
    test = min(max(1, round(len(order) * fractions[2])), room + 1 - validation)
    train = len(order) - validation - test
    return {
        unit: "train" if rank < train else "validation" if rank < train + validation else "test"
        for rank, unit in enumerate(order)
    }
