"""Access to the web page: only with a token of this program, on this machine, from this page.

The scan in the page may be a patient's. The server listens on 127.0.0.1 only, but that alone lets every user and every
web page of this machine in. So: the first address carries a random token, for which the browser gets a cookie that no
script can read; without it nothing is served, neither files nor the websocket; and what comes from another origin is
refused, because cookies do not tell ports apart.

Two tokens are given out. The terminal shows one that can be used again. The browser is started with another, because
every user of the machine can read the command line of a process: that one lets in once, and soon after not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from http.cookies import CookieError
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

HOST = "127.0.0.1"
TOKEN = "token"
#: Seconds that a browser has to open the page.
ONCE_SECONDS = 60.0
#: Seconds that a connection has to send a whole request and show a token or cookie with it; then it is closed, so that
#: connections that send nothing do not use up those that this program may have.
REQUEST_SECONDS, SWEEP_SECONDS = 10.0, 2.0


def new_token() -> str:
    """192 random bits, as an address can hold them."""
    return secrets.token_urlsafe(24)


def address(port: int, token: str) -> str:
    """What to open in a browser."""
    return f"http://{HOST}:{port}/?{TOKEN}={token}"


def allowed_names(port: int) -> set[str]:
    """By which names this server may be called; another one is somebody else's domain that points here."""
    return {f"{HOST}:{port}", f"localhost:{port}"}


class Access:
    """The tokens of one page.

    Attributes:
        token: of the address that the terminal shows.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.token = new_token()
        self._cookie = new_token()
        self._clock = clock
        #: Tokens that let in once, and until when.
        self._once: dict[str, float] = {}
        #: Connections that showed who they are, and since when others are there.
        self._known: WeakSet[Any] = WeakSet()
        self._since: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    def once(self) -> str:
        """A token for a command line: it lets in once, within a minute."""
        token = new_token()
        self._once[token] = self._clock() + ONCE_SECONDS
        return token

    def opens(self, token: str) -> bool:
        """Whether a token lets in; one that does so once is used up."""
        found = next((known for known in self._once if _same(known, token)), None)
        if found is not None:
            return self._clock() <= self._once.pop(found)
        return _same(self.token, token)

    def sweep(self, connections: Iterable[Any]) -> int:
        """Close connections that have not shown a token or cookie in time; how many.

        Args:
            connections: of the aiohttp server, as its ``connections`` gives them.
        """
        now, closed = self._clock(), 0
        for connection in connections:
            transport = connection.transport
            if transport is None or transport in self._known:
                continue
            if now - self._since.setdefault(transport, now) >= REQUEST_SECONDS:
                transport.abort()
                closed += 1
        return closed

    async def sweep_always(self, connections: Callable[[], Iterable[Any]]) -> None:
        """:meth:`sweep` every two seconds, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep(connections())

    def guard(self) -> Any:
        """The aiohttp middleware that lets only the holder of a token or of the cookie in."""
        from aiohttp import web

        def closing(kind: Any, text: str) -> Any:
            answer = kind(text=text)
            answer.force_close()
            return answer

        @web.middleware
        async def only_with_token(request: Any, handler: Any) -> Any:
            port = request.transport.get_extra_info("sockname")[1] if request.transport is not None else 0
            names, cookie = allowed_names(port), f"sittranslate-{port}"
            origin = request.headers.get("Origin")
            if request.host not in names or (origin is not None and origin not in {f"http://{name}" for name in names}):
                raise closing(web.HTTPForbidden, "This page is shown on this machine only, at its own address.")
            try:
                given, held = request.query.get(TOKEN), request.cookies.get(cookie, "")
            except (CookieError, ValueError) as error:
                raise closing(web.HTTPBadRequest, "The request is not one that a browser sends.") from error
            if given is not None and self.opens(given):
                # Away from the address, so that the token stays out of history and referrers.
                answer = web.HTTPFound("/index.html")
                answer.set_cookie(cookie, self._cookie, httponly=True, samesite="Strict", path="/")
                raise answer
            if not _same(self._cookie, held):
                raise closing(web.HTTPForbidden, "Open the whole address that the terminal shows, with its token.")
            self._known.add(request.transport)
            response = await handler(request)
            if not response.prepared:
                response.headers["Cache-Control"] = "no-store"
                response.headers["Referrer-Policy"] = "no-referrer"
                response.headers["X-Content-Type-Options"] = "nosniff"
                response.headers["X-Frame-Options"] = "DENY"
            return response

        return only_with_token


def _same(known: str, given: str) -> bool:
    """Compare in a time that does not tell how much is right; bytes that are no text are just wrong."""
    with contextlib.suppress(UnicodeError):
        return hmac.compare_digest(known.encode(), given.encode("utf-8", "surrogateescape"))
    return False
