"""One plant: a head on its stem, with leaves, in the pose a photographer found it.

In:  a species and a random generator.
Out: Facets whose unit is the short side of the picture; the head is at the origin, y = -0.5 is the lower edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.garden.blossoms import HEADS
from training.garden.facets import Facets, Floats, bezier, facing, join, moved, ribbon
from training.garden.petals import outline, pick

STEM_TIER, LEAF_TIER = -10, -11  # below every tier of a head
STEM_SHADES = np.array([0.62, 0.92, 1.12, 1.0, 0.72])  # across a stem: it is round


@dataclass(frozen=True)
class Habit:
    """How a species holds itself. Angles in radians, lengths in head radii unless it says otherwise."""

    tilt: tuple[float, float]  # 0: the head faces the viewer; pi / 2: it faces the sky
    lean: float  # spread of the head's lean to either side
    neck: float  # from the head's centre to the top of the stem
    stem: float  # half the stem's thickness
    stem_colours: tuple[str, ...]
    leaf_colours: tuple[str, ...]
    leaves: tuple[int, int]  # fewest, most
    leaf_length: tuple[float, float]
    slimness: float  # half a leaf's width, relative to its length
    teeth: float  # depth of the teeth, relative to the width
    from_ground: bool  # leaves rise from the ground, not from the stem


HABITS = {
    "daisy": Habit(
        tilt=(0.0, 0.95),
        lean=0.35,
        neck=0.1,
        stem=0.045,
        stem_colours=("6d8f3f", "4f7a35"),
        leaf_colours=("4f7a35", "3f6b2a"),
        leaves=(0, 3),
        leaf_length=(0.7, 1.3),
        slimness=0.17,
        teeth=0.15,
        from_ground=True,
    ),
    "dandelion": Habit(
        tilt=(0.0, 1.0),
        lean=0.3,
        neck=0.1,
        stem=0.05,
        stem_colours=("9aa86a", "b08a6a", "86a052"),
        leaf_colours=("5a8a35", "47752c"),
        leaves=(1, 4),
        leaf_length=(1.0, 2.2),
        slimness=0.13,
        teeth=0.55,
        from_ground=True,
    ),
    "roses": Habit(
        tilt=(0.05, 1.1),
        lean=0.4,
        neck=0.5,
        stem=0.06,
        stem_colours=("4f6b35", "5f4a35", "3f5a2c"),
        leaf_colours=("2f5a2c", "3a6630", "27482a"),
        leaves=(2, 6),
        leaf_length=(0.8, 1.4),
        slimness=0.3,
        teeth=0.12,
        from_ground=False,
    ),
    "sunflowers": Habit(
        tilt=(-0.15, 0.8),
        lean=0.3,
        neck=0.1,
        stem=0.075,
        stem_colours=("7a9a45", "6b8a3c"),
        leaf_colours=("4f8035", "3f6e2c", "648f42"),
        leaves=(1, 4),
        leaf_length=(0.8, 1.6),
        slimness=0.33,
        teeth=0.06,
        from_ground=False,
    ),
    "tulips": Habit(
        tilt=(0.7, 1.55),
        lean=0.22,
        neck=0.9,
        stem=0.085,
        stem_colours=("8fb06a", "7a9f58"),
        leaf_colours=("6a9a5c", "5a8a55", "7faa72"),
        leaves=(1, 4),
        leaf_length=(1.6, 2.8),
        slimness=0.11,
        teeth=0.0,
        from_ground=True,
    ),
}


@dataclass(frozen=True)
class Leaf:
    """One leaf; lengths in short sides."""

    start: Floats  # (3,)
    angle: float  # 0 points right, pi / 2 up
    length: float
    half_width: float
    droop: float
    teeth: float
    colour: Floats  # (3,) BGR


@dataclass(frozen=True)
class Specimen:
    """A plant that can be posed again and again, swaying."""

    species: str
    head: Facets
    radius: float  # of the head, in short sides
    tilt: float
    lean: float
    spin: float
    neck: float
    root: Floats  # (3,) where the stem leaves the picture
    stem_half_width: float
    stem_colour: Floats
    leaves: tuple[Leaf, ...]


def draw_radius(rng: np.random.Generator) -> float:
    """Of a head that is the subject of a picture, in short sides."""
    return float(np.clip(rng.normal(0.34, 0.055), 0.23, 0.45))


def grow(species: str, radius: float, rng: np.random.Generator) -> Specimen:
    """A plant of the species whose head is about `radius` short sides in radius."""
    habit = HABITS[species]
    root = np.array([rng.normal(0, 0.18), -1.4, -0.25])
    size = radius * (0.95 if species in ("roses", "tulips") else 1.0)
    return Specimen(
        species=species,
        head=HEADS[species](rng),
        radius=size,
        tilt=rng.uniform(*habit.tilt),
        lean=rng.normal(0, habit.lean),
        spin=rng.uniform(0, 2 * np.pi),
        neck=habit.neck * size,
        root=root,
        stem_half_width=habit.stem * size * rng.uniform(0.8, 1.25),
        stem_colour=pick(rng, *habit.stem_colours),
        leaves=tuple(_leaf(habit, size, root, rng) for _ in range(rng.integers(*habit.leaves, endpoint=True))),
    )


def _leaf(habit: Habit, radius: float, root: Floats, rng: np.random.Generator) -> Leaf:
    side = rng.choice([-1.0, 1.0])
    length = radius * rng.uniform(*habit.leaf_length)
    if habit.from_ground:
        start, steepness = np.array([root[0] * 0.7 + side * 0.08, -0.75, -0.2]), rng.uniform(0.1, 0.75)
        length += 0.25
    else:
        share = rng.uniform(0.35, 0.75)
        start, steepness = np.array([root[0] * share * 0.7, -radius - 0.7 * share, -0.15]), rng.uniform(0.4, 1.2)
    return Leaf(
        start=start,
        angle=np.pi / 2 - side * steepness,
        length=length,
        half_width=length * habit.slimness * rng.uniform(0.8, 1.2),
        droop=rng.uniform(0.0, 0.5),
        teeth=habit.teeth,
        colour=pick(rng, *habit.leaf_colours, spread=9) * rng.uniform(0.7, 1.1),
    )


def posed(specimen: Specimen, sway: float = 0.0) -> Facets:
    """The plant with its stem swayed to the left by `sway` radians about the root."""
    rotation = facing(specimen.tilt, specimen.lean + sway, specimen.spin)
    shift = np.array([-sway * abs(specimen.root[1]) * 0.6, 0.0, 0.0])
    axis = rotation @ np.array([0.0, 0.0, 1.0])
    top = shift - axis * specimen.neck
    blades = [_blade(leaf) for leaf in specimen.leaves]
    return join([*blades, _stem(specimen, top, axis), moved(specimen.head, rotation, specimen.radius, shift)])


def _stem(specimen: Specimen, top: Floats, axis: Floats) -> Facets:
    steps = 16
    below = top - 0.35 * axis
    control = np.array([below[0], min(below[1], top[1] - 0.25), below[2]])
    spine = bezier(top, control, specimen.root, steps)
    widths = specimen.stem_half_width * np.linspace(0.9, 1.35, steps + 1)
    colours = specimen.stem_colour * (np.linspace(0.8, 1.0, steps)[:, None] * STEM_SHADES)[..., None]
    return ribbon(spine, widths, colours, STEM_TIER)


def _blade(leaf: Leaf) -> Facets:
    steps, columns = 18, 6
    direction = np.array([np.cos(leaf.angle), np.sin(leaf.angle), 0.25])
    tip = leaf.start + leaf.length * direction - [0, leaf.droop * leaf.length, 0]
    spine = bezier(leaf.start, leaf.start + 0.55 * leaf.length * direction, tip, steps)
    teeth = 1 - leaf.teeth * (np.arange(steps + 1) % 2)
    widths = leaf.half_width * outline(np.linspace(0.0, 1.0, steps + 1), 0.6, 0.8) * teeth + 0.003
    across = np.array([1.08, 1.0, 1.15, 0.8, 0.9, 0.82])[None, :columns]
    colours = leaf.colour * (np.linspace(0.8, 1.1, steps)[:, None] * across)[..., None]
    return ribbon(spine, widths, colours, LEAF_TIER, fold=0.5)
