"""Child processes: the Python that runs them, a bound on their time, and their end."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator


def python() -> str:
    """This Python; inside Slicer, whose own executable is none, PythonSlicer."""
    launcher = shutil.which("PythonSlicer") if "slicer" in sys.modules else None
    return launcher or sys.executable


@contextlib.contextmanager
def killed_after(seconds: float, child: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
    """Kill a child that has not answered in time; the event says whether that happened."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        child.kill()

    alarm = threading.Timer(seconds, stop)
    alarm.daemon = True
    alarm.start()
    try:
        yield late
    finally:
        alarm.cancel()


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill a child, close its pipes, and collect it."""
    child.kill()
    for pipe in (child.stdin, child.stdout):
        with contextlib.suppress(OSError, ValueError):
            if pipe is not None:
                pipe.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=5.0)
