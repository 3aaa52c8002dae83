"""One served page: its address, who may see it, and what it knows, put together.

In:  what the run gives: an address, its health, its labels, the store of uncertain frames.
Out: a Site that serves from the moment it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from edge.contract.health import Health
from edge.sinks.uncertain.store import UncertainStore
from edge.sinks.web.access import Access, chosen_token, token_query
from edge.sinks.web.address import LOOPBACK, PageAddress, authority, bound_port, is_loopback, listen, reachable_host
from edge.sinks.web.connections import Connections, Viewers
from edge.sinks.web.health import SharedHealth
from edge.sinks.web.labelling import Uncertain
from edge.sinks.web.routes import make_app
from edge.sinks.web.scene import Scene
from edge.sinks.web.server import Server

OWN_NAMES = frozenset({"localhost", LOOPBACK, "::1"})


class Site:
    """Raises UsageError and OutputError, one line each."""

    def __init__(
        self,
        address: str,
        *,
        health: Callable[[], Health],
        labels: Callable[[], tuple[str, ...]],
        store: UncertainStore | None,
        token: str | None,
        environ: Mapping[str, str],
        connections: Callable[[], Connections] = Connections,
        viewers: Callable[[], Viewers] = Viewers,
    ) -> None:
        asked = PageAddress.parse(address)
        sockets = listen(asked)
        try:
            is_open = not is_loopback(sockets)
            chosen, is_made = chosen_token(token, environ, is_open=is_open)
            self.scene, self.port = Scene(), bound_port(sockets)
            access = Access(chosen, None if is_open else OWN_NAMES | {asked.host.lower()}, f"flora-{self.port}")
            self.link = _link(asked, self.port, chosen if is_made else None)

            def app() -> web.Application:
                uncertain = Uncertain(store, labels)
                return make_app(self.scene, SharedHealth(health), uncertain, access, connections(), viewers())

            self._server = Server(sockets, app)
        except BaseException:
            for bound in sockets:
                bound.close()
            raise

    @property
    def is_alive(self) -> bool:
        return self._server.is_alive

    def close(self) -> None:
        """Let the viewers go and stop serving; may be called twice."""
        self.scene.close()
        self._server.close()


def _link(asked: PageAddress, port: int, token: str | None) -> str:
    return f"http://{authority(reachable_host(asked), port)}/{token_query(token) if token else ''}"
