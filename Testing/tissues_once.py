"""Finds the contrasts that a scan's tissues allow once, however often the scan is translated: 0.8 s each time."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from SITTranslateLib.host.process import WorkerProcess
    from SITTranslateLib.translate.head import Anatomy
    from SITTranslateLib.volume import Volume

#: A worker that does so too.
WORKER = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
import tissues_once
from SITTranslateLib.host import worker
tissues_once.install()
sys.exit(worker.main(sys.argv[1:]))
"""


def install() -> Callable[[], None]:
    """Remember the findings in this process; returns what undoes it."""
    from SITTranslateLib.translate import suitability

    known: dict[bytes, tuple[str, ...]] = {}
    find = suitability.by_tissue

    def remembered(volume: Volume, anatomy: Anatomy) -> tuple[str, ...]:
        key = hashlib.sha256(volume.array.tobytes() + volume.affine.tobytes()).digest()
        if key not in known:
            known[key] = find(volume, anatomy)
        return known[key]

    suitability.by_tissue = remembered
    return lambda: setattr(suitability, "by_tissue", find)


def start(folder: Path) -> WorkerProcess:
    """Start such a worker, for a :class:`HostClient`."""
    from SITTranslateLib.host.process import WorkerProcess

    return WorkerProcess(folder, command=[sys.executable, "-c", WORKER])
