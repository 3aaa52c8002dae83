"""Two models on the same photos, paired photo by photo, over the classes that both know.

In:  truth and probabilities of each, as `Known`: their labels must be the same, "unknown" not counted.
Out: `Comparison`: the difference in top-1 with its interval, McNemar's test, how often they agree.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edge.evaluation.accuracy import McNemar, PairedDifference, agreement, mcnemar, paired_difference
from edge.evaluation.known import Known


@dataclass(frozen=True)
class Comparison:
    """One model against another."""

    agreement: float  # share of photos that both name alike
    difference: PairedDifference  # top-1 of the one less that of the other
    mcnemar: McNemar  # only_a: the one alone is right

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def text(self, name: str, other: str) -> str:
        """One line for a person."""
        gap, test = self.difference, self.mcnemar
        return (
            f"{name} against {other}: {100 * gap.difference:+.1f} points "
            f"(95 % interval {100 * gap.low:+.1f} to {100 * gap.high:+.1f}), "
            f"same answer on {self.agreement:.1%}; right where the other is wrong: "
            f"{test.only_a} against {test.only_b} photos, McNemar p = {test.p_value:.2g}"
        )


def compare(one: Known, other: Known) -> Comparison:
    """`one` against `other`, the same photos in the same order."""
    if one.labels != other.labels:
        raise ValueError(f"known classes {one.labels} and {other.labels}; expected the same in the same order")
    return Comparison(
        agreement(one.named, other.named),
        paired_difference(one.is_right, other.is_right),
        mcnemar(one.is_right, other.is_right),
    )
