"""The heads of the five species.

In:  a random generator, from which each head draws its own shape and colours.
Out: Facets of a head that faces the viewer, its centre at the origin and about 1 in radius.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.garden.facets import Facets, Floats, join
from training.garden.petals import GOLDEN_ANGLE, Paint, Petal, Shell, around, bgr, dome, hairs, pick, ring, shell

HAIRS_PER_SEED = 7


def daisy(rng: np.random.Generator) -> Facets:
    """Slender white, pink or lilac petals round a small yellow dome."""
    count = int(rng.integers(12, 30))
    disc = rng.uniform(0.2, 0.36)
    petal = Petal(
        root=disc * 0.8,
        length=1 - disc * 0.8,
        width=min(2.9 / count, 0.17) * rng.uniform(0.75, 1.1),
        lift=rng.uniform(-0.15, 0.45),
        curl=rng.uniform(-0.7, 0.2),
        tip_power=rng.uniform(0.2, 0.5),
    )
    body = pick(rng, "f7f6f0", "f2f0ea", "fbfaf6", "f6e3ea", "eec4d6", "d9c8ec", spread=4)
    tip = body if rng.random() < 0.65 else pick(rng, "e7a2c0", "d98cb4", "f2d0dd")
    paint = Paint(body * 0.8, body, tip, edge=0.1, streaks=0.035)
    angles = around(rng, count)[int(rng.integers(0, 4)) if rng.random() < 0.3 else 0 :]
    back = ring(rng, petal, Paint(body * 0.6, body * 0.82, tip * 0.85), around(rng, max(7, count // 2)), tier=0)
    heart = np.stack(
        [pick(rng, "e0c22a", "b9b23a", "f2d13a"), pick(rng, "f0b81c", "f7ca24"), pick(rng, "c98612", "d99a14")]
    )
    return join(
        [back, ring(rng, petal, paint, angles, tier=1), dome(rng, disc, disc * rng.uniform(0.2, 0.6), 130, heart, 3)]
    )


def sunflowers(rng: np.random.Generator) -> Facets:
    """Pointed golden petals round a broad, dark disc of seeds."""
    count = int(rng.integers(18, 34))
    disc = rng.uniform(0.36, 0.56)
    petal = Petal(
        root=disc * 0.9,
        length=1 - disc * 0.85,
        width=rng.uniform(0.09, 0.14),
        lift=rng.uniform(-0.1, 0.5),
        curl=rng.uniform(-0.5, 0.3),
        tip_power=rng.uniform(0.6, 0.95),
        root_power=0.45,
        cup=0.5,
        jitter=0.11,
    )
    body = pick(rng, "f7b50c", "fbc21a", "f2a105", "f8d13a", "ee9108")
    root = body * 0.8 if rng.random() < 0.8 else pick(rng, "8c2d10", "b2480f")
    front = ring(rng, petal, Paint(root, body, body * 1.06, streaks=0.06), around(rng, count), tier=1)
    back = ring(rng, petal, Paint(root * 0.75, body * 0.8, body * 0.88), around(rng, count), tier=0)
    stops = np.stack(
        [
            pick(rng, "6b6a2a", "3a2412", "57401c"),
            pick(rng, "3d2412", "2c1a10"),
            pick(rng, "4a2c12", "3a2414"),
            pick(rng, "8a5a18", "5e3a14", "a3701e"),
        ]
    )
    return join([back, front, dome(rng, disc, disc * rng.uniform(-0.1, 0.3), 300, stops, 3)])


def dandelion(rng: np.random.Generator) -> Facets:
    """A dense yellow mop of strap-shaped florets or, now and then, the white clock of seeds."""
    return _clock(rng) if rng.random() < 0.25 else _mop(rng)


def _mop(rng: np.random.Generator) -> Facets:
    rings = int(rng.integers(5, 7))
    lowest, highest = rng.uniform(-0.1, 0.25), rng.uniform(0.9, 1.3)
    body = pick(rng, "f9d40f", "f6c90a", "fbdf2e", "f3bd08")
    deep = pick(rng, "e89f06", "eda90a", "dd9306")
    parts = []
    for tier, inward in enumerate(np.linspace(0.0, 1.0, rings)):
        petal = Petal(
            root=0.1 * (1 - inward),
            length=1.0 - 0.6 * inward,
            width=0.046,
            lift=lowest + (highest - lowest) * inward,
            curl=rng.uniform(-0.5, 0.1),
            tip_power=0.1,
            root_power=0.2,
            cup=0.8,
            jitter=0.075,
            rows=4,
            columns=2,
        )
        paint = Paint(deep * (0.62 + 0.1 * inward), body * 0.92, body * rng.uniform(0.98, 1.05), streaks=0.09)
        parts.append(ring(rng, petal, paint, around(rng, round(52 - 26 * inward), 0.5), tier))
    buds = np.stack([deep * 0.85, deep, body])
    return join([*parts, dome(rng, 0.16, 0.1, 40, buds, rings + 1)] if rng.random() < 0.5 else parts)


def _clock(rng: np.random.Generator) -> Facets:
    """A ball of seeds on stalks, each with a parasol of hairs; some have blown away."""
    count = int(rng.integers(110, 170))
    index = np.arange(count) + 0.5
    polar, angle = np.arccos(1 - 2 * index / count), index * GOLDEN_ANGLE
    out = np.stack([np.sin(polar) * np.cos(angle), np.sin(polar) * np.sin(angle), np.cos(polar)], axis=1)
    gone = rng.normal(0, 1, 3)
    kept = out @ (gone / np.linalg.norm(gone)) < rng.choice([1.1, 0.8, 0.4], p=[0.7, 0.2, 0.1])
    out = out[kept]
    white = pick(rng, "f2f2ee", "e6e6e0", "f5f0e2", spread=3)
    stalks = hairs(out * 0.16, out * 0.86, 0.007, white * 0.72)
    seeds = hairs(out * 0.13, out * 0.27, 0.02, pick(rng, "6b4a2a", "7d5a34", "4a3522"))
    heart = np.stack([pick(rng, "b09a72", "8d7a55"), pick(rng, "7d6a48", "93845c")])
    return join([seeds, stalks, _parasols(rng, out, white), dome(rng, 0.13, 0.08, 40, heart, 0)])


def _parasols(rng: np.random.Generator, out: Floats, colour: Floats) -> Facets:
    aside = np.cross(out, [0.3, 0.9, 0.2])
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    upward = np.cross(out, aside)
    spokes = []
    for turn in np.arange(HAIRS_PER_SEED) * 2 * np.pi / HAIRS_PER_SEED:
        angle = (turn + rng.uniform(-0.3, 0.3, len(out)))[:, None]
        ends = out * 0.97 + 0.17 * (np.cos(angle) * aside + np.sin(angle) * upward)
        spokes.append(hairs(out * 0.86, ends, 0.008, colour))
    return join(spokes)


def roses(rng: np.random.Generator) -> Facets:
    """Broad petals wrapped round one another in a spiral, the outer ones opening and rolling back."""
    count, openness = int(rng.integers(16, 27)), rng.uniform(0.45, 1.0)
    body = pick(rng, "c8102e", "a80c22", "7d0a1c", "e8507a", "f2a0b8", "f7d3d6", "f5efe6", "f6d36b", "f4a56c", "d8336b")
    deep = body * np.array([0.45, 0.45, 0.62])
    parts = [_sepals(rng)]
    for index, outward in enumerate(np.linspace(0.0, 1.0, count)):
        reach = 0.1 + (0.25 + 0.6 * openness) * outward**0.9
        rim = 0.5 - (0.25 + 0.55 * openness) * outward**1.4
        shape = Shell(
            reach=reach,
            bottom=-0.55,
            rim=rim,
            curl=openness * outward * rng.uniform(0.6, 1.2),
            span=2.0 - 1.05 * outward,
            swirl=0.1,
            tip_power=0.2,
            root_power=0.3,
            mouth=1.0,
        )
        light = rng.normal(1.0, 0.05)
        paint = Paint(deep * 0.8, (0.3 * deep + 0.7 * body) * light, body * 1.05 * light, edge=-0.04, streaks=0.03)
        parts.append(shell(rng, shape, paint, index * GOLDEN_ANGLE + rng.normal(0, 0.15), tier=1))
    return join(parts)


def _sepals(rng: np.random.Generator) -> Facets:
    green = pick(rng, "3f6b2a", "2f5a28")
    petal = Petal(root=0.02, length=0.85, width=0.12, lift=-0.5, curl=-0.4, tip_power=1.0)
    return ring(rng, petal, Paint(green, green, green * 0.8), around(rng, 5), tier=0)


def tulips(rng: np.random.Generator) -> Facets:
    """Six pointed-ovate petals that form a cup."""
    body = pick(rng, "d01c2a", "e8485a", "f28ab0", "f7c21c", "f6efe2", "8e3a8c", "f07a1c", "5c1a4a", "e0307a")
    edged = rng.random() < 0.3
    tip = pick(rng, "f7d64a", "f8f0e0", "f2b84a") * 0.6 + body * 0.4 if edged else body * 1.06
    root = pick(rng, "d8d86a", "e8e2b0", "a8b860") if rng.random() < 0.6 else body * 0.7
    mouth, reach = rng.choice([0.3, 0.6, 0.95, 1.2]) + rng.uniform(-0.15, 0.15), rng.uniform(0.55, 0.72)
    span, pointed = rng.uniform(0.85, 1.1), rng.uniform(0.35, 0.75)
    parts = []
    for index in range(6):
        inner = index % 2 == 0
        shape = Shell(
            reach=reach * (0.88 if inner else 1.0),
            bottom=-0.95,
            rim=0.95 + rng.normal(0, 0.05),
            curl=0.0,
            span=span,
            swirl=0.07,
            tip_power=pointed,
            root_power=0.32,
            mouth=mouth * (0.9 if inner else 1.0),
            grid=(20, 14),
        )
        dim = (0.82 if inner else 1.0) * rng.normal(1.0, 0.04)
        paint = Paint(root * dim, body * dim, tip * dim, edge=-0.1 if edged else 0.1, streaks=0.035)
        parts.append(shell(rng, shape, paint, index * np.pi / 3 + rng.normal(0, 0.08), tier=1))
    return join([*parts, _hearts(rng)])


def _hearts(rng: np.random.Generator) -> Facets:
    """Pistil and stamens, seen when a tulip is open and faces the viewer."""
    angles = around(rng, 6)
    feet = np.stack([0.1 * np.cos(angles), 0.1 * np.sin(angles), np.full(6, -0.8)], axis=1)
    tops = feet * [2.2, 2.2, 0.25]
    pistil = hairs(np.array([[0.0, 0.0, -0.9]]), np.array([[0.03, 0.03, -0.2]]), 0.08, bgr("c2c46a"))
    return join([hairs(feet, tops, 0.05, pick(rng, "3a2230", "c9a020", "2c1a2c")), pistil])


HEADS: dict[str, Callable[[np.random.Generator], Facets]] = {
    "daisy": daisy,
    "dandelion": dandelion,
    "roses": roses,
    "sunflowers": sunflowers,
    "tulips": tulips,
}
