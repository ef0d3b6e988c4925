"""Picture of strokes that ``stroke-severity`` draws into a scan, by severity and contrast.

``python docs/_site/draw_stroke.py FLAIR T1W OUT.png``: scans of one patient. Needs matplotlib (extra ``bench``).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from draw_prescribed import dressed, plt, slice_of

import SITTranslateLib as sit
from SITTranslateLib.files import read_volume
from SITTranslateLib.volume import Volume

#: Row by row: contrast, NIHSS (None: the scan itself) and seed.
PICTURES = (
    (("FLAIR", None, 0), ("FLAIR", 4.0, 5), ("FLAIR", 12.0, 1), ("FLAIR", 22.0, 2)),
    (("T1w", None, 0), ("T1w", 4.0, 5), ("T1w", 12.0, 1), ("T1w", 22.0, 2)),
)
AGE = 70.0


def draw(scans: dict[str, Volume], out: Path) -> None:
    """Draw it."""
    figure, grid = plt.subplots(*np.shape(PICTURES)[:2], figsize=(12.0, 7.4), facecolor="black")
    heights: dict[str, float] = {}
    for axes_row, row in zip(grid, PICTURES, strict=True):
        # The scan itself is shown where its stroke will lie.
        for axes, (contrast, severity, seed) in reversed(list(zip(axes_row, row, strict=True))):
            scan = scans[contrast]
            inside = scan.array > 0
            middle = scan.grid.to_world(np.argwhere(inside).mean(axis=0)[::-1])
            image, title = scan, f"{contrast}, the scan"
            if severity is not None:
                result = sit.translate(scan, "stroke-severity", nihss=severity, age=AGE, seed=seed)
                mask = result.extras["stroke"].array > 0.5
                k = int(mask.sum(axis=(1, 2)).argmax())
                heights[contrast] = float(scan.grid.to_world(np.array([0.0, 0.0, k]))[2])
                millilitres = mask.sum() * scan.grid.voxel_volume / 1000.0
                image, title = result.translated, f"{contrast}, NIHSS {severity:.0f}: {millilitres:.0f} mL"
                print(title, sit.verify(result).verdict, *result.provenance.warnings)
            window = (0.0, float(np.percentile(scan.array[inside], 99.7)) * (1.3 if contrast == "FLAIR" else 1.0))
            dressed(axes, slice_of(image, 2, heights[contrast], middle, "bilinear"), title, window)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.95, bottom=0.01, wspace=0.02, hspace=0.08)
    figure.savefig(out, dpi=90, facecolor="black")


if __name__ == "__main__":
    names = ("FLAIR", "T1w")
    draw({name: read_volume(path) for name, path in zip(names, sys.argv[1:3], strict=True)}, Path(sys.argv[3]))
