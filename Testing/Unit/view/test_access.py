"""Only the holder of the token gets anything from the page's server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from SITTranslateLib.view import access

web = pytest.importorskip("aiohttp.web", reason="the page's server is built on aiohttp")
utilities = pytest.importorskip("aiohttp.test_utils")

Ask = Callable[..., Awaitable[Any]]


#: How the connections of the running server are had.
CONNECTIONS: list[Callable[[], list[Any]]] = []


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def asked(questions: Callable[[Ask, int, access.Access], Awaitable[None]], clock: Clock | None = None) -> None:
    """Run questions against a guarded server of one page and one websocket."""

    async def page(_request: Any) -> web.Response:
        return web.Response(text="the scan")

    async def socket(request: Any) -> web.WebSocketResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        await answer.close()
        return answer

    async def run() -> None:
        doors = access.Access(clock or Clock())
        app = web.Application(middlewares=[doors.guard()])
        app.router.add_get("/index.html", page)
        app.router.add_get("/ws", socket)
        app.router.add_get("/", page)
        async with utilities.TestClient(utilities.TestServer(app, host=access.HOST)) as client:
            port = client.server.port
            CONNECTIONS[:] = [lambda: list(client.server.runner.server.connections)]

            async def ask(path: str, **headers: str) -> Any:
                client.session.cookie_jar.clear()
                return await client.get(path, headers=headers, allow_redirects=False)

            await questions(ask, port, doors)

    asyncio.run(run())


def test_the_token_becomes_a_cookie_that_no_script_reads_and_leaves_the_address() -> None:
    async def questions(ask: Ask, port: int, doors: access.Access) -> None:
        for _ in range(2):
            answer = await ask(f"/?token={doors.token}")
            assert answer.status == 302 and answer.headers["Location"] == "/index.html"
        cookie = answer.cookies[f"sittranslate-{port}"]
        assert cookie["httponly"] and cookie["samesite"] == "Strict"
        assert len(cookie.value) >= 32 and cookie.value != doors.token
        page = await ask("/index.html", Cookie=f"sittranslate-{port}={cookie.value}")
        assert page.status == 200 and await page.text() == "the scan"
        assert page.headers["Cache-Control"] == "no-store" and page.headers["X-Frame-Options"] == "DENY"
        assert (await ask("/index.html", Cookie=f"sittranslate-{port}={doors.token}")).status == 403

    asked(questions)


def test_the_token_of_a_command_line_lets_in_once_and_not_for_long() -> None:
    clock = Clock()

    async def questions(ask: Ask, port: int, doors: access.Access) -> None:
        first, late = doors.once(), doors.once()
        assert first != doors.token
        answer = await ask(f"/?token={first}")
        assert answer.status == 302 and first not in str(answer.cookies)
        assert (await ask(f"/?token={first}")).status == 403
        clock.now = access.ONCE_SECONDS + 1
        assert (await ask(f"/?token={late}")).status == 403
        cookie = answer.cookies[f"sittranslate-{port}"].value
        assert (await ask("/index.html", Cookie=f"sittranslate-{port}={cookie}")).status == 200

    asked(questions, clock)


@pytest.mark.parametrize("path", ["/", "/index.html", "/ws", "/?token=", "/?token=wrong", "/?token=ä", "/?token=%ff%fe",
                                  "/?token=%00", "/nowhere"])  # fmt: skip
def test_without_it_nothing_is_told(path: str) -> None:
    async def questions(ask: Ask, port: int, doors: access.Access) -> None:
        for headers in ({}, {"Cookie": "sittranslate=x"}, {"Cookie": f"sittranslate-{port}={doors.token[:-1]}"}):
            answer = await ask(path, **headers)
            assert answer.status == 403 and "the scan" not in await answer.text()
            assert not answer.cookies

    asked(questions)


@pytest.mark.parametrize(
    "cookie",
    [
        b"\xff\xfe",
        b"=\x80",
        b'"\\777"',
        b"=a; b\xe4d=1",
        b"[]{}()<>@,;:=1",
        b"=" + b"x" * 6000,
        b'="\\x"; =',
        b"a=\xed\xa0\x80",
    ],
)
def test_a_bad_cookie_is_refused_and_no_error_of_the_server(cookie: bytes) -> None:
    async def questions(ask: Ask, port: int, doors: access.Access) -> None:
        for name in (b"", f"sittranslate-{port}".encode(), b"sittranslate-1; $Version=1; "):
            status = await raw(port, b"Cookie: " + name + cookie + b"\r\n")
            assert status in (400, 403), (name, cookie)

    asked(questions)


async def raw(port: int, headers: bytes) -> int:
    """The status of an answer to a request that no library would send."""
    reader, writer = await asyncio.open_connection(access.HOST, port)
    host = f"{access.HOST}:{port}".encode()
    writer.write(b"GET /index.html HTTP/1.1\r\nHost: " + host + b"\r\n" + headers + b"\r\n")
    await writer.drain()
    answer = await reader.readline()
    writer.close()
    return int(answer.split()[1])


def test_connections_that_say_nothing_are_closed_and_the_page_stays() -> None:
    clock = Clock()

    async def questions(ask: Ask, port: int, doors: access.Access) -> None:
        cookie = f"sittranslate-{port}={(await ask(f'/?token={doors.token}')).cookies[f'sittranslate-{port}'].value}"
        host = f"Host: {access.HOST}:{port}\r\nCookie: {cookie}\r\n".encode()
        reader, page = await asyncio.open_connection(access.HOST, port)
        page.write(b"GET /index.html HTTP/1.1\r\n" + host + b"\r\n")
        assert b"200" in await reader.readline()
        silent = [await asyncio.open_connection(access.HOST, port) for _ in range(40)]
        for number, (_, writer) in enumerate(silent):
            # Nothing, half a line, or headers without an end.
            writer.write((b"", b"GET /index", b"GET / HTTP/1.1\r\n" + host)[number % 3])
        assert (await ask("/index.html", Cookie=cookie)).status == 200
        server = CONNECTIONS[0]()
        assert doors.sweep(server) == 0
        clock.now = access.REQUEST_SECONDS
        assert doors.sweep(server) == 40
        for stream, writer in silent:
            with contextlib.suppress(ConnectionError):
                assert await stream.read() == b""
            writer.close()
        page.write(b"GET /index.html HTTP/1.1\r\n" + host + b"\r\n")
        assert b"the scan" in await reader.readuntil(b"the scan")
        page.close()

    asked(questions, clock)


def test_another_page_of_this_machine_cannot_use_the_cookie() -> None:
    async def questions(ask: Ask, port: int, doors: access.Access) -> None:
        held = (await ask(f"/?token={doors.token}")).cookies[f"sittranslate-{port}"].value
        cookie = {"Cookie": f"sittranslate-{port}={held}"}
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
