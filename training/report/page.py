"""Parts of an HTML page: elements with all text escaped, tables, figures, the style, and the page itself.

In:  text, PNG plots.
Out: one self-contained file: no outside assets and no scripts, so it can be mailed or kept beside the model.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from edge.base.files import write_atomically
from edge.errors import OutputError


class Markup(str):
    """Text that is HTML already; every other string is escaped on its way in."""


def write_page(path: Path, title: str, parts: Sequence[Markup]) -> None:
    """Write the title and the parts, one below the other. Raises OutputError if that is impossible."""
    body = "\n".join([element("h1", title), *parts])
    write_atomically(path, PAGE.substitute(title=html.escape(title), style=STYLE, body=body).encode())


def element(tag: str, *children: str, **attributes: str) -> Markup:
    """One element; a trailing underscore in the name of an attribute is dropped, as in class_."""
    inside = "".join(child if isinstance(child, Markup) else html.escape(child) for child in children)
    return Markup(f"<{tag}{_attributes(attributes)}>{inside}</{tag}>")


def boxes(results: Sequence[tuple[str, str, str]]) -> Markup:
    """Results to see from afar, side by side: the figure, what it is of, and a remark in small letters."""
    cells = (
        element("div", element("strong", figure), element("span", of), element("small", remark), class_="box")
        for figure, of, remark in results
    )
    return element("div", *cells, class_="boxes")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """Figures in columns with a head; the first column names the row. One too wide for the page scrolls by itself."""
    top = element("tr", *(element("th", head) for head in heads))
    return element("div", element("table", top, *map(_row, rows)), class_="scroll")


def pairs(rows: Sequence[tuple[str, str]]) -> Markup:
    """Names with their values, a line each."""
    return element("div", element("table", *map(_row, rows), class_="plain"), class_="scroll")


def figure(caption: str, plot: Path, explanation: str = "") -> Markup:
    """A plot with its heading and how to read it, the PNG inside the page. Raises OutputError if it cannot be read."""
    try:
        data = base64.b64encode(plot.read_bytes()).decode()
    except OSError as error:
        raise OutputError(f"{plot}: cannot be read ({error.strerror or error}); draw it before the report") from error
    image = Markup(f"<img{_attributes({'src': f'data:image/png;base64,{data}', 'alt': caption})}>")
    reading = [element("p", explanation)] if explanation else []
    return element("section", element("h2", caption), *reading, image)


def _attributes(attributes: Mapping[str, str]) -> str:
    return "".join(f' {name.rstrip("_")}="{html.escape(value)}"' for name, value in attributes.items())


def _row(cells: Sequence[str]) -> Markup:
    name, *values = cells
    return element("tr", element("th", name, scope="row"), *(element("td", value) for value in values))


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
