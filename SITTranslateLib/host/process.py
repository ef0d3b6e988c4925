"""The worker as a process: started in its own session, read without blocking, killed with its children."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from SITTranslateLib import children
from SITTranslateLib.host import protocol

#: Folder that holds the SITTranslateLib package; the worker must find the same one.
LIBRARY_PARENT = Path(__file__).resolve().parents[2]
#: Lines of the worker's own words that are kept for an error's details.
KEPT_LINES = 200
LONGEST_WORDS = 1 << 14


class Worker(Protocol):
    """Interface of a worker process to the client; tests use others."""

    @property
    def lines(self) -> queue.SimpleQueue[str | None]:
        """Lines that the worker wrote; None when there will be no more."""
        ...

    def send(self, line: str) -> bool:
        """Write a line; False if the worker is gone."""
        ...

    def words(self) -> str:
        """The last lines of what it wrote to its error stream."""
        ...

    def exit_code(self) -> int | None: ...

    def kill(self) -> None:
        """End it and everything it started, now."""
        ...


class WorkerProcess:
    """A real worker process."""

    def __init__(
        self, folder: Path, command: Sequence[str] | None = None, idle_seconds: float = 600.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        variables = dict(os.environ if environment is None else environment)
        # Slicer may have started us with a folder of its own in front; the worker must run this very package.
        paths = [str(LIBRARY_PARENT), *filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))]
        variables["PYTHONPATH"] = os.pathsep.join(paths)
        variables["PYTHONUNBUFFERED"] = "1"
        # The folder that it is started in is no place to import from.
        variables["PYTHONSAFEPATH"] = "1"
        options: dict[str, Any] = {}
        if os.name == "posix":
            options["start_new_session"] = True
        else:
            options["creationflags"] = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(
                subprocess, "CREATE_NO_WINDOW", 0
            )
        self._process = subprocess.Popen(
            [*(command or worker_command()), "--folder", str(folder), "--idle", str(idle_seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables, cwd=str(folder),
            **options,
        )  # fmt: skip
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._words: deque[str] = deque(maxlen=KEPT_LINES)
        self._threads = [
            threading.Thread(target=self._read_lines, daemon=True),
            threading.Thread(target=self._read_words, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def lines(self) -> queue.SimpleQueue[str | None]:
        return self._lines

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, line: str) -> bool:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode("utf-8"))
            self._process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def words(self) -> str:
        return "".join(self._words)

    def exit_code(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        if os.name == "posix":
            # The launcher that Slicer puts before Python is the leader; its children are in the same session.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(self._process.pid)], capture_output=True, check=False)
        with contextlib.suppress(OSError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2.0)
        for stream in (self._process.stdin,):
            with contextlib.suppress(OSError, ValueError):
                if stream is not None:
                    stream.close()

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        try:
            with contextlib.suppress(OSError, ValueError):
                for line in protocol.lines_of(cast(BinaryIO, self._process.stdout)):
                    self._lines.put(line)
        except MemoryError:
            # The rest could not be received: the worker is ended, and the client gets the usual end event.
            self._process.kill()
        self._process.wait()
        # Its last words are there when its end is heard of, unless a child of its own still holds the stream.
        self._threads[1].join(timeout=5.0)
        self._lines.put(None)

    def _read_words(self) -> None:
        assert self._process.stderr is not None
        with contextlib.suppress(OSError, ValueError, MemoryError):
            for line in protocol.lines_of(cast(BinaryIO, self._process.stderr), LONGEST_WORDS):
                self._words.append(line)


def worker_command() -> list[str]:
    """The command that runs the worker."""
    # -P: nothing that lies in the working folder is imported.
    return [children.python(), "-P", "-m", "SITTranslateLib.host"]
