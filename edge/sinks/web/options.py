"""What the page is asked for with, and how it is opened; what serves it is imported only then."""

from __future__ import annotations

from dataclasses import dataclass

from edge.base.options import option
from edge.contract.sink import Opened, Run


@dataclass(frozen=True)
class WebOptions:
    """Where the page is, and who may see it."""

    web: str | None = option(
        None, "a page with the live picture, at http://HOST:PORT; on this machine alone unless a HOST is given",
        metavar="[HOST:]PORT",
    )  # fmt: skip
    web_token: str | None = option(
        None, "what the page asks for from other machines; better in the variable FLORA_WEB_TOKEN (default: a new one)",
        metavar="TOKEN",
    )  # fmt: skip


def open_web(options: WebOptions, run: Run) -> Opened | None:
    """None where it is not asked for. Raises UsageError, OutputError and DependencyError.

    The frames that another sink keeps for a person are named on the page: that sink is opened before.
    """
    if not options.web:
        return None
    from edge.sinks.uncertain.sink import UncertainSink
    from edge.sinks.web.sink import WebSink

    store = next((sink.store for sink in run.others if isinstance(sink, UncertainSink)), None)
    sink = WebSink(
        options.web, health=run.health, labels=lambda: run.classifier.labels, store=store, token=options.web_token
    )
    return Opened(sink, page=sink.link)
