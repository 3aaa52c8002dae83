"""Decisions in a browser: one page with the live picture, the answer and its history; beside it streams and figures.

In:  decisions with their frames; events.
Out: HTTP at an address. `show` keeps a reference and returns: pictures are encoded in the server's thread, once for all
     viewers, and only while somebody watches.

Needs the extra [web]; everything that does is below `edge.sinks.web`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edge.base.packages import DISTRIBUTION
from edge.base.text import first_line
from edge.contract.decision import Decision
from edge.contract.event import Event
from edge.contract.frame import Frame
from edge.contract.health import Health
from edge.contract.sink import NEWEST
from edge.errors import DependencyError, OutputError

if TYPE_CHECKING:
    from edge.sinks.uncertain.store import UncertainStore


class WebSink:
    """The page at `address`, "[HOST:]PORT"; port 0 takes a free one.

    Beyond this machine a token is needed: `token`, or FLORA_WEB_TOKEN, or one that is made. Raises UsageError,
    OutputError (a port that is taken) and DependencyError (no aiohttp), one line each.
    """

    name = "web"
    backlog = NEWEST
    needs_picture = True

    def __init__(
        self,
        address: str,
        *,
        health: Callable[[], Health],
        labels: Callable[[], tuple[str, ...]],
        store: UncertainStore | None = None,
        token: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        try:
            from edge.sinks.web.site import Site
        except ImportError as error:
            raise _unusable(error) from error
        self._site = Site(address, health=health, labels=labels, store=store, token=token, environ=environ)

    @property
    def link(self) -> str:
        """What a person opens; with the token if it was made here, for it is nowhere else."""
        return self._site.link

    @property
    def port(self) -> int:
        return self._site.port

    def show(self, decision: Decision, frame: Frame) -> None:
        if not self._site.is_alive:
            raise OutputError("the web page has stopped; run again")
        self._site.scene.show(decision, frame)

    def tell(self, event: Event) -> None:
        self._site.scene.tell(event)

    def close(self) -> None:
        self._site.close()


def _unusable(error: ImportError) -> DependencyError:
    package = (error.name or "aiohttp").partition(".")[0]
    if package == "edge":
        raise error
    problem = (
        "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded ({first_line(error)})"
    )
    return DependencyError(f"--web: {package} {problem}; pip install '{DISTRIBUTION}[web]'")
