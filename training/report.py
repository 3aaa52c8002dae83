"""One HTML page that shows a whole run: results, plots, classes, settings.

In:  `Scores` of each set of photos, PNG plots, (name, text) rows.
Out: one self-contained file: no outside assets and no scripts, so it can be mailed or kept beside the model.

All text is escaped on its way in: class and file names are data, never markup. The plots come from `training.plots`.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from edge.errors import OutputError
from edge.files import write_atomically
from edge.metrics import Scores


def write_report(
    path: Path,
    *,
    title: str,
    summary_rows: Sequence[tuple[str, str]],
    scores: Mapping[str, Scores],
    plots: Sequence[tuple[str, Path]],
    notes: Sequence[str] = (),
) -> None:
    """Write the page: results first, then the plots (caption, PNG), the classes, how the run was made, and notes.

    A plot whose file name begins with a key of `HOW_TO_READ` gets that explanation. Raises OutputError if a plot
    cannot be read or the page cannot be written.
    """
    parts = [_element("h1", title), _results(scores)]
    parts += [_figure(caption, plot) for caption, plot in plots]
    parts += [_classes(name, one) for name, one in scores.items()]
    if summary_rows:
        rows = [
            _element("tr", _element("th", name, scope="row"), _element("td", value)) for name, value in summary_rows
        ]
        parts += [_element("h2", "The run"), _scrolling(_element("table", *rows, class_="plain"))]
    if notes:
        parts += [_element("h2", "Notes"), _element("ul", *(_element("li", note) for note in notes))]
    page = PAGE.substitute(title=html.escape(title), style=STYLE, body="\n".join(parts))
    write_atomically(path, page.encode())


class _Markup(str):
    """Text that is HTML already; every other string is escaped on its way in."""


def _element(tag: str, *children: str, **attributes: str) -> _Markup:
    inside = "".join(child if isinstance(child, _Markup) else html.escape(child) for child in children)
    return _Markup(f"<{tag}{_attributes(**attributes)}>{inside}</{tag}>")


def _attributes(**attributes: str) -> str:
    return "".join(f' {name.rstrip("_")}="{html.escape(value)}"' for name, value in attributes.items())


def _scrolling(table: _Markup) -> _Markup:
    return _element("div", table, class_="scroll")


def _results(scores: Mapping[str, Scores]) -> _Markup:
    boxes = [
        _element(
            "div",
            _element("strong", f"{one.top1:.1%}"),
            _element("span", f"top-1 on {one.n} {name} photos"),
            _element("small", f"95% interval {one.low:.1%} to {one.high:.1%} · calibration error {one.ece:.3f}"),
            class_="box",
        )
        for name, one in scores.items()
    ]
    return _Markup(_element("div", *boxes, class_="boxes") + _element("p", HOW_TO_READ["results"]))


def _figure(caption: str, plot: Path) -> _Markup:
    try:
        data = base64.b64encode(plot.read_bytes()).decode()
    except OSError as error:
        raise OutputError(f"{plot}: cannot be read ({error.strerror or error}); draw it before the report") from error
    image = _Markup(f"<img{_attributes(src=f'data:image/png;base64,{data}', alt=caption)}>")
    explanation = HOW_TO_READ.get(plot.stem.split("-")[0].split("_")[0])
    reading = [_element("p", explanation)] if explanation else []
    return _element("section", _element("h2", caption), *reading, image)


def _classes(name: str, scores: Scores) -> _Markup:
    heads = _element("tr", *(_element("th", head) for head in ("class", "precision", "recall", "F1", "photos")))
    rows = [
        _element(
            "tr",
            _element("th", row.label, scope="row"),
            *(
                _element("td", "-" if share is None else f"{share:.1%}")
                for share in (row.precision, row.recall, row.f1)
            ),
            _element("td", str(row.support)),
        )
        for row in scores.classes
    ]
    parts = [_element("h2", f"Classes, {name} photos"), _element("p", HOW_TO_READ["classes"])]
    parts.append(_scrolling(_element("table", heads, *rows)))
    if scores.top_confusions:
        mistakes = ", ".join(f"{m.truth} → {m.predicted} ({m.count})" for m in scores.top_confusions)
        parts.append(_element("p", f"Commonest mistakes, truth → answer: {mistakes}."))
    return _element("section", *parts)


HOW_TO_READ = {
    "results": (
        "Top-1 is the share of photos whose first answer is right. The interval shows how far the luck of which "
        "photos were drawn can move that share: the fewer photos, the wider. Validation photos picked the best epoch,"
        " so their figure is slightly flattering; test photos took no part in training and are the ones to quote."
    ),
    "history": (
        "Both curves should fall (loss) or rise (accuracy) and then level off. When validation turns back while "
        "training goes on improving, the model learns its photos by heart: the gap is overfitting, and more photos, "
        "more augmentation or fewer epochs help. Training accuracy is measured on augmented photos with dropout on, "
        "which is harder than the plain validation photos, so it may well lie below validation. The ring marks the "
        "best epoch."
    ),
    "confusion": (
        "Each row is one true class, each column an answer; right answers lie on the diagonal. A dark cell off the "
        "diagonal names two classes that the model mixes up: look at their photos first."
    ),
    "reliability": (
        "Of the answers given with 80% confidence, 80% should be right: dots on the dashed line. Below it the model"
        " is too sure of itself, above it too modest. Large dots hold many photos, small ones little evidence."
    ),
    "mistakes": (
        "The wrong answers that the model was surest of, truth → answer and its probability. Some are hard photos; "
        "some are labelled wrongly, and correcting those is the cheapest way to a better model."
    ),
    "augmented": (
        "What the network really sees while it trains: random crops, flips and colours. A person should still be able"
        " to name every flower here; if not, the augmentation is too strong."
    ),
    "classes": (
        "Precision: of the photos given this name, the share that deserves it. Recall: of the photos of this class, "
        "the share that was found. F1 is their harmonic mean; a dash means that there was nothing to measure."
    ),
}

STYLE = """
:root { color-scheme: light dark; --ink: #1d1f21; --soft: #5c6166; --page: #fdfdfb; --box: #f1f1ec; --line: #d9d9d2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e3; --soft: #a5a9ad; --page: #17191b; --box: #24272a; --line: #3a3e42; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 50rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.2; }
h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; }
p, li { color: var(--soft); margin: .3rem 0 .8rem; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; padding: .5rem; background: #fff;
  border: 1px solid var(--line); border-radius: .4rem; }
.boxes { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; }
.box { flex: 1 1 15rem; padding: .8rem 1rem; background: var(--box); border-radius: .4rem; }
.box strong { display: block; font-size: 2.2rem; line-height: 1.1; }
.box span, .box small { display: block; }
.box small { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; font-weight: normal; }
th:first-child, .plain td { text-align: left; }
.plain th { color: var(--soft); white-space: nowrap; vertical-align: top; }
@media print {
  :root { --ink: #000; --soft: #333; --page: #fff; --box: #f4f4f4; --line: #bbb; }
  body { max-width: none; font-size: 10pt; }
  img, tr, .box { break-inside: avoid; }
  h2, h2 + p { break-after: avoid; }
  img { max-height: 20cm; width: auto; }
}
"""

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>$style</style>
</head>
<body>
$body
</body>
</html>
""")
