"""Does this device give the answers that the exporter got, and if not, what is the likely cause?

In:  a function from frames to answers, BGR uint8 (H, W, 3) to probabilities (num_classes,), and golden cases.
Out: one Verdict per case; `likely_cause` in words.

The known faults of a picture path are described here, once: export chooses golden cases that show them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.result import Probabilities
from edge.model.golden import TOLERANCE, GoldenCase, expected, frame
from edge.picture.geometry import Picture, centre_square, model_input

Predict: TypeAlias = Callable[[Picture], Probabilities]

NAMED_LABELS = 3  # in a message
SLIGHT = 0.1  # a factor nearer to 1 than this is no misread scale
NARROW = 2 * TOLERANCE  # a runtime that rounds otherwise may pass the tolerance by a little; faults pass it by far


@dataclass(frozen=True)
class Verdict:
    """How far the answer to one case is from the exporter's."""

    case: GoldenCase
    difference: float  # the greatest over all labels, of a probability
    label: str  # where it is greatest
    passed: bool


@dataclass(frozen=True)
class Fault:
    """One way to make the model's input otherwise than by the rule of `edge.picture.geometry`."""

    crop: str = "centre"
    resize: str = "rule"
    colours: str = "RGB"

    def picture(self, frame_bgr: Picture, size: int) -> Picture:
        """What a device with this fault would give the model: RGB uint8 (size, size, 3)."""
        if (self.crop, self.resize) == ("centre", "rule"):
            picture = model_input(frame_bgr, size)
        else:
            how = _RESIZES.get(self.resize, cv2.INTER_AREA)
            resized = cv2.resize(_CROPS[self.crop](frame_bgr), (size, size), interpolation=how)
            picture = np.asarray(cv2.cvtColor(resized, cv2.COLOR_BGR2RGB), np.uint8)
        return np.ascontiguousarray(_COLOURS[self.colours](picture))

    @property
    def cause(self) -> str:
        """The fault in words."""
        parts = (self.colours, self.crop, self.resize)
        return " and ".join(CAUSES[part] for part in parts if part in CAUSES)


def _square(frame_bgr: Picture) -> Picture:
    top, left, side = centre_square(*frame_bgr.shape[:2])
    return frame_bgr[top : top + side, left : left + side]


_CROPS: Mapping[str, Callable[[Picture], Picture]] = {"centre": _square, "stretch": lambda frame_bgr: frame_bgr}
_RESIZES = {"bilinear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST, "area": cv2.INTER_AREA}
_COLOURS: Mapping[str, Callable[[Picture], Picture]] = {
    "RGB": lambda picture: picture,
    "BGR": lambda picture: picture[..., ::-1],
    "half": lambda picture: picture // 2 + np.uint8(128),  # x / 255 lies in the upper half of -1 to 1
    "signed": lambda picture: picture ^ np.uint8(128),
}
CAUSES = {
    "BGR": "the colour channels are swapped: BGR for RGB",
    "half": "pixels are scaled to [0, 1] where [-1, 1] is expected",
    "signed": "the input's type is wrong: pixels are read as signed bytes",
    "stretch": "the whole frame is squeezed into the square instead of cropped to it",
    "bilinear": "the picture is resized bilinearly in one step, so that most pixels are skipped",
    "nearest": "the picture is resized to the nearest pixel, so that most pixels are skipped",
    "area": "the picture is averaged to the model's size in one step, instead of by a whole factor first",
}
FAULTS: Mapping[str, Fault] = {
    "BGR": Fault(colours="BGR"),
    "stretch": Fault(crop="stretch"),
    "bilinear stretch": Fault(crop="stretch", resize="bilinear"),
    "bilinear": Fault(resize="bilinear"),
    "nearest": Fault(resize="nearest"),
    "area": Fault(resize="area"),
    "half": Fault(colours="half"),
    "signed": Fault(colours="signed"),
}
_ALL_FAULTS = tuple(
    Fault(crop, resize, colours)
    for colours, crop, resize in product(_COLOURS, _CROPS, ("rule", *_RESIZES))
    if (crop, resize, colours) != ("centre", "rule", "RGB") and (crop, resize) != ("stretch", "area")  # twice the same
)


def check(answer: Predict, labels: Sequence[str], cases: Sequence[GoldenCase]) -> tuple[Verdict, ...]:
    """Ask `answer`, given BGR frames, for every case; `labels` are in the order of its answers."""
    return tuple(_verdict(case, answer(frame(case)), labels) for case in cases)


def trouble(
    verdicts: Sequence[Verdict], answer: Predict, invoke: Predict, size: int, labels: Sequence[str]
) -> str | None:  # fmt: skip
    """What is wrong with this device, in one line; None when every case passed. The rest is as in `likely_cause`."""
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if not failed:
        return None
    worst = max(failed, key=lambda verdict: verdict.difference)
    cause = likely_cause(answer, invoke, size, labels, [verdict.case for verdict in verdicts])
    return (
        f"{len(failed)} of {len(verdicts)} golden cases fail on this device, by up to {worst.difference:.3f} for "
        f"{worst.label}, expected at most {TOLERANCE:.3f}; likely cause: {cause}; "
        "update Flora and the runtime, or export it again"
    )


def difference(left: Probabilities, right: Probabilities) -> float:
    """The greatest difference of two answers; one that is not a number differs by 1."""
    return float(_differences(left, right).max())


def likely_cause(
    answer: Predict, invoke: Predict, size: int, labels: Sequence[str], cases: Sequence[GoldenCase]
) -> str:  # fmt: skip
    """Say why cases fail: the known fault that makes the answers fit, or that none does.

    `answer` is given BGR frames, as in `check`; `invoke` is what lies under it, given RGB (size, size, 3).
    """
    frames = [frame(case) for case in cases]
    wanted = [expected(case, labels) for case in cases]
    seen = [answer(picture) for picture in frames]
    misled = _Misled(invoke, size, frames)
    order = _label_cause(seen, wanted, labels)
    if cause := _output_cause(seen, wanted):
        return cause
    if not misled.explains(Fault(), seen):  # so the fault lies between frame and model
        return misled.cause_of(seen) or order or _unknown_cause(seen, wanted)
    return " or ".join(filter(None, (order, misled.cause_of(wanted)))) or _unknown_cause(seen, wanted)


@dataclass(frozen=True)
class _Misled:
    """The model, given pictures that were made with a fault on purpose."""

    invoke: Predict
    size: int
    frames: list[Picture]

    def distance(self, fault: Fault, target: list[Probabilities]) -> float:
        """The greatest difference over all cases, or infinite from the first that does not fit."""
        worst = 0.0
        for picture, right in zip(self.frames, target, strict=True):
            worst = max(worst, difference(self.invoke(fault.picture(picture, self.size)), right))
            if worst > TOLERANCE:
                return float("inf")
        return worst

    def explains(self, fault: Fault, target: list[Probabilities]) -> bool:
        return self.distance(fault, target) <= TOLERANCE

    def cause_of(self, target: list[Probabilities]) -> str:
        """The fault that leads to the answers `target`, in words; nothing if none does."""
        distances = {fault: self.distance(fault, target) for fault in _ALL_FAULTS}
        best = min(distances, key=distances.__getitem__)
        return best.cause if distances[best] <= TOLERANCE else ""


def _verdict(case: GoldenCase, seen: Probabilities, labels: Sequence[str]) -> Verdict:
    differences = _differences(seen, expected(case, labels))
    worst = int(differences.argmax())
    return Verdict(case, float(differences[worst]), labels[worst], bool(differences[worst] <= TOLERANCE))


def _differences(left: Probabilities, right: Probabilities) -> NDArray[np.float64]:
    return np.nan_to_num(np.abs(left.astype(np.float64) - right), nan=1.0, posinf=1.0)


def _output_cause(seen: list[Probabilities], wanted: list[Probabilities]) -> str:
    """The output's scale, zero point or type is misread."""
    everything, right = np.stack(seen), np.stack(wanted)
    if not np.isfinite(everything).all() or everything.min() < -TOLERANCE or everything.max() > 1 + TOLERANCE:
        return "the output's type or scale is read wrongly: there are answers outside 0 to 1"
    factor = float((everything * right).sum() / max((right * right).sum(), TOLERANCE**2))  # a card may ask for nothing
    if factor > 0 and abs(factor - 1) > SLIGHT and difference(everything / factor, right) <= TOLERANCE:
        return f"the output's scale is read wrongly: all answers are {factor:.2f} times what they should be"
    return ""


def _label_cause(seen: list[Probabilities], wanted: list[Probabilities], labels: Sequence[str]) -> str:
    """The same answers under other names."""
    apart = np.max([_differences(s[None, :], w[:, None]) for s, w in zip(seen, wanted, strict=True)], axis=0)
    moved = [int(i) for i in np.flatnonzero(np.diag(apart) > TOLERANCE)]
    places = _matching({i: [j for j in moved if apart[i, j] <= TOLERANCE] for i in moved})
    if not moved or len(places) < len(moved):
        return ""
    named = ", ".join(f"{labels[i]} is answered as {labels[places[i]]}" for i in moved[:NAMED_LABELS])
    return f"the labels are in another order: {named}" + (", ..." if len(moved) > NAMED_LABELS else "")


def _matching(choices: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """A greatest one-to-one choice for the keys, by augmenting paths."""
    owner: dict[int, int] = {}

    def place(key: int, tried: set[int]) -> bool:
        for choice in choices[key]:
            if choice not in tried:
                tried.add(choice)
                if choice not in owner or place(owner[choice], tried):
                    owner[choice] = key
                    return True
        return False

    for key in choices:
        place(key, set())
    return {key: choice for choice, key in owner.items()}


def _unknown_cause(seen: list[Probabilities], wanted: list[Probabilities]) -> str:
    worst = max(map(difference, seen, wanted))
    if worst <= NARROW:
        return f"unknown, but the difference is small ({worst:.2f}): a runtime that rounds otherwise, most likely"
    return "unknown: no fault of colours, crop, resize or labels explains it; damaged weights, or another runtime"
