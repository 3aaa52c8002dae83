"""The shape of a slim network, settled before anything is taught: its int8 file is timed here, beside the plain one.

In:  widths for any time of an invoke, as a latency table foretells it, and how fast a file of such widths is.
Out: Settled: the shape that is as fast as is aimed for, and how fast it was.

Weights do not change how long a file takes, so that of a network that has learned nothing tells what the taught one
will be. A table foretells the speed of its own device to a few percent; that of another processor of the same kind may
be a fifth off. What the timing says corrects what the table is asked for next.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edge.base.files import write_atomically
from edge.base.formats import FIRST, Lasting, plain, read_fields, require_readable
from edge.errors import ModelError
from export.slimming.widths import Shape

FORMAT = 1  # of a kept shape; a reader refuses one whose major number is newer
AIM, WITHIN = 1.025, 1.05  # times the speed asked for: what is tried for, and the most that is taken
ROUNDS = 6


@dataclass(frozen=True)
class Judged(Lasting):
    """What became of a network of a shape that was taught, and then refused."""

    speed: float  # times as fast as the plain int8 file
    kb: float  # of the written file, 1000 bytes each
    drop: float  # points of validation top-1 that it loses

    def holds(self, speed: float, max_kb: float, max_drop: float) -> bool:
        """Whether it is within these limits; 0 for a speed or a size allows any."""
        return self.speed >= speed and (not max_kb or self.kb <= max_kb) and self.drop <= max_drop


@dataclass(frozen=True)
class Settled(Lasting):
    """A shape, and how many times as fast as the run's plain int8 file it is."""

    shape: Shape
    foretold: float  # by the table
    timed: float | None = None  # here; None: the table is of another device, and decides alone
    judged: tuple[Judged, ...] = ()  # empty: not taught yet, or not refused

    @property
    def speed(self) -> float:
        """The speed that decides."""
        return self.foretold if self.timed is None else self.timed

    def write(self, path: Path) -> None:
        """Keep it as JSON. Raises OutputError."""
        write_atomically(path, json.dumps(plain(self), indent=2).encode())

    @classmethod
    def read(cls, path: Path) -> Settled:
        """What was kept. Raises ModelError."""
        with readable(path):
            content = json.loads(path.read_bytes())
            require_readable(content.get("format", FIRST), FORMAT)
            return read_fields(cls, content)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Inside, a kept shape is read; what is none of ours becomes a ModelError."""
    try:
        yield
    except (KeyError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: no shape that can be gone on with ({error}); delete it") from error


def settle(
    fitted: Callable[[float], Shape], timed: Callable[[Shape], float], whole_ms: float, speed: float,
    step: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> tuple[Shape, float]:  # fmt: skip
    """The shape that is `speed` times as fast by `timed`, to 5 %, and how fast it is.

    `fitted` gives the widest shape that takes at most so many milliseconds by the table, by which the whole network
    takes `whole_ms`; or the narrowest there is. Where no shape is fast enough the fastest is given; where widths come
    in coarse steps, the slowest that is fast enough. A `speed` of 0 is any: one shape is timed.
    """
    tried: list[tuple[Shape, float]] = []
    ms = whole_ms / (AIM * speed) if speed else math.inf
    for number in range(1, ROUNDS + 1):
        shape = fitted(ms)
        if any(shape.widths == known.widths for known, _ in tried):
            break
        found = timed(shape)
        tried.append((shape, found))
        step(number, ROUNDS, f"{found:.2f} times")
        if not speed or speed <= found <= WITHIN * speed:
            break
        ms = _next([(one.ms, fast) for one, fast in tried], AIM * speed)
    step(ROUNDS, ROUNDS, "")
    enough = [one for one in tried if one[1] >= speed]
    return min(enough, key=lambda one: one[1]) if enough else max(tried, key=lambda one: one[1])


def _next(tried: list[tuple[float, float]], aim: float) -> float:
    """Milliseconds to allow by the table next: in proportion to the nearest try, or between the two around the aim."""
    slower, faster = ([one for one in tried if (one[1] > aim) is is_faster] for is_faster in (False, True))
    if not slower or not faster:
        ms, found = min(tried, key=lambda one: abs(math.log(one[1] / aim)))
        return ms * found / aim
    (long, below), (short, above) = max(slower, key=lambda one: one[1]), min(faster, key=lambda one: one[1])
    return float(long * (short / long) ** (math.log(aim / below) / math.log(above / below)))


def with_judged(settled: Settled, found: Judged) -> Settled:
    """The same with one more network of that shape judged."""
    return replace(settled, judged=(*settled.judged, found))

