"""Which path is what. Everything that is refused is one line of JSON: {"error": "..."}.

/ page · /stream.mjpg · /snapshot.jpg · /events · /api/state · /api/uncertain… · /healthz · /metrics
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from edge.errors import FloraError, OutputError, UsageError
from edge.sinks.web.access import RULES, Access, add_headers, guard
from edge.sinks.web.connections import CONNECTIONS, VIEWERS, Connections, Viewers, note_busy
from edge.sinks.web.health import HEALTH, SharedHealth, trouble
from edge.sinks.web.labelling import Uncertain
from edge.sinks.web.pictures import Look, Pictures
from edge.sinks.web.prometheus import CONTENT_TYPE, prometheus_text
from edge.sinks.web.records import state_record
from edge.sinks.web.scene import Scene
from edge.sinks.web.streams import PICTURES, SCENE, events, is_asked, require_evidence, stream

PAGE = Path(__file__).with_name("page")
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
LARGEST_BODY = 4096  # bytes; a label is a word or two

UNCERTAIN: web.AppKey[Uncertain] = web.AppKey("uncertain", Uncertain)


def make_app(
    scene: Scene, health: SharedHealth, uncertain: Uncertain, access: Access, connections: Connections, viewers: Viewers
) -> web.Application:
    """Every path, behind its guards. To be called in the loop that serves it."""
    app = web.Application(middlewares=[note_busy, tell_refusals, guard], client_max_size=LARGEST_BODY)
    app[SCENE], app[HEALTH], app[UNCERTAIN], app[PICTURES] = scene, health, uncertain, Pictures(scene)
    app[RULES], app[CONNECTIONS], app[VIEWERS] = access, connections, viewers
    app.on_response_prepare.append(add_headers)
    _add_page(app)
    app.router.add_get("/stream.mjpg", stream, allow_head=False)
    app.router.add_get("/events", events, allow_head=False)
    app.router.add_get("/snapshot.jpg", snapshot)
    app.router.add_get("/api/state", state)
    app.router.add_get("/api/uncertain", uncertain.index)
    app.router.add_get("/api/uncertain/{name}.png", uncertain.picture)
    app.router.add_post("/api/uncertain/{name}", uncertain.decide)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
    return app


def _add_page(app: web.Application) -> None:
    """Each file under its own name: no path of a request ever reaches the file system."""
    for path in sorted(PAGE.iterdir()):
        where = "/" if path.name == "index.html" else f"/{path.name}"
        if path.suffix in KINDS and path.name != "locked.html":
            app.router.add_get(where, _file(path))


def _file(path: Path) -> Handler:
    content = path.read_bytes()

    async def send(request: web.Request) -> web.StreamResponse:
        return web.Response(body=content, content_type=KINDS[path.suffix], charset="utf-8")

    return send


@web.middleware
async def tell_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever is refused becomes one line."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return _refusal(request, error.status, error.text or error.reason, error.headers.get("Allow"))
    except UsageError as error:
        return _refusal(request, HTTPStatus.BAD_REQUEST, str(error))
    except OutputError as error:
        return _refusal(request, HTTPStatus.INSUFFICIENT_STORAGE, str(error))
    except FloraError as error:
        return _refusal(request, HTTPStatus.INTERNAL_SERVER_ERROR, str(error))


def _refusal(request: web.Request, status: int, text: str, allow: str | None = None) -> web.Response:
    if status == HTTPStatus.UNAUTHORIZED and "text/html" in request.headers.get("Accept", ""):
        answer = web.Response(status=status, text=LOCKED, content_type="text/html")
    else:
        answer = web.json_response({"error": text}, status=status)
    if allow:
        answer.headers["Allow"] = allow
    answer.force_close()  # what is left of the request is not read
    return answer


LOCKED = (PAGE / "locked.html").read_text("utf-8")


async def snapshot(request: web.Request) -> web.Response:
    """GET /snapshot.jpg: the newest picture, whole; an error while there is none."""
    app = request.app
    look = Look(heat=is_asked(request, "heat"), plain=is_asked(request, "plain"), is_small=False)
    require_evidence(look, app[SCENE].newest)
    stalled = app[SCENE].stalled()
    found = None if stalled else await app[PICTURES].newest(look)
    if found is None:
        raise web.HTTPServiceUnavailable(text=f"no picture for {stalled[0]:.0f} s" if stalled else "no picture yet")
    about = {"X-Frame": str(found[0].decision.frame), "X-Captured": f"{found[0].decision.captured:.3f}"}
    return web.Response(body=found[1], content_type="image/jpeg", headers=about)


async def state(request: web.Request) -> web.Response:
    """GET /api/state"""
    app = request.app
    health = await app[HEALTH].now()
    return web.json_response(state_record(app[SCENE], health, keeps_uncertain=app[UNCERTAIN].is_kept))


async def healthz(request: web.Request) -> web.Response:
    """GET /healthz: 200 while pictures come, else 503 with the reason."""
    reason = trouble(await request.app[HEALTH].now(), request.app[SCENE])
    return web.json_response({"ok": reason is None, "reason": reason}, status=503 if reason else 200)


async def metrics(request: web.Request) -> web.Response:
    """GET /metrics, for Prometheus."""
    app = request.app
    viewers = app[VIEWERS]
    text = prometheus_text(await app[HEALTH].now(), app[SCENE], viewers.open, viewers.dropped)
    return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})
