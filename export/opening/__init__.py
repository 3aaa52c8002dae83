"""A trained network, wherever it comes from, as a FinishedRun.

finished_run  a run folder
from_keras    a Keras file that was trained elsewhere
unknowns      pictures of other things

To add an origin: a file here that returns a FinishedRun, a case in `exporter`.
"""
