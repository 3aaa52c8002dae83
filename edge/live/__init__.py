"""The loop: newest frame, answer, decision, until something says stop.

assembly      what a run is made of, from options to a loop that is ready
hub           where everything that happens in a run is told
loop          the loop
monitor       what a run adds up: the summary, the health
motion        has anything moved?
pace          when the next frame's turn is, and how a hot board is spared
replay        a recording through the loop once more
scenes        what a clip would have been shown and sighted as, without waiting
service       `flora run` as a unit of systemd
sightings     a label held for a while becomes an event
smoothing     one answer a frame in, one steadier decision out
stand_in      a classifier in the place of another
swap          a model file replaced while it is in use

To add something that happens once a frame: `loop`, and measure it with tests/drills/bench_overhead.py.
"""
