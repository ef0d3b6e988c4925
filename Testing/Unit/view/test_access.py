"""Only the holder of the token gets anything from the page's server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from SITTranslateLib.view import access

web = pytest.importorskip("aiohttp.web", reason="the page's server is built on aiohttp")
utilities = pytest.importorskip("aiohttp.test_utils")

Ask = Callable[..., Awaitable[Any]]


def asked(questions: Callable[[Ask, int, str], Awaitable[None]]) -> None:
    """Run questions against a guarded server of one page and one websocket."""

    async def page(_request: Any) -> web.Response:
        return web.Response(text="the scan")

    async def socket(request: Any) -> web.WebSocketResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        await answer.close()
        return answer

    async def run() -> None:
        token = access.new_token()
        app = web.Application(middlewares=[access.guard(token)])
        app.router.add_get("/index.html", page)
        app.router.add_get("/ws", socket)
        app.router.add_get("/", page)
        async with utilities.TestClient(utilities.TestServer(app, host=access.HOST)) as client:
            port = client.server.port

            async def ask(path: str, **headers: str) -> Any:
                client.session.cookie_jar.clear()
                return await client.get(path, headers=headers, allow_redirects=False)

            await questions(ask, port, token)

    asyncio.run(run())


def test_the_token_becomes_a_cookie_that_no_script_reads_and_leaves_the_address() -> None:
    async def questions(ask: Ask, port: int, token: str) -> None:
        answer = await ask(f"/?token={token}")
        assert answer.status == 302 and answer.headers["Location"] == "/index.html"
        cookie = answer.cookies[f"sittranslate-{port}"]
        assert cookie["httponly"] and cookie["samesite"] == "Strict" and cookie.value == token
        page = await ask("/index.html", Cookie=f"sittranslate-{port}={token}")
        assert page.status == 200 and await page.text() == "the scan"
        assert page.headers["Cache-Control"] == "no-store" and page.headers["X-Frame-Options"] == "DENY"

    asked(questions)


@pytest.mark.parametrize("path", ["/", "/index.html", "/ws", "/?token=", "/?token=wrong", "/?token=ä", "/nowhere"])
def test_without_it_nothing_is_told(path: str) -> None:
    async def questions(ask: Ask, port: int, token: str) -> None:
        for headers in ({}, {"Cookie": "sittranslate=x"}, {"Cookie": f"sittranslate-{port}={token[:-1]}"}):
            answer = await ask(path, **headers)
            assert answer.status == 403 and "the scan" not in await answer.text()
            assert not answer.cookies

    asked(questions)


def test_another_page_of_this_machine_cannot_use_the_cookie() -> None:
    async def questions(ask: Ask, port: int, token: str) -> None:
        cookie = {"Cookie": f"sittranslate-{port}={token}"}
        for elsewhere in ("http://127.0.0.1:1", "http://evil.example", "null", f"https://127.0.0.1:{port}"):
            assert (await ask("/ws", Origin=elsewhere, **cookie)).status == 403, elsewhere
        assert (await ask("/index.html", Host=f"evil.example:{port}", **cookie)).status == 403, "rebound name"
        own = {"Origin": f"http://127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade"}
        own |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
        assert (await ask("/ws", **own, **cookie)).status == 101

    asked(questions)


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {access.new_token() for _ in range(50)}
    assert len(tokens) == 50 and min(map(len, tokens)) >= 32
    assert access.address(80, "abc") == "http://127.0.0.1:80/?token=abc"
