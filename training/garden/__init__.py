"""Rendered flowers, for the demo and for tests that need pictures.

blossoms      the heads of the five species
facets        four-cornered facets in space, and the brush that paints them
meadow        backdrops, grass, light and lens
parade        a clip in which flowers pass by
petals        rings of petals, domes of florets, hairs
planting      pictures of flowers, single and as folders of classes
specimen      one plant, in its pose

To add a species: its head in `blossoms`, its name in `planting.SPECIES`.
"""
