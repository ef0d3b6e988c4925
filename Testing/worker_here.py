"""A worker of the model host in this process."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

from SITTranslateLib.host import protocol
from SITTranslateLib.host.jobs import Jobs
from SITTranslateLib.host.protocol import Request
from SITTranslateLib.host.worker import Teller


class WorkerHere:
    """Runs each request at once, in this process, with the lines of the protocol."""

    def __init__(self, folder: Path) -> None:
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._jobs = Jobs(folder)

    def send(self, line: str) -> bool:
        request = protocol.decode(line, "request")
        number = request["id"]
        if request["request"] not in (Request.QUIT, Request.FORGET):
            result = self._jobs.run(request, Teller(lambda message: None, number, threading.Event()))
            self.lines.put(protocol.encode({"event": "result", "id": number, "result": result}))
        return True

    def words(self) -> str:
        return ""

    def exit_code(self) -> int | None:
        return None

    def kill(self) -> None: ...
