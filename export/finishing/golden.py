"""Choose the golden cases of a model: pictures by formula whose answers are steady, but not under a fault.

In:  a function from RGB uint8 (N, N, 3) to probabilities (num_classes,), and labels.
Out: a few GoldenCases, with the answers.

Seeded candidates are drawn until enough of them are steady: their answers move by at most 6/256 when every pixel
does by up to one level, by at most 6/256 in another runtime's arithmetic, and by 9/256 in sum. From those the fewest
are taken that show every fault twice, by at least 32/256, and set every two labels apart; where "unknown" is a label,
one of them is answered so and two are not. Among equals the ones come first whose greatest answer lies between 0.3 and
0.95 (at the rim of the softmax much can change inside without a sign of it outside), then the ones with the most room
between what noise does and what faults do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.streams import quiet_stderr
from edge.contract.rejection import UNKNOWN
from edge.errors import ModelError
from edge.model.golden import LARGEST_AREA, LATTICE, SMALLEST, GoldenCase, frame
from edge.model.interpreter import LITERT, told_apart
from edge.model.verify import FAULTS, Predict, difference
from edge.picture.geometry import Picture, model_input

STEADY, AGREED, MOVED, SHIFT = 6 / 256, 6 / 256, 9 / 256, 32 / 256  # of a probability; the third is in sum
NOISES = 4  # random draws, besides all pixels up and all pixels down
SHOWN = 2  # cases that show each fault
REQUIRED = ("BGR", "stretch", "bilinear stretch", "bilinear", "nearest", "half", "signed")
OPTIONAL = ("area",)  # close to the rule by nature: shown where a case happens to
CANDIDATES = 1600
HOPELESS = 400  # after so many without two that are steady, no more are drawn
CONSIDERED = 48  # steady ones that are looked at while drawing, the best by rank
BOTH_SORTS = 200  # so many are drawn for answers of both sorts
POOL = 24  # steady candidates to choose from
HUNTED = 4000  # further pictures, small and cheap, to set labels apart
SMALL_SCENE = ("scene", 320, 240)
MANY_LABELS = 16  # from here on, no search for frames that set every two labels apart
FEWEST, MOST = 4, 8  # cases
FEWEST_NONE, FEWEST_SOME = 1, 2  # of a network that knows "none of these": cases that are, cases that are not
RIM = (0.3, 0.95)

_Probabilities = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A steady picture and what faults do to its answer."""

    case: GoldenCase
    probabilities: _Probabilities
    noise: float
    shifts: dict[str, float]  # fault -> greatest difference
    is_none: bool | None = None  # of the classes, by its answer; None: there is no such answer

    def shows(self, fault: str) -> bool:
        return self.shifts[fault] >= SHIFT

    @property
    def is_inside(self) -> bool:
        """Is the softmax not so full that what changes before it can no longer be seen?"""
        return bool(RIM[0] <= self.probabilities.max() <= RIM[1])

    @property
    def rank(self) -> tuple[bool, float]:
        """Lower is better."""
        return not self.is_inside, self.noise - float(
            np.mean([min(self.shifts[fault], 4 * SHIFT) for fault in REQUIRED])
        )


def choose_cases(
    answer: Predict, labels: Sequence[str], size: int, seed: int = 0, *, witnesses: Sequence[Predict] = ()
) -> tuple[GoldenCase, ...]:  # fmt: skip
    """Choose golden cases for the model behind `answer`; `witnesses` are the same model by other arithmetic.

    Raises ModelError, naming the fault, when a fault cannot be shown twice.
    """
    search = _Search(answer, tuple(labels), size, tuple(witnesses))
    random = np.random.default_rng(seed)
    steady: list[_Candidate] = []
    drawn = 0
    for drawn, (pattern, width, height) in enumerate(islice(cycle(_kinds(size)), CANDIDATES), 1):
        found = search.tried(pattern, width, height, random)
        steady += found
        is_news = found or drawn == BOTH_SORTS  # what was not enough for a set is not enough now
        if is_news and len(steady) >= POOL and not _unfit(_smallest_set(_promising(steady)), drawn):
            break
        if drawn >= HOPELESS and len(steady) < SHOWN:
            break
    chosen = _smallest_set(steady)
    _require_shown(chosen, len(steady), drawn)
    for _ in range(HUNTED if _untold(chosen) else 0):
        found = search.tried(*SMALL_SCENE, random, untold_by=chosen)
        steady += found
        chosen = _smallest_set(steady) if found else chosen
        if not _untold(chosen):
            break
    return tuple(candidate.case for candidate in chosen)


def plain_kernels(flatbuffer: bytes) -> Predict:
    """The model by the runtime's plain kernels, which answered as tflite-runtime 2.14 does, bit by bit on x86-64."""
    runtime: Any = import_module(f"{LITERT}.interpreter")
    plain = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with quiet_stderr():
        interpreter = runtime.Interpreter(model_content=flatbuffer, experimental_op_resolver_type=plain)
        interpreter.allocate_tensors()
    source, (sink, _) = interpreter.get_input_details()[0], told_apart(interpreter.get_output_details())
    scale, zero_point = sink["quantization"] if sink["quantization"][0] else (1.0, 0)

    def answer(rgb: Picture) -> _Probabilities:
        interpreter.set_tensor(source["index"], rgb[None])
        interpreter.invoke()
        raw = interpreter.get_tensor(sink["index"]).ravel().astype(np.float32)
        return np.asarray((raw - np.float32(zero_point)) * np.float32(scale), np.float32)

    return answer


def _kinds(size: int) -> list[tuple[str, int, int]]:
    """Patterns with sizes (width, height) in pixels: those of cameras, and the one that 3 x 3 pixels divide evenly."""
    even = (4 * size, LATTICE * size)
    return [
        (pattern, width, height)
        for pattern, width, height in (
            ("lattice", *even),
            ("margins", 640, 480),
            ("checker", 640, 480),
            SMALL_SCENE,
            ("lattice", *even),
            ("margins", 1280, 720),
            ("checker", 1280, 720),
            ("scene", 640, 480),
        )
        if width * height <= LARGEST_AREA
    ]


@dataclass(frozen=True)
class _Search:
    """What stays the same from candidate to candidate."""

    answer: Predict
    labels: tuple[str, ...]
    size: int
    witnesses: tuple[Predict, ...]

    def tried(
        self, pattern: str, width: int, height: int, random: np.random.Generator,
        untold_by: Sequence[_Candidate] = (),
    ) -> list[_Candidate]:  # fmt: skip
        """One candidate if it is steady, and tells labels apart that `untold_by` do not; else none."""
        case = GoldenCase(pattern, int(random.integers(2**31)), width, height, {})
        frame_bgr = frame(case)
        picture = model_input(frame_bgr, self.size)
        right = self.answer(picture)
        if untold_by and _untold_pairs([right, *_answers(untold_by)]) >= _untold(untold_by):
            return []
        noise = self._noise(picture, right, case.seed)
        most = min(AGREED, MOVED - noise)
        if noise > STEADY or any(difference(witness(picture), right) > most for witness in self.witnesses):
            return []
        answers = {label: round(float(p), 6) for label, p in zip(self.labels, right, strict=True) if p >= SMALLEST}
        is_none = self.labels[int(right.argmax())] == UNKNOWN if UNKNOWN in self.labels else None
        return [_Candidate(replace(case, answers=answers), right, noise, self._shifts(frame_bgr, right), is_none)]

    def _noise(self, picture: Picture, right: _Probabilities, seed: int) -> float:
        """How far the answer moves; the search ends at the first draw that says too far."""
        worst = 0.0
        for noisy in _noisy(picture, seed):
            worst = max(worst, difference(self.answer(noisy), right))
            if worst > STEADY:
                break
        return worst

    def _shifts(self, frame_bgr: Picture, right: _Probabilities) -> dict[str, float]:
        return {
            name: difference(self.answer(FAULTS[name].picture(frame_bgr, self.size)), right)
            for name in (*REQUIRED, *OPTIONAL)
        }


def _noisy(picture: Picture, seed: int) -> Iterator[Picture]:
    """The picture with every level moved by at most one: all up, all down, then at random."""
    random = np.random.default_rng(seed)
    for step in (1, -1, *[None] * NOISES):
        moves = step if step is not None else random.integers(-1, 2, picture.shape, np.int16)
        yield np.clip(picture.astype(np.int16) + moves, 0, 255).astype(np.uint8)


def _smallest_set(steady: Sequence[_Candidate]) -> list[_Candidate]:
    """A small set by greed, without answers at the rim where that leaves nothing more undone."""
    ranked = sorted(steady, key=lambda candidate: candidate.rank)
    sets = [_greedy(ranked, keep_inside) for keep_inside in (True, False)]
    return min(sets, key=lambda chosen: [missing(chosen) for missing in (_unshown, _one_sided, _untold)])


def _promising(steady: Sequence[_Candidate]) -> list[_Candidate]:
    """Enough to see whether there is a set: the first by rank, and a few others that show a fault or name a class.

    Greed takes its time, and is asked after each draw.
    """
    ranked = sorted(steady, key=lambda candidate: candidate.rank)
    sorts = [[number for number, one in enumerate(ranked) if one.shows(fault)] for fault in REQUIRED]
    sorts.append([number for number, one in enumerate(ranked) if one.is_none is False])
    wanted = {*range(min(CONSIDERED, len(ranked))), *(number for found in sorts for number in found[: 2 * SHOWN])}
    return [ranked[number] for number in sorted(wanted)]


def _greedy(ranked: Sequence[_Candidate], keep_inside: bool) -> list[_Candidate]:
    """First for the faults, then for both sorts of answers and the labels, then for faults that need not be shown."""
    left, chosen = list(ranked), list[_Candidate]()
    for missing in (_unshown, _one_sided, _untold, _unshown_optional):
        while left and len(chosen) < MOST:
            best = min(left, key=_order(missing, chosen, keep_inside))  # the first of equals: the best by rank
            if missing([*chosen, best]) >= missing(chosen):
                break
            chosen.append(best)
            left.remove(best)
    return chosen + left[: max(0, FEWEST - len(chosen))]


def _order(
    missing: Callable[[Sequence[_Candidate]], int], chosen: Sequence[_Candidate], keep_inside: bool
) -> Callable[[_Candidate], tuple[bool, int]]:
    """Candidates that help first; of those the ones inside the rim, if asked to; of those the ones that help most."""
    now = missing(chosen)

    def key(candidate: _Candidate) -> tuple[bool, int]:
        then = missing([*chosen, candidate])
        return then >= now or (keep_inside and not candidate.is_inside), then

    return key


def _unshown(chosen: Sequence[_Candidate]) -> int:
    """How many more showings of faults are needed."""
    return sum(max(0, SHOWN - sum(c.shows(fault) for c in chosen)) for fault in REQUIRED)


def _one_sided(chosen: Sequence[_Candidate]) -> int:
    """How many frames are missing that are none of the classes, or one of them; none where nothing says so."""
    none, some = (sum(candidate.is_none is wanted for candidate in chosen) for wanted in (True, False))
    return max(0, FEWEST_NONE - none) + max(0, FEWEST_SOME - some) if none + some else 0


def _unfit(chosen: Sequence[_Candidate], drawn: int) -> int:
    """What is still worth drawing for: answers of both sorts not for ever, since some networks have none."""
    return _unshown(chosen) + (_one_sided(chosen) if drawn < BOTH_SORTS else 0)


def _unshown_optional(chosen: Sequence[_Candidate]) -> int:
    return sum(not any(c.shows(fault) for c in chosen) for fault in OPTIONAL)


def _answers(chosen: Sequence[_Candidate]) -> list[_Probabilities]:
    return [candidate.probabilities for candidate in chosen]


def _untold(chosen: Sequence[_Candidate]) -> int:
    """How many pairs of labels could change places unnoticed; none are counted among very many labels."""
    return 0 if not chosen or len(chosen[0].probabilities) > MANY_LABELS else _untold_pairs(_answers(chosen))


def _untold_pairs(answers: Sequence[_Probabilities]) -> int:
    table = np.stack(answers)
    gaps = np.abs(table[:, :, None] - table[:, None, :]).max(axis=0)
    return int((gaps[np.triu_indices(len(gaps), 1)] < SHIFT).sum())


def _require_shown(chosen: Sequence[_Candidate], steady: int, drawn: int) -> None:
    for fault in REQUIRED:
        shown = sum(candidate.shows(fault) for candidate in chosen)
        if shown < SHOWN:
            raise ModelError(
                f"no golden cases: {steady} of {drawn} pictures have steady answers, and {shown} of them "
                f"show that {FAULTS[fault].cause}; expected {SHOWN}; check the model's accuracy, or train it further"
            )
