"""The names inside a run folder, which training writes and `flora export` and `flora evaluate` read."""

from __future__ import annotations

from pathlib import Path

CONFIG = "config.json"  # what was asked for; with it a folder is a run
MANIFEST = "manifest.csv"  # which photo is in which split
LEFT_OUT = "left_out.csv"  # files of the photo folder that are not used, and why
MODEL = "model.keras"  # there when the training has finished
LABELS = "labels.txt"  # one a line, in the order of the model's outputs
HISTORY = "history.csv"  # a row for each epoch
METRICS = "metrics.json"  # how good the network is
REPORT = "report.html"  # the page that shows it, with its pictures in PLOTS
PLOTS = "plots"
MADE = "made"  # the folder of pictures of nothing that were made to learn "unknown" from
CHECKPOINT = "checkpoint"  # the folder that an unfinished training goes on from
EXPORT = "export"  # the folder for what exports have to say


def is_run(path: str | Path) -> bool:
    """True for a folder that a training has begun in."""
    return (Path(path) / CONFIG).exists()
