"""What an export aims at, and how much work it puts into it, by name.

In:  the name of a preset, and whatever of it is wanted otherwise.
Out: Plan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

DEFAULT = "balanced"
QUICK_DROP = 10.0  # points; what a few epochs cost in accuracy is no reason to show nothing


@dataclass(frozen=True)
class Plan:
    """Limits that a file must keep, and which variants are made to keep them."""

    max_drop: float  # points of validation top-1
    max_kb: float  # kilobytes of 1000 bytes; 0: any size
    speed: float  # times as fast as the plain int8 file of the same run; 0: any
    size: int  # side of a slim network's input, at most, in pixels
    self_epochs: int  # of self-distillation of the trained network, before all else; 0: none
    distil_epochs: int  # 0: no slim network
    lessons: int  # passes over the training photos whose answers the trained network gives
    reference_epochs: int  # that the trained network has to get used to smaller pictures
    aware_epochs: int  # of quantisation-aware training; 0: none
    sparsity: float  # share of weights that magnitude pruning sets to zero; 0: none

    def __str__(self) -> str:
        limits = [f"at most {self.max_drop:g} points lost"]
        limits += [f"{self.max_kb:g} kB"] * bool(self.max_kb)
        limits += [f"{self.speed:g} times as fast as int8"] * bool(self.speed)
        work = [f"epochs of self-distillation: {self.self_epochs}"] * bool(self.self_epochs)
        work += [f"epochs of distillation at {self.size} px: {self.distil_epochs}"] * bool(self.distil_epochs)
        work += [f"epochs of quantisation-aware training: {self.aware_epochs}"] * bool(self.aware_epochs)
        work += [f"weights pruned: {self.sparsity:.0%}"] * bool(self.sparsity)
        return f"{', '.join(limits)}; {', '.join(work) or 'no training'}"


# Quantisation-aware training is in `micro` alone: on the validation photos of three seeds bias-corrected int8 lost
# nothing against float32 at full size, and at 4 times the speed was half a point better than three epochs of such
# training; at 7 times those brought 0.2 points.
PRESETS = {
    "accurate": Plan(
        max_drop=0.5, max_kb=0.0, speed=0.0, size=224, self_epochs=10, distil_epochs=0, lessons=4, reference_epochs=0,
        aware_epochs=0, sparsity=0.0,
    ),
    "balanced": Plan(
        max_drop=3.0, max_kb=1000.0, speed=4.0, size=128, self_epochs=10, distil_epochs=30, lessons=12,
        reference_epochs=6, aware_epochs=0, sparsity=0.0,
    ),
    "micro": Plan(
        max_drop=5.0, max_kb=500.0, speed=7.0, size=96, self_epochs=10, distil_epochs=30, lessons=12,
        reference_epochs=6, aware_epochs=4, sparsity=0.0,
    ),
}  # fmt: skip


def quick(plan: Plan) -> Plan:
    """A first look: the same limits but for accuracy, a tenth of the work."""
    return replace(
        plan,
        max_drop=max(plan.max_drop, QUICK_DROP),
        self_epochs=0,
        distil_epochs=min(plan.distil_epochs, 4),
        lessons=min(plan.lessons, 2),
        reference_epochs=min(plan.reference_epochs, 1),
        aware_epochs=0,
    )
