"""What an export was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from edge.base.options import option
from edge.errors import UsageError
from export.presets import DEFAULT, PRESETS, QUICK_DROP, Plan, quick

Own = TypeVar("Own")

CALIBRATION, QUICK_CALIBRATION = 300, 100  # photos
FINEST_PATTERN = 16  # weights in a row
SIZE_STEP = 16  # pixels; MobileNets halve their maps four times before the last blocks
LIMITED = ("max_drop", "max_kb", "speed")  # what of a file
LIMITS: dict[str, tuple[float, float]] = {
    "max_drop": (0.0, 100.0), "max_kb": (0.0, 1e9), "speed": (0.0, 1000.0), "size": (32, 1024),
    "self_epochs": (0, 1000), "distil_epochs": (0, 10_000), "lessons": (1, 1000), "reference_epochs": (0, 1000),
    "aware_epochs": (0, 1000), "sparsity": (0.0, 0.95), "prune_epochs": (1, 10_000), "prune_rate": (1e-8, 1.0),
    "calibration": (1, 100_000), "coverage": (0.5, 1.0),
}  # fmt: skip


def _by_preset(field: str, help: str, kind: str) -> Any:
    """An option that is the preset's unless given."""
    values = ", ".join(f"{name} {getattr(plan, field):g}" for name, plan in PRESETS.items())
    return option(None, f"{help} (default: {values})", metavar=kind)


@dataclass(frozen=True)
class ExportConfig:
    """Everything that decides which file an export writes. What is None is as the preset has it."""

    preset: str = option(
        DEFAULT,
        "accurate: the whole network, quantised with the least loss; balanced: a slim one, several times as fast; "
        "micro: the fastest and smallest; in numbers: the defaults of the options below",
        choices=tuple(PRESETS),
    )
    quick: bool = option(
        False,
        "a first look: the same steps with few epochs, without float16 and dynamic range; may lose "
        f"{QUICK_DROP:g} points unless --max-drop is given",
    )
    max_drop: float | None = _by_preset(
        "max_drop", "points of validation top-1 that the file may lose against the trained network", "POINTS"
    )
    max_kb: float | None = _by_preset("max_kb", "largest file in kilobytes of 1000 bytes; 0: any size", "KB")
    speed: float | None = _by_preset(
        "speed", "how many times as fast as the plain int8 file of the run, measured here with one thread; 0: any",
        "TIMES",
    )  # fmt: skip
    size: int | None = _by_preset(
        "size", "side of a slim network's input; the run's own where that is smaller", "PIXELS"
    )
    self_epochs: int | None = _by_preset(
        "self_epochs", "epochs of self-distillation, in which the trained network learns from its own answers to "
        "mixtures of photos before it is quantised or teaches; 0: none", "N",
    )  # fmt: skip
    distil_epochs: int | None = _by_preset(
        "distil_epochs", "epochs in which the trained network teaches a slim one; 0: no slim one", "N"
    )
    lessons: int | None = _by_preset(
        "lessons", "times the training photos are augmented anew for it to learn from", "N"
    )
    reference_epochs: int | None = _by_preset(
        "reference_epochs", "epochs before that, in which the trained network gets used to smaller pictures", "N"
    )
    aware_epochs: int | None = _by_preset(
        "aware_epochs", "epochs of quantisation-aware training, of the slim network if there is one; 0: none", "N"
    )
    device_table: str | None = option(
        None, "times of single layers on the device, as flora benchmark --layers FILE writes them there: decides which "
        "channels go (default: a table of x86-64)", metavar="FILE",
    )  # fmt: skip
    sparsity: float | None = option(
        None, "one more variant, with this share of the 1x1 convolutions' weights set to zero: a smaller download, no "
        "more speed; 0: none (default: 0)", metavar="SHARE",
    )  # fmt: skip
    pattern: str | None = option(
        None, "the same with zeros in a pattern: 2:4 sets 2 of every 4 weights in a row to zero", metavar="N:M"
    )
    prune_epochs: int = option(3, "epochs of fine-tuning while weights are set to zero", metavar="N")
    prune_rate: float = option(1e-4, "peak learning rate of that", metavar="RATE")
    calibration: int | None = option(
        None, f"training photos, drawn evenly from all classes, that set the int8 ranges (default: {CALIBRATION}, with "
        f"--quick {QUICK_CALIBRATION})", metavar="N",
    )  # fmt: skip
    coverage: float = option(
        0.95, 'share of known photos that the threshold for "unknown" keeps; 1 keeps every validation photo',
        metavar="SHARE",
    )  # fmt: skip
    unknown: str | None = option(
        None, "pictures of other things, beside those the run was taught with: one half may decide the threshold, the "
        "other half is measured on; or where the run's own are now, if they have moved", metavar="FOLDER",
        flag="--others", aliases=("--unknown",),
    )  # fmt: skip
    evidence: bool = option(False, "a second output: the map of where in the picture each label's evidence is")
    photos: str | None = option(
        None, "the run's photo folder, if it has moved since the training; for a Keras file: a folder of class folders",
        metavar="FOLDER",
    )  # fmt: skip
    labels: str | None = option(
        None, "for a Keras file: its labels, one a line, in the order of its outputs", metavar="FILE"
    )
    pixels: str = option(
        "auto", "for a Keras file: the range of pixels that it takes, as --pixels=-1,1 or 0,1 or 0,255; auto tries all",
        metavar="RANGE",
    )  # fmt: skip
    licence: str | None = option(
        None,
        "licence that the card states; not stated unless given, since only you know that of your photos",
        metavar="TEXT",
    )
    attribution: str | None = option(None, "whom the card credits", metavar="TEXT")
    own: tuple[Any, ...] = ()  # options of single variants: a dataclass each, as export.variants.making names them

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"--preset {self.preset}: expected one of {', '.join(PRESETS)}")
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UsageError(f"--{name.replace('_', '-')} {value}: expected a value from {low:g} to {high:g}")
        if self.size is not None and self.size % SIZE_STEP:
            raise UsageError(f"--size {self.size}: expected a multiple of {SIZE_STEP}")
        zeros, among = self.zeros_among or (0, 1)
        if zeros and self.sparsity not in (None, zeros / among):
            raise UsageError(
                f"--pattern {self.pattern} with --sparsity {self.sparsity:g}: the pattern makes it {zeros / among:g}; "
                "leave out --sparsity"
            )

    def of(self, options: type[Own]) -> Own:
        """The options of one variant, as given, or with their defaults."""
        return next((given for given in self.own if isinstance(given, options)), options())

    @property
    def plan(self) -> Plan:
        """The preset, with what was asked for otherwise."""
        preset = PRESETS[self.preset]
        asked = {field.name: getattr(self, field.name) for field in fields(Plan)}
        if self.zeros_among:
            asked["sparsity"] = self.zeros_among[0] / self.zeros_among[1]
        base = quick(preset) if self.quick else preset
        return replace(base, **{name: value for name, value in asked.items() if value is not None})

    def within(self, limits: Mapping[str, float]) -> ExportConfig:
        """The same with other limits, by the names in LIMITED."""
        changes: dict[str, Any] = dict(limits)
        return replace(self, **changes)

    @property
    def typed(self) -> frozenset[str]:
        """The limits that were given and are not the preset's: these are kept or the export is refused."""
        return frozenset(name for name in LIMITED if getattr(self, name) is not None)

    @property
    def calibration_photos(self) -> int:
        """How many photos set the int8 ranges."""
        return self.calibration or (QUICK_CALIBRATION if self.quick else CALIBRATION)

    @property
    def zeros_among(self) -> tuple[int, int] | None:
        """Zeros, and the weights in a row among which they are."""
        if self.pattern is None:
            return None
        zeros, colon, among = self.pattern.partition(":")
        if not (colon and zeros.isdecimal() and among.isdecimal() and 0 < int(zeros) < int(among) <= FINEST_PATTERN):
            raise UsageError(f"--pattern {self.pattern}: expected zeros and weights, at most {FINEST_PATTERN}, as 2:4")
        return int(zeros), int(among)
