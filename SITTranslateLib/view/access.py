"""Who may see the page: whoever has the token that the terminal shows, on this machine, from this very page.

The scan in the page may be a patient's. The server listens on 127.0.0.1 only, but that alone lets every user and every
web page of this machine in. So: the first address carries a random token, which becomes a cookie that no script can
read; without it nothing is served, neither files nor the websocket; and what comes from another origin is refused,
because cookies do not tell ports apart.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any

HOST = "127.0.0.1"
TOKEN = "token"


def new_token() -> str:
    """192 random bits, as an address can hold them."""
    return secrets.token_urlsafe(24)


def address(port: int, token: str) -> str:
    """What to open in a browser."""
    return f"http://{HOST}:{port}/?{TOKEN}={token}"


def allowed_names(port: int) -> set[str]:
    """By which names this server may be called; another one is somebody else's domain that points here."""
    return {f"{HOST}:{port}", f"localhost:{port}"}


def guard(token: str) -> Any:
    """The aiohttp middleware that lets only the holder of the token in."""
    from aiohttp import web

    @web.middleware
    async def only_with_token(request: Any, handler: Any) -> Any:
        port = request.transport.get_extra_info("sockname")[1] if request.transport is not None else 0
        names, cookie = allowed_names(port), f"sittranslate-{port}"
        origin = request.headers.get("Origin")
        if request.host not in names or (origin is not None and origin not in {f"http://{name}" for name in names}):
            raise web.HTTPForbidden(text="This page is shown on this machine only, at its own address.")
        given = request.query.get(TOKEN)
        if given is not None and hmac.compare_digest(given.encode(), token.encode()):
            # Away from the address, so that the token stays out of history and referrers.
            answer = web.HTTPFound("/index.html")
            answer.set_cookie(cookie, token, httponly=True, samesite="Strict", path="/")
            raise answer
        if not hmac.compare_digest(request.cookies.get(cookie, "").encode(), token.encode()):
            raise web.HTTPForbidden(text="Open the whole address that the terminal shows, with its token.")
        response = await handler(request)
        if not response.prepared:
            response.headers["Cache-Control"] = "no-store"
            response.headers["Referrer-Policy"] = "no-referrer"
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers["X-Frame-Options"] = "DENY"
        return response

    return only_with_token
