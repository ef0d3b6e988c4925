"""Worker processes with a fault put in by a line of Python that runs whenever they report a stage."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from SITTranslateLib.host.process import WorkerProcess

WITH_FAULT = """
import os, resource, signal, sys
from SITTranslateLib.host import worker
report = worker.Teller.progress
seen = []
def progress(self, stage, fraction):
    seen.append(stage)
    {fault}
    report(self, stage, fraction)
worker.Teller.progress = progress
sys.exit(worker.main(sys.argv[1:]))
"""


def with_fault(fault: str, once: Path | None = None) -> Callable[[Path], WorkerProcess]:
    """Starts workers with a fault; with ``once``, only the first of them has it."""

    def start(folder: Path) -> WorkerProcess:
        if once is not None and once.exists():
            return WorkerProcess(folder)
        if once is not None:
            once.touch()
        return WorkerProcess(folder, command=[sys.executable, "-c", WITH_FAULT.replace("{fault}", fault)])

    return start
