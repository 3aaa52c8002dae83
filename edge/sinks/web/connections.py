"""Limits on who is connected, so that no client can hold the server: connections, viewers, idleness.

A viewer is an open stream. A connection that sends no whole request in time, or that does not take its answer, is cut;
so is a viewer that stops reading. Everything here is for the coroutines of one loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web
from aiohttp.typedefs import Handler

MOST_CONNECTIONS = 128
MOST_VIEWERS = 32
IDLE_S = 15.0  # between the connection, or the end of a request, and the next whole request
SWEEP_S = 1.0
WRITE_S = 5.0  # that a viewer may take for one picture or message
SEND_BUFFER = 128 * 1024  # bytes in the kernel: a slow viewer should be pictures behind, and not seconds


class ViewerGone(Exception):
    """The viewer has left, or does not read."""


class Connections:
    """All of one server, and since when each has been idle."""

    def __init__(self, *, most: int = MOST_CONNECTIONS, idle_s: float = IDLE_S, sweep_s: float = SWEEP_S) -> None:
        self._most, self._idle_s, self._sweep_s = most, idle_s, sweep_s
        self._idle_since: dict[web.RequestHandler, float] = {}
        self._opening: set[web.RequestHandler] = set()

    def factory(self, server: web.Server) -> Callable[[], asyncio.BaseProtocol]:
        """Makes the protocol of each connection, for `loop.create_server`."""

        def make() -> asyncio.BaseProtocol:
            if len(server.connections) + len(self._opening) >= self._most:
                return _Refused()
            protocol, loop = server(), asyncio.get_running_loop()
            self._idle_since[protocol] = time.monotonic()
            self._opening.add(protocol)
            loop.call_soon(loop.call_soon, self._opening.discard, protocol)  # by then the server counts it
            return protocol

        return make

    async def sweep(self) -> None:
        """Cut idle connections, for ever."""
        while True:
            await asyncio.sleep(self._sweep_s)
            for protocol, since in list(self._idle_since.items()):
                if time.monotonic() - since > self._idle_s:
                    cut(protocol.transport)
                if protocol.transport is None and time.monotonic() - since > self._sweep_s:  # it has gone by itself
                    del self._idle_since[protocol]

    @contextlib.contextmanager
    def busy(self, protocol: web.RequestHandler) -> Iterator[None]:
        """While a request is being answered, its connection is not idle."""
        self._idle_since.pop(protocol, None)
        try:
            yield
        finally:
            self._idle_since[protocol] = time.monotonic()


class _Refused(asyncio.Protocol):
    """One connection too many: closed without a word, since a word takes as long as its reader wants."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cut(transport)


class Viewers:
    """The open streams."""

    def __init__(self, *, most: int = MOST_VIEWERS, write_s: float = WRITE_S) -> None:
        self.open = 0
        self.dropped = 0  # because they did not read
        self._most, self._write_s = most, write_s

    async def serve(
        self, request: web.Request, content_type: str, send: Callable[[Viewer], Awaitable[None]]
    ) -> web.StreamResponse:
        """Let `send` write to one more viewer until it returns or the viewer leaves.

        Raises HTTPServiceUnavailable where there are enough.
        """
        if self.open >= self._most:
            raise web.HTTPServiceUnavailable(text=f"{self._most} viewers are connected; close one and try again")
        # X-Accel-Buffering asks a proxy in between not to hold the stream back.
        response = web.StreamResponse(headers={"Content-Type": content_type, "X-Accel-Buffering": "no"})
        response.force_close()
        self.open += 1
        try:
            with contextlib.suppress(ViewerGone, ConnectionError):  # the end of a stream, and no failure
                _limit_buffer(request)
                await response.prepare(request)
                await send(Viewer(self, request, response, self._write_s))
        finally:
            self.open -= 1
        return response


class Viewer:
    """One open stream."""

    def __init__(self, all_of_them: Viewers, request: web.Request, response: web.StreamResponse, write_s: float):
        self._viewers, self._request, self._response, self._write_s = all_of_them, request, response, write_s

    @property
    def is_there(self) -> bool:
        return self._request.transport is not None and not self._request.transport.is_closing()

    async def write(self, data: bytes) -> None:
        """Raises ViewerGone when the viewer has left, or takes nothing for too long: then it is cut off."""
        if not self.is_there:
            raise ViewerGone
        try:
            await asyncio.wait_for(self._response.write(data), self._write_s)
        except asyncio.TimeoutError as error:
            self._viewers.dropped += 1
            cut(self._request.transport)
            raise ViewerGone from error


def _limit_buffer(request: web.Request) -> None:
    if request.transport is None:
        raise ViewerGone
    request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)


def cut(transport: asyncio.BaseTransport | None) -> None:
    """Close at once, whatever waits to be sent."""
    if isinstance(transport, asyncio.Transport):
        transport.abort()


CONNECTIONS: web.AppKey[Connections] = web.AppKey("connections", Connections)
VIEWERS: web.AppKey[Viewers] = web.AppKey("viewers", Viewers)


@web.middleware
async def note_busy(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The outermost of all."""
    with request.app[CONNECTIONS].busy(request.protocol):
        return await handler(request)
