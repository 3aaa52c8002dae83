"""How a network was made slim, as a section of the export's page: its channels, its input, its speed, its lessons.

In:  `Slimmed`: channels before and after, speeds foretold and measured, a row of history for each epoch.
Out: parts of an HTML page, and one PNG file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge.base.intervals import Interval
from export.slimming.record import Slimmed, Width
from export.variants.table import digits
from training.report import plots
from training.report.page import Markup, element, figure, pairs, table


def section(found: Slimmed, folder: Path) -> list[Markup]:
    """The section; its plot goes into `folder`. Raises OutputError."""
    return [
        element("h2", f"Slimmed: {found.name}"),
        element("p", HOW_TO_READ["slimmed"]),
        pairs(_facts(found)),
        element("details", element("summary", f"Channels of all {len(found.widths)} groups"), _widths(found.widths)),
        *_lessons(found, folder / f"lessons-{found.name}.png"),
    ]


def _facts(found: Slimmed) -> list[tuple[str, str]]:
    before, after = (sum(counts) for counts in ([w.before for w in found.widths], [w.after for w in found.widths]))
    measured, timed = found.measured_speed, found.timed_speed
    return [
        ("input", f"{found.size_before} to {found.size_after} pixels a side"),
        ("channels", f"{before} to {after} ({_share(before, after)} kept)"),
        ("speed foretold", f"{digits(found.predicted_speed)} times that of int8"),
        *([("speed timed before it was taught", f"{digits(timed)} times that of int8")] if timed else []),
        ("speed measured", f"{speed(measured)} times that of int8" if measured else "-"),
    ]


def speed(found: Interval) -> str:
    """A speed with its 95 % interval."""
    return f"{digits(found.value)} ({digits(found.low)} to {digits(found.high)})"


def _widths(widths: Sequence[Width]) -> Markup:
    rows = [(w.group, str(w.before), str(w.after), _share(w.before, w.after)) for w in widths]
    return table(("group", "before", "after", "kept"), rows)


def _share(before: int, after: int) -> str:
    return f"{after / before:.0%}" if before else "-"


def _lessons(found: Slimmed, path: Path) -> list[Markup]:
    if not found.history:
        return []
    plots.plot_validation(found.history, path)
    return [figure(f"How {found.name} learned from the trained network", path, HOW_TO_READ["lessons"])]


HOW_TO_READ = {
    "slimmed": (
        "Whole channels were removed, those first that cost much time and matter little, so the network is smaller "
        "and faster wherever it runs. The speed foretold comes from a table of measured layers, the speed measured "
        "from the finished file; a great difference between them means that the table is of another kind of device. "
        "Where the table is not of another device, the shape was timed before it was taught, and corrected until it "
        "was as fast as aimed for."
    ),
    "lessons": (
        "The slim network learned from the trained one, without labels. The curve is its accuracy on "
        "validation photos; the ring marks the epoch that was kept. While it still rises at the end, more epochs help."
    ),
}
