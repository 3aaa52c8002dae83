"""Frames that the model was unsure about, waiting for a person's label.

GET  /api/uncertain            {"waiting": [{"name", "time", "answers": [[label, probability], ...]}, ...], "labels"}
GET  /api/uncertain/NAME.png   the picture
POST /api/uncertain/NAME       {"label": "roses"} or {"discard": true}

A label is one of the model's, or "unknown": a person says that it is none of these, whether or not the model has such
a class.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

from aiohttp import web

from edge.errors import UsageError
from edge.sinks.uncertain.store import UncertainStore, Waiting, choices
from edge.sinks.web.records import number

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,159}")
BODY_S = 5.0  # that a request may take to bring its few bytes
EXPECTED = 'expected {"label": LABEL} or {"discard": true}'
NO_STORE = "no uncertain frames are kept; start with: flora run --keep-uncertain DIR"


class Uncertain:
    """The paths above, over a store or over none."""

    def __init__(self, store: UncertainStore | None, labels: Callable[[], tuple[str, ...]]) -> None:
        self._store, self._labels = store, labels

    @property
    def is_kept(self) -> bool:
        return self._store is not None

    async def index(self, request: web.Request) -> web.Response:
        waiting = await asyncio.to_thread(self._open_store().waiting)
        return web.json_response({"waiting": [_record(one) for one in waiting], "labels": list(self._labels())})

    async def picture(self, request: web.Request) -> web.Response:
        store, name = self._open_store(), _name(request)
        try:
            return web.Response(body=await asyncio.to_thread(store.png, name), content_type="image/png")
        except UsageError as error:
            raise web.HTTPNotFound(text=str(error)) from error

    async def decide(self, request: web.Request) -> web.Response:
        store, name = self._open_store(), _name(request)
        decision = await _body(request)
        if set(decision) == {"discard"} and decision["discard"] is True:
            await asyncio.to_thread(store.discard, name)
            return web.json_response({"discarded": name})
        label = decision.get("label")
        if set(decision) != {"label"} or not isinstance(label, str):
            raise web.HTTPBadRequest(text=EXPECTED)
        labels = choices(self._labels())
        if label not in labels:
            raise web.HTTPBadRequest(text=f"no such label; expected one of: {', '.join(labels)}")
        await asyncio.to_thread(store.label, name, label)
        return web.json_response({"labelled": name, "label": label})

    def _open_store(self) -> UncertainStore:
        if self._store is None:
            raise web.HTTPNotFound(text=NO_STORE)
        return self._store


def _record(waiting: Waiting) -> dict[str, Any]:
    answers = [[label, number(probability)] for label, probability in waiting.answers]
    return {"name": waiting.name, "time": round(waiting.time, 3), "answers": answers}


def _name(request: web.Request) -> str:
    name = request.match_info["name"]
    if not NAME.fullmatch(name):
        raise web.HTTPNotFound(text="no such frame")
    return name


async def _body(request: web.Request) -> dict[str, Any]:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text=f"expected Content-Type: application/json; {EXPECTED}")
    try:
        found = json.loads(await asyncio.wait_for(request.read(), BODY_S))
    except asyncio.TimeoutError as error:
        raise web.HTTPRequestTimeout(text="the request did not bring its body") from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON
        raise web.HTTPBadRequest(text=f"not JSON; {EXPECTED}") from error
    if not isinstance(found, dict):
        raise web.HTTPBadRequest(text=EXPECTED)
    return found
