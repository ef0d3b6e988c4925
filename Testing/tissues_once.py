"""The contrasts that the tissues of a scan allow, found once however often the scan is translated (0.8 s each)."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from SITTranslateLib.host.process import WorkerProcess
from SITTranslateLib.translate import suitability
from SITTranslateLib.translate.head import Anatomy
from SITTranslateLib.volume import Volume

WORKER = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
import tissues_once
from SITTranslateLib.host import worker
tissues_once.remember()
sys.exit(worker.main(sys.argv[1:]))
"""


def remember() -> None:
    """Have this process remember them."""
    find, known = suitability.by_tissue, dict[bytes, tuple[str, ...]]()

    def by_tissue(volume: Volume, anatomy: Anatomy) -> tuple[str, ...]:
        key = hashlib.sha256(volume.array.tobytes() + volume.affine.tobytes()).digest()
        if key not in known:
            known[key] = find(volume, anatomy)
        return known[key]

    suitability.by_tissue = by_tissue


def start(folder: Path) -> WorkerProcess:
    """Start a worker that remembers them, for a :class:`HostClient`."""
    return WorkerProcess(folder, command=[sys.executable, "-c", WORKER])
