"""The head that the module offers as sample data: simulated, T1w, voxels of 2 mm.

    python Testing/sample_head.py

writes its file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from SITTranslateLib.simulation.head import procedural_head
from SITTranslateLib.simulation.scan import simulate_contrasts

FILE = Path(__file__).resolve().parent.parent / "Resources" / "Samples" / "head.npz"


def parts() -> dict[str, np.ndarray]:
    """Grey levels 0 to 255, labels, and the affine in RAS mm."""
    made = procedural_head(0, spacing=2.0)
    simulated = simulate_contrasts(made, ["T1w"], 0, grid=made.grid)
    scan = simulated.scans["T1w"]
    grey = scan.array * (255.0 / np.percentile(scan.array, 99.9))
    return {
        "scan": np.clip(np.rint(grey), 0.0, 255.0).astype(np.uint8),
        "labels": simulated.labels.array.astype(np.uint16),
        "affine": scan.affine,
    }


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, **parts())
