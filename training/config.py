"""What a training run was asked for: one frozen dataclass, saved as `config.json` in the run folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.base.files import write_atomically
from edge.base.formats import FIRST, Lasting, if_missing, plain, read_fields, require_readable
from edge.base.options import option
from edge.contract.rejection import UNKNOWN
from edge.errors import ModelError, UsageError
from edge.photos import run_folder


@dataclass(frozen=True)
class Backbone:
    """A network that can be fine-tuned: one row of BACKBONES; `training.network.backbone` builds it."""

    constructor: str  # its name in keras.applications
    alphas: tuple[float, ...]  # width multipliers that there are ImageNet weights for
    sizes: tuple[int, ...]  # and sides of the input, pixels


BACKBONES = {
    "mobilenet_v2": Backbone("MobileNetV2", (0.35, 0.5, 0.75, 1.0, 1.3, 1.4), (96, 128, 160, 192, 224)),
    "mobilenet": Backbone("MobileNet", (0.25, 0.5, 0.75, 1.0), (128, 160, 192, 224)),
}
DEFAULT = "mobilenet_v2"
PUBLIC, NONE = "public", "none"  # words in place of a folder of other things
ALIKE = ("none", "background", "other", "others", "nothing", "negative")  # how such a class is called elsewhere
RUN = "a run folder made by: flora train"
FORMAT = 1  # of config.json; a reader refuses one whose major number is newer


def _listed(values: Sequence[float], last: str) -> str:
    *others, end = map(str, values)
    return f"{', '.join(others)} {last} {end}"


@dataclass(frozen=True)
class TrainConfig(Lasting):
    """Everything that decides the outcome of a run on one machine. The defaults cost about 15 minutes on two cores
    for 2,200 photos and reach 95 to 96 % on five kinds of flowers."""

    photos: str = ""
    backbone: str = option(DEFAULT, "network that is fine-tuned", choices=BACKBONES)
    alpha: float = option(
        1.0, f"width multiplier of the backbone: {_listed(BACKBONES[DEFAULT].alphas, 'or')} for {DEFAULT}"
    )
    size: int = option(
        224,
        f"side of the model's input, in pixels; ImageNet weights exist for {_listed(BACKBONES[DEFAULT].sizes, 'and')}",
    )
    weights: str = option("imagenet", "imagenet, none (train from scratch), or a Keras weights file", metavar="W")
    seed: int = option(1, "seed of the split, the order, the augmentation and the dropout")
    batch: int = option(32, "photos in one step, over all devices")
    head_epochs: int = option(30, "epochs of the head alone, on frozen features; 0 skips the phase")
    epochs: int = option(12, "epochs of fine-tuning the whole network; 0 keeps the backbone as it is")
    head_rate: float = option(3e-3, "peak learning rate of the head phase")
    rate: float = option(3e-4, "peak learning rate of fine-tuning: one epoch of warm-up, then cosine to zero")
    weight_decay: float = option(0.02, "decoupled weight decay (AdamW) on kernels")
    label_smoothing: float = option(0.1, "share of the target that is spread over all classes")
    dropout: float = option(0.2, "share of feature channels that are dropped in training")
    average: float = option(0.99, "momentum of the weight average (EMA) that is validated and kept")
    keep_features: float = option(
        0.1, "weight of staying near the pretrained features, by which pictures of other things are told; 0: none",
        stated=if_missing(0.0),
    )  # fmt: skip
    patience: int = option(5, "epochs without a lower validation loss before fine-tuning stops")
    crop: float = option(0.3, "smallest share of a photo's area that a random crop keeps")
    colour: float = option(1.0, "strength of the random brightness, contrast, saturation and hue; 0 turns them off")
    balance: bool = option(False, "weigh every class alike in the loss, however many photos it has")
    min_photos: int = option(10, "fewest photos a class may have")
    other_things: tuple[str, ...] = option(
        (), f'pictures of none of the classes, which "{UNKNOWN}" is learned from: a folder, or the word {PUBLIC} for a '
        f"set that is downloaded; again and again; {NONE}: nothing of the kind is learned, but from a class folder "
        "of that name", flag="--others", metavar="FOLDER", stated=if_missing((NONE,)),
    )  # fmt: skip
    unknown_folder: str = option(
        UNKNOWN, "class folder whose pictures show none of the classes; at a terminal you are asked about folders "
        f"called {', '.join(ALIKE)}", metavar="NAME",
    )  # fmt: skip
    made_others: int = option(
        300, "pictures of nothing that are made of the training photos and of noise, for the same; 0: none",
        stated=if_missing(0),
    )  # fmt: skip
    mixed_precision: bool = option(True, "compute in float16 on GPUs with tensor cores; never on a CPU")
    threads: int = option(0, "threads of TensorFlow's operators; 0 leaves it to TensorFlow")
    format: int | str = FORMAT  # of the config.json that it was read from

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "alpha": (0.1, 2.0), "size": (32, 512), "batch": (1, 4096), "head_epochs": (0, 10_000),
            "epochs": (0, 10_000), "head_rate": (1e-8, 1.0), "rate": (1e-8, 1.0), "weight_decay": (0.0, 1.0),
            "label_smoothing": (0.0, 0.9), "dropout": (0.0, 0.95), "average": (0.0, 0.99999),
            "keep_features": (0.0, 100.0), "patience": (1, 10_000), "crop": (0.01, 1.0), "colour": (0.0, 3.0),
            "min_photos": (3, 10**9),
            "threads": (0, 1024), "seed": (0, 2**31 - 1), "made_others": (0, 100_000),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"--{name.replace('_', '-')} {value}: expected a value from {low:g} to {high:g}")
        if self.backbone not in BACKBONES:
            raise UsageError(f"--backbone {self.backbone}: expected one of {', '.join(BACKBONES)}")
        if self.size % 32:
            raise UsageError(f"--size {self.size}: expected a multiple of 32, the backbone's total stride")
        if NONE in self.other_things and self.learns_unknown:
            raise UsageError(f"--others {NONE} with another --others: expected one or the other")
        if self.epochs == 0 and self.head_epochs == 0:
            raise UsageError("--epochs 0 with --head-epochs 0 trains nothing; raise one of them")
        if self.epochs == 0 and self.from_scratch:
            raise UsageError(
                "--epochs 0 with --weights none trains nothing: a head needs a trained backbone; raise --epochs"
            )

    @property
    def learns_unknown(self) -> bool:
        """Whether pictures of none of the classes are looked for beside the class folders."""
        return self.other_things != (NONE,)

    @property
    def from_scratch(self) -> bool:
        return self.weights == "none"

    def write(self, path: Path) -> None:
        """Save as JSON, atomically."""
        write_json(path, {"format": FORMAT, **plain(self)})


def read_config(run: Path) -> TrainConfig:
    """Read RUN/config.json; what it lacks has its default, what is not known is kept.

    Raises ModelError when RUN is no run folder or the file is broken or from a newer Flora.
    """
    path = run / run_folder.CONFIG
    content = read_json(path, RUN)
    if not content.keys() & {"format", "photos"}:  # what many a program calls so
        raise ModelError(f"{path}: says nothing of a training; expected {RUN}")
    try:
        require_readable(content.get("format", FIRST), FORMAT)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error
    try:
        return read_fields(TrainConfig, content)
    except (ValueError, UsageError) as error:  # written by hand
        raise ModelError(f"{path}: holds an impossible value ({error})") from error


def told(config: TrainConfig) -> dict[str, Any]:
    """The settings by name, as a person is told them."""
    values = {name: value for name, value in dataclasses.asdict(config).items() if name not in ("format", "others")}
    return values | {"other_things": ", ".join(config.other_things) or "made alone"}


def numbered(parent: Path, name: str) -> Path:
    """The first of NAME, NAME-2, NAME-3 ... that is not there yet."""
    number = 1
    while (folder := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return folder


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON to a temporary name and rename. Raises OutputError when it cannot be written."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """Read a JSON object. Raises ModelError, naming what was `expected`, when it is missing or broken."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path.parent}: no {path.name} in it; expected {expected}") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as JSON ({error}); expected {expected}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: holds no JSON object; expected {expected}")
    return content
