"""What a Keras network is made of, and copies of it.

channels      groups of channels, and networks without some of them
head          a foreign head turned into ours
outline       layers and their sizes, as a device will run them
rebuild       a network of anybody's, rebuilt the way export knows networks

To add a kind of layer: `channels` (who reads and writes channels), `outline` (what it costs), `rebuild`.
"""
