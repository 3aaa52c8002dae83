"""The two paths that never end: pictures for players and the page, and server-sent events.

/stream.mjpg  multipart/x-mixed-replace of JPEG, each part with X-Frame (its number) and X-Captured (seconds since the
              epoch); ?heat=1 with the heat map. A viewer that takes its time gets fewer pictures, never older ones.
/events       `decision` at most ten times a second, `event` with an id as each happens, `status` once a second and
              when the picture goes or comes back. A client that reconnects, with Last-Event-ID or ?after=, gets the
              events that it missed, as far as they are kept.
"""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from edge.sinks.web.connections import VIEWERS, Viewer
from edge.sinks.web.health import HEALTH, SharedHealth
from edge.sinks.web.pictures import Look, Pictures
from edge.sinks.web.records import as_json, event_id, event_number, event_record, shot_record, status_record
from edge.sinks.web.scene import Scene, Shot

STREAM_FPS = 15.0  # smooth to the eye; each picture costs the device milliseconds
WAIT_S = 1.0  # between looks whether the viewer is still there and the picture has gone
EVENTS_S = 0.1  # between two decisions
STATUS_S = 1.0
BOUNDARY = "frame"
MJPEG = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
EVENT_STREAM = "text/event-stream; charset=utf-8"

SCENE: web.AppKey[Scene] = web.AppKey("scene", Scene)
PICTURES: web.AppKey[Pictures] = web.AppKey("pictures", Pictures)


def is_asked(request: web.Request, name: str) -> bool:
    """Whether the query says name=1."""
    return request.query.get(name) in ("1", "true")


def require_evidence(look: Look, shot: Shot | None) -> None:
    """Raises HTTPNotFound where a heat map is asked for and there can be none."""
    if look.heat and shot is not None and not look.can_show(shot):
        raise web.HTTPNotFound(text="the model has no class evidence map; export one: flora export RUN --evidence")


async def stream(request: web.Request) -> web.StreamResponse:
    """GET /stream.mjpg"""
    look, scene = Look(heat=is_asked(request, "heat")), request.app[SCENE]
    require_evidence(look, scene.newest)

    async def send(viewer: Viewer) -> None:
        await viewer.write(f"--{BOUNDARY}\r\n".encode())
        await _send_pictures(viewer, scene, request.app[PICTURES], look)

    return await request.app[VIEWERS].serve(request, MJPEG, send)


async def _send_pictures(viewer: Viewer, scene: Scene, pictures: Pictures, look: Look) -> None:
    seen = 0
    while not scene.is_closed and viewer.is_there:
        began = time.monotonic()
        shot = await scene.newer(seen, WAIT_S)
        stalled = scene.stalled()
        if shot is None:
            if stalled is not None:
                await viewer.write(_part(await pictures.missing(stalled[0]), None))
            continue
        found = await pictures.newest(look)
        if found is None:  # a model without evidence has taken the place of one with it
            return
        seen = found[0].serial
        await viewer.write(_part(found[1], found[0]))
        await asyncio.sleep(max(0.0, began + 1 / STREAM_FPS - time.monotonic()))


def _part(jpeg: bytes, shot: Shot | None) -> bytes:
    """One picture. The next boundary goes with it: browsers show a part only when they have seen its end."""
    about = f"X-Frame: {shot.decision.frame}\r\nX-Captured: {shot.decision.captured:.3f}\r\n" if shot else ""
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n{about}\r\n"
    return head.encode("ascii") + jpeg + f"\r\n--{BOUNDARY}\r\n".encode("ascii")


async def events(request: web.Request) -> web.StreamResponse:
    """GET /events"""
    scene, health = request.app[SCENE], request.app[HEALTH]
    after = request.headers.get("Last-Event-ID") or request.query.get("after", "")

    async def send(viewer: Viewer) -> None:
        await viewer.write(b"retry: 1000\n\n")
        await _EventFeed(viewer, scene, health, event_number(scene.boot, after)).run()

    return await request.app[VIEWERS].serve(request, EVENT_STREAM, send)


class _EventFeed:
    """What one client of /events has been told."""

    def __init__(self, viewer: Viewer, scene: Scene, health: SharedHealth, after: int) -> None:
        self._viewer, self._scene, self._health = viewer, scene, health
        self._event = after
        self._serial = 0
        self._was_stalled = False
        self._status_at = 0.0

    async def run(self) -> None:
        while not self._scene.is_closed and self._viewer.is_there:
            news = self._events() + self._decision() + await self._status()
            if news:
                await self._viewer.write(news.encode())
            await asyncio.sleep(EVENTS_S)
        if last_words := self._events():
            await self._viewer.write(last_words.encode())

    def _events(self) -> str:
        news = self._scene.events(self._event)
        self._event = news[-1][0] if news else self._event
        boot = self._scene.boot
        return "".join(message("event", event_record(boot, one), event_id(boot, one[0])) for one in news)

    def _decision(self) -> str:
        shot = self._scene.newest
        if shot is None or shot.serial == self._serial:
            return ""
        self._serial = shot.serial
        return message("decision", shot_record(shot))

    async def _status(self) -> str:
        now, is_stalled = time.monotonic(), self._scene.stalled() is not None
        if is_stalled == self._was_stalled and now - self._status_at < STATUS_S:
            return ""
        self._status_at, self._was_stalled = now, is_stalled
        return message("status", status_record(self._scene, await self._health.now()))


def message(kind: str, record: object, number: str | None = None) -> str:
    """One server-sent event."""
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {kind}\ndata: {as_json(record)}\n\n"
