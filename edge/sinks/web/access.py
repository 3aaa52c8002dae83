"""Who may see the page: a token, a check of the host name, no writes from other sites.

In:  each request.
Out: the request handed on, or refused in one line of JSON (to a browser: a page that asks for the token).

Without a token only this machine is served, and only under its own names: a site that points its name at 127.0.0.1
would otherwise read the page through a browser here. The token comes as a cookie, as `Authorization: Bearer`, as the
password of `Authorization: Basic` (players of streams know nothing else), or once as /?token=, which sets the cookie.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from edge.errors import UsageError

PUBLIC = frozenset({"/healthz", "/page.css", "/icon.svg"})
SHORTEST_TOKEN = 16  # characters; nobody guesses so many
COOKIE_S = 365 * 24 * 3600
READING = frozenset({"GET", "HEAD"})
SAFE_SITES = frozenset({"same-origin", "none"})  # "none": typed by a person, from no site
WRONG = "a token is needed: open the link that flora run printed, or send Authorization: Bearer TOKEN"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
    "Server": "Flora",
}


@dataclass(frozen=True)
class Access:
    """The rules of one server."""

    token: str | None  # None: whoever reaches it may see it
    hosts: frozenset[str] | None  # names that a request may use; None: any, since the token protects
    cookie: str  # its name

    def check(self, request: web.Request) -> None:
        """Raises HTTPException for a request that is refused, and for one that is sent on with a cookie."""
        if self.hosts is not None and host_of(request) not in self.hosts:
            raise web.HTTPForbidden(text="this name is not one of this machine's; use localhost or 127.0.0.1")
        if self.token is not None and request.path not in PUBLIC:
            self._check_token(self.token, request)
        if request.method not in READING:
            check_same_origin(request)

    def _check_token(self, token: str, request: web.Request) -> None:
        if request.path == "/" and request.method in READING and "token" in request.query:
            if not is_same(request.query["token"], token):
                raise web.HTTPUnauthorized(text=WRONG)
            raise self._sent_on(token)
        cookie = request.cookies.get(self.cookie)
        if cookie is not None and is_same(cookie, cookie_value(token)):
            return
        given = header_token(request.headers.get("Authorization", ""))
        if given is None or not is_same(given, token):
            raise web.HTTPUnauthorized(text=WRONG)

    def _sent_on(self, token: str) -> web.HTTPSeeOther:
        """To the page without the token, which then is in no history and no bookmark."""
        answer = web.HTTPSeeOther("/")
        answer.set_cookie(
            self.cookie, cookie_value(token), max_age=COOKIE_S, httponly=True, samesite="Strict", path="/"
        )
        return answer


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every request passes here, those for paths that do not exist as well."""
    request.app[RULES].check(request)
    return await handler(request)


RULES: web.AppKey[Access] = web.AppKey("rules", Access)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Every answer carries these."""
    response.headers.update(HEADERS)


def chosen_token(given: str | None, environ: Mapping[str, str], *, is_open: bool) -> tuple[str | None, bool]:
    """The token, and whether it was made here. `is_open`: others than this machine can reach the server."""
    token = given if given is not None else environ.get("FLORA_WEB_TOKEN") or None
    if token is None:
        return (secrets.token_urlsafe(24), True) if is_open else (None, False)
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"the token of --web-token or FLORA_WEB_TOKEN has {len(token)} characters; expected {SHORTEST_TOKEN} or "
            "more printable ones of ASCII, without spaces; leave it out and one is made"
        )
    return token, False


def token_query(token: str) -> str:
    """What follows the address in a link that lets its reader in."""
    return f"?token={quote(token, safe='')}"


def host_of(request: web.Request) -> str:
    """The name under which the request reached us, lower case, IPv6 without brackets; "" for nonsense."""
    try:
        return (urlsplit(f"//{request.headers.get('Host', '')}").hostname or "").lower()
    except ValueError:
        return ""


def check_same_origin(request: web.Request) -> None:
    """A browser says which site a write comes from: it must be this one. A program that is no browser says nothing."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    is_same_origin = origin is None or _authority(origin) == request.headers.get("Host", "").lower()
    if not is_same_origin or (site is not None and site not in SAFE_SITES):
        raise web.HTTPForbidden(text="a write from another site; use the page itself")


def is_same(given: str, expected: str) -> bool:
    """Compared in constant time, whatever the lengths."""
    digests = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, expected)]
    return hmac.compare_digest(*digests)


def cookie_value(token: str) -> str:
    """What the cookie holds: not the token itself, so that a cookie that leaks opens no other door."""
    return hmac.digest(token.encode(), b"flora cookie", "sha256").hex()


def header_token(header: str) -> str | None:
    """The token of an Authorization header; None if it holds none."""
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return decoded.partition(":")[2]


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
