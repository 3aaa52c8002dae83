"""Fewer channels.

latency       how long a network will take on a device, layer by layer
ranking       which channels the others can stand in for
record        what became of a network, for the report
shaping       the shape timed as a real file before anything is taught
slimming      from a trained network to one that is some times as fast
tables/       measured times of layers, one file a kind of machine
widths        how many channels each group keeps

To add a device: `flora benchmark --layers` there, its file in tables/, its row in `latency.MACHINES`.
"""
