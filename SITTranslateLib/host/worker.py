"""The worker process: reads requests, runs one at a time, reports events.

A thread reads requests, so that a cancel is heard while a network runs. When the pipe closes, or the process that
started this one is no longer its parent, whoever started it is gone: it removes the private folder (scans lie in it)
and ends at once. A worker that can no longer listen ends too: it would hear no cancel, and not that it is alone.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from SITTranslateLib.errors import InputError
from SITTranslateLib.host import protocol
from SITTranslateLib.host.protocol import Event, Failure, Request

#: Messages of torch, ITK and C++ for exhausted main memory.
_NO_MEMORY = re.compile(
    r"(?:can't|cannot|failed to|unable to) allocate (?:memory|\d+ bytes)|not enough memory|bad_alloc"
    # A thread's stack is memory as well.
    r"|can't start new thread",
    re.I,
)


class Cancelled(Exception):  # noqa: N818 - not an error, an answer
    """Raised inside a job that was cancelled."""


class NoRoomError(InputError):
    """No device has enough memory for the job; ``offer`` names one that may."""

    def __init__(self, sentence: str, offer: str = "") -> None:
        super().__init__(sentence)
        self.offer = offer


class Teller:
    """Tells events of one job, and raises :class:`Cancelled` at the next report after a cancel."""

    def __init__(self, write: Callable[[dict[str, Any]], None], job: int, cancelled: threading.Event) -> None:
        self._write, self.job, self._cancelled = write, job, cancelled
        self._started = time.monotonic()
        self._stage = ""
        self._last = 0.0

    def progress(self, stage: str, fraction: float) -> None:
        """Report the current work and the fraction done; the seconds left follow from the pace so far."""
        self.check()
        now = time.monotonic()
        if stage != self._stage:
            self._stage = stage
            self._write({"event": Event.STAGE, "id": self.job, "stage": stage})
        elif now - self._last < 0.05:
            return
        self._last = now
        spent = now - self._started
        left = spent * (1.0 - fraction) / fraction if fraction > 0.02 and spent > 0.3 else None
        self._write({"event": Event.PROGRESS, "id": self.job, "fraction": fraction, "seconds_left": left})

    def warning(self, sentence: str) -> None:
        self._write({"event": Event.WARNING, "id": self.job, "sentence": sentence})

    def check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled


class Handler(Protocol):
    """Interface for running requests; :class:`SITTranslateLib.host.jobs.Jobs`."""

    def run(self, message: dict[str, Any], tell: Teller) -> dict[str, Any]: ...


class WorkerLoop:
    """Reads requests from one stream, writes events to another, runs them with a handler made at the first one."""

    def __init__(
        self, requests: Iterable[str], events: TextIO, make_handler: Callable[[], Handler], folder: Path, idle: float,
    ) -> None:  # fmt: skip
        self._requests, self._events = requests, events
        self._make_handler = make_handler
        self._handler: Handler | None = None
        self._folder, self._idle = folder, idle
        self._waiting: queue.SimpleQueue[tuple[dict[str, Any], threading.Event]] = queue.SimpleQueue()
        self._cancelled: dict[int, threading.Event] = {}
        self._lock = threading.Lock()

    def run(self) -> int:
        """Until a quit request, or idle for too long; the exit code."""
        threading.Thread(target=self._listen, daemon=True).start()
        self.write({"event": Event.READY, "protocol": protocol.VERSION, "pid": os.getpid()})
        while True:
            try:
                request, cancelled = self._waiting.get(timeout=self._idle)
            except queue.Empty:
                return 0
            if request["request"] == Request.QUIT.value:
                return 0
            self._answer(request, cancelled)

    def write(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._events.write(protocol.encode(message))
            self._events.flush()

    def _listen(self) -> None:
        try:
            for line in self._requests:
                self._hear(line)
        except Exception:
            # The client's results lie in the folder: it stays.
            os._exit(protocol.DEAF)
        self._leave()

    def _hear(self, line: str) -> None:
        """Take a line; where memory is short, again in a moment."""
        for pause in (0.1, 0.4, 1.0, 0.0):
            try:
                self._take(line)
                return
            except MemoryError:
                if not pause:
                    raise
                time.sleep(pause)

    def _take(self, line: str) -> None:
        try:
            request = protocol.decode(line, "request")
            kind = Request(request["request"])
        except ValueError as error:
            sys.stderr.write(f"ignored: {error}\n")
            return
        job = int(request.get("id", 0))
        if kind is Request.CANCEL:
            if job in self._cancelled:
                self._cancelled[job].set()
            return
        # Each request its own event, should two clients ever use one number.
        self._cancelled[job] = threading.Event()
        self._waiting.put((request, self._cancelled[job]))

    def watch_parent(self, seconds: float = 2.0) -> None:
        """End this process when its parent does, should somebody else hold the pipe open."""
        parent = os.getppid()

        def watch() -> None:
            while os.getppid() == parent:
                time.sleep(seconds)
            self._leave()

        threading.Thread(target=watch, daemon=True).start()

    def _leave(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(0)

    def _answer(self, request: dict[str, Any], cancelled: threading.Event) -> None:
        job = int(request.get("id", 0))
        tell = Teller(self.write, job, cancelled)
        try:
            tell.check()
            if self._handler is None:
                tell.progress("starting the model host", 0.0)
                self._handler = self._make_handler()
            assert self._handler is not None
            result = self._handler.run(request, tell)
            tell.check()
            self.write({"event": Event.RESULT, "id": job, "result": result})
        except BaseException as error:
            self.write({"event": Event.ERROR, "id": job, **failure_of(error)})
            if not isinstance(error, Exception):
                raise
        finally:
            if self._cancelled.get(job) is cancelled:
                del self._cancelled[job]


def failure_of(error: BaseException) -> dict[str, Any]:
    """Contents of an error event: its kind, one sentence for the user, and the details."""
    details = "".join(traceback.format_exception(error))
    if isinstance(error, Cancelled):
        return {"failure": Failure.CANCELLED, "sentence": "Cancelled.", "details": ""}
    if isinstance(error, NoRoomError):
        return {"failure": Failure.OUT_OF_MEMORY, "sentence": str(error), "offer": error.offer, "details": details}
    if isinstance(error, InputError):
        # Nothing for anyone to repair, and the sentence may hold the name of a scan: it goes to the panel alone.
        return {"failure": Failure.INPUT, "sentence": str(error), "details": ""}
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        sentence = "This computer has too little free memory for this scan; close other programs, or crop the scan."
        return {"failure": Failure.OUT_OF_MEMORY, "sentence": sentence, "offer": "", "details": details}
    if isinstance(error, ImportError):
        name = (error.name or str(error)).split(".")[0]
        sentence = f"The package '{name}' is not installed; install what the models need and try again."
        return {"failure": Failure.MISSING, "sentence": sentence, "package": name, "details": details}
    first = (str(error).splitlines() or [""])[0][:160].rstrip(".")
    sentence = f"The model could not be run ({type(error).__name__}: {first}); the details say where."
    return {"failure": Failure.FAILED, "sentence": sentence, "details": details}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m SITTranslateLib.host``."""
    parser = argparse.ArgumentParser(prog="SITTranslateLib.host", description="Worker process of SITTranslate.")
    parser.add_argument("--folder", type=Path, required=True, help="private folder for arrays")
    parser.add_argument("--idle", type=float, default=600.0, help="seconds without a request after which it ends")
    options = parser.parse_args(arguments)
    # Whatever a library prints must not come between the events: from here on it goes to the error stream.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    requests = protocol.lines_of(os.fdopen(os.dup(0), "rb"))

    def make_handler() -> Handler:
        from SITTranslateLib.host.jobs import Jobs

        return Jobs(options.folder)

    loop = WorkerLoop(requests, events, make_handler, options.folder, options.idle)
    loop.watch_parent()
    code = loop.run()
    events.flush()
    # Not sys.exit: libraries may hold threads, and the listening thread never ends by itself.
    os._exit(code)
