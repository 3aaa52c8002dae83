"""The server: one thread with an event loop of its own, so that nothing it does holds the run.

In:  listening sockets and what makes the application.
Out: a thread that serves until `close`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Sequence

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from edge.errors import OutputError
from edge.sinks.web.connections import CONNECTIONS
from edge.sinks.web.streams import PICTURES

FINISH_S = 1.0  # that requests have when the server stops
START_S = 30.0
LONGEST_LINE = 4096  # bytes, of a path or a header
LOG = logging.getLogger("flora.web")


class Server:
    """Serves from the moment it is made. Raises OutputError if it cannot."""

    def __init__(self, sockets: Sequence[socket.socket], make_app: Callable[[], web.Application]) -> None:
        self._sockets, self._make_app = sockets, make_app
        self._is_up = threading.Event()
        self._stop: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()
        if not self._is_up.wait(START_S) or self._stop is None:
            raise OutputError("the web page could not be started; see the lines above")

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        """Stop serving; may be called twice."""
        if self._stop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop ended in between
                self._stop()
        self._thread.join(timeout=5 * FINISH_S)
        for bound in self._sockets:
            bound.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._is_up.set()

    async def _serve(self) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        app = self._make_app()
        runner = web.AppRunner(
            app, access_log=None, logger=LOG, shutdown_timeout=FINISH_S, keepalive_timeout=30.0, lingering_time=1.0,
            max_line_size=LONGEST_LINE, max_field_size=LONGEST_LINE,
        )  # fmt: skip
        await runner.setup()
        assert runner.server is not None
        factory = app[CONNECTIONS].factory(runner.server)
        servers = [await loop.create_server(factory, sock=bound) for bound in self._sockets]
        sweeping = loop.create_task(app[CONNECTIONS].sweep())
        self._stop = lambda: loop.call_soon_threadsafe(stop.set)
        self._is_up.set()
        await stop.wait()
        sweeping.cancel()
        for server in servers:
            server.close()
        await runner.cleanup()
        app[PICTURES].close()


def is_our_fault(record: logging.LogRecord) -> bool:
    """False for the complaint about a request that was no HTTP: scanners send such things all day."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


LOG.addFilter(is_our_fault)
