"""The web server: on this machine only, at a free port, for the holder of a token."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.host.client import HostClient
from SITTranslateLib.translation import Translation
from SITTranslateLib.view import access

_NEEDED = ("trame", "trame_slicer", "aiohttp")
_HOW = (
    "in a clone of the project, make an environment for it: "
    "'make view', or python -m venv VIEW; VIEW/bin/pip install '.[view]'"
)


def require_trame() -> None:
    """Raise an :class:`InputError` naming how to install what the page needs, where it is missing.

    An environment of its own, because trame-slicer is built for one version of Slicer's core only.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"The page needs trame-slicer, which is not installed here; {_HOW}.")


def serve(translation: Translation, host: HostClient, *, port: int = 0, ready: Callable[[str, str], None]) -> None:
    """Show a result until the program is stopped.

    Args:
        port: 0 takes a free one.
        ready: called with the page's address, token and all, once it can be opened: one to show, and one for a
            browser's command line, which others can read and which works once.

    Raises:
        InputError: trame-slicer or off-screen OpenGL is missing, or the port is taken.
    """
    require_trame()
    from SITTranslateLib.scene.headless.application import application
    from SITTranslateLib.scene.headless.opengl import require_opengl

    require_opengl()
    from trame.app import get_server

    from SITTranslateLib.view.page import Page

    # It would read this program's own command line, and greet on the terminal.
    os.environ["TRAME_ARGS"] = "--server"
    os.environ["WSLINK_READY_MSG"] = ""
    doors = access.Access()
    server = get_server("sittranslate", client_type="vue3")
    server.controller.on_server_bind.add(lambda web: _guard(web, doors))
    page = Page(server, application(), translation, host)
    server.controller.on_server_ready.add(
        lambda **_: ready(*(access.address(server.port, token) for token in (doors.token, doors.once())))
    )
    try:
        server.start(
            port=port, host=access.HOST, open_browser=False, show_connection_info=False, disable_logging=True,
            backend="aiohttp", timeout=0,
        )  # fmt: skip
    except OSError as error:
        raise InputError(f"Port {port} of this machine is taken; leave --port out to get a free one.") from error
    del page


def _guard(web: Any, doors: access.Access) -> None:
    """Let the server answer holders of a token alone, and close connections that send nothing."""
    tasks: list[asyncio.Task[None]] = []

    async def begin(_app: Any) -> None:
        sweeping = doors.sweep_always(lambda: web.runner.server.connections if web.runner.server else ())
        tasks.append(asyncio.create_task(sweeping))

    async def end(_app: Any) -> None:
        for task in tasks:
            task.cancel()

    web.app.middlewares.append(doors.guard())
    web.app.on_startup.append(begin)
    web.app.on_cleanup.append(end)
