"""Picture of a prescribed change on a head with skull: before, after, outlines, change of volume.

``python docs/_site/draw_prescribed.py SCAN LABELS OUT.png``: a T1w scan with skull and its FreeSurfer labels (aseg);
20 years of healthy ageing from 60 on. Needs matplotlib (the extra ``bench``).
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

import SITTranslateLib as sit
from SITTranslateLib import fields
from SITTranslateLib.files import read_labels, read_volume
from SITTranslateLib.volume import Grid, Volume

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

PRESET, AGE, YEARS = "healthy-ageing", 60.0, 20.0
SPACING_MM = 0.75
#: What is outlined: labels and colour.
OUTLINED = {"lateral ventricles": ((4, 5, 43, 44), "#4cc9f0"), "hippocampi": ((17, 53), "#ffd166")}
BEFORE, AFTER = "dotted", "solid"
LARGEST_PERCENT = 30.0
SCALE_BAR_MM = 50.0


def slice_of(volume: Volume, axis: int, at_mm: float, centre: NDArray[np.float64], mode: str) -> NDArray[np.float32]:
    """A slice across an axis (2 axial, 1 coronal), radiological: the patient's right on the left; rows from the top."""
    across, upwards = (0, 1) if axis == 2 else (0, 2)
    size = (280, 240)
    affine = np.eye(4)
    affine[:3, 0] = affine[:3, 1] = affine[:3, 2] = 0.0
    affine[across, 0], affine[upwards, 1], affine[axis, 2] = -SPACING_MM, -SPACING_MM, 1.0
    corner = centre.copy()
    corner[across] += 0.5 * SPACING_MM * size[1]
    corner[upwards] += 0.5 * SPACING_MM * size[0]
    corner[axis] = at_mm
    affine[:3, 3] = corner
    return fields.resample_volume(volume, Grid((1, *size), affine), mode).array[0]


def dressed(axes: Axes, image: NDArray[np.float32], title: str, window: tuple[float, float]) -> None:
    axes.imshow(image, cmap="gray", vmin=window[0], vmax=window[1], interpolation="bilinear")
    axes.set_axis_off()
    axes.set_title(title, color="white", fontsize=10)
    style = {"color": "white", "fontsize": 9, "va": "center"}
    axes.text(6, image.shape[0] / 2, "R", **style)
    axes.text(image.shape[1] - 14, image.shape[0] / 2, "L", **style)


def draw(scan: Volume, labels: Volume, out: Path) -> None:
    """Draw it."""
    result = sit.prescribe(scan, labels, preset=PRESET, age=AGE, years=YEARS)
    assert result.sampling is not None and result.jacobian is not None and result.motion is not None
    print(result.structures.to_text())
    print(f"longest motion {float(result.motion.magnitude().max()):.1f} mm; {sit.verify(result).verdict}")
    numbers = fields.resample_volume(labels, scan.grid, "nearest")
    brain = numbers.array > 0
    middle = scan.grid.to_world(np.argwhere(brain).mean(axis=0)[::-1])
    ventricles = scan.grid.to_world(np.argwhere(np.isin(numbers.array, (4, 43))).mean(axis=0)[::-1])
    hippocampi = scan.grid.to_world(np.argwhere(np.isin(numbers.array, (17, 53))).mean(axis=0)[::-1])
    low, high = np.percentile(scan.array[brain], (0.5, 99.5))
    window = (0.0 if low < 0.3 * high else float(low), 1.15 * float(high))
    change = result.jacobian.with_array(100.0 * (result.jacobian.array - 1.0))
    inside = scan.with_array(brain.astype(np.float32))
    figure, grid = plt.subplots(2, 4, figsize=(12.6, 7.6), facecolor="black")
    for row, (axis, at_mm) in enumerate(((2, float(ventricles[2])), (1, float(hippocampi[1])))):
        before, after = (slice_of(v, axis, at_mm, middle, "bilinear") for v in (result.source, result.translated))
        name = f"{'axial' if axis == 2 else 'coronal'} slice"
        dressed(grid[row, 0], before, f"before, {name}" if row else f"before ({AGE:.0f} years), {name}", window)
        dressed(grid[row, 1], after, "after" if row else f"after ({AGE + YEARS:.0f} years)", window)
        dressed(grid[row, 2], after, "after, outlines dotted: before", window)
        for own, colour in OUTLINED.values():
            mask = scan.with_array(np.isin(numbers.array, own).astype(np.float32))
            moved = fields.warp(mask, result.sampling)
            for volume, line in ((mask, BEFORE), (moved, AFTER)):
                grid[row, 2].contour(
                    slice_of(volume, axis, at_mm, middle, "bilinear"), [0.5], colors=colour, linestyles=line,
                    linewidths=1.1,
                )  # fmt: skip
        dressed(grid[row, 3], before, "local change of volume, %", window)
        percent = slice_of(change, axis, at_mm, middle, "bilinear")
        where = slice_of(inside, axis, at_mm, middle, "bilinear") > 0.5
        shade = grid[row, 3].imshow(
            np.ma.masked_where(~where, percent), cmap="RdBu_r", vmin=-LARGEST_PERCENT, vmax=LARGEST_PERCENT, alpha=0.75
        )
        length = SCALE_BAR_MM / SPACING_MM
        grid[row, 0].plot([12, 12 + length], [before.shape[0] - 10] * 2, color="white", linewidth=2)
        grid[row, 0].text(12, before.shape[0] - 16, f"{SCALE_BAR_MM / 10:.0f} cm", color="white", fontsize=8)
    for name, (_, colour) in OUTLINED.items():
        grid[0, 2].plot([], [], color=colour, label=name)
    grid[0, 2].legend(loc="lower center", fontsize=8, frameon=False, labelcolor="white", ncols=2)
    figure.subplots_adjust(left=0.01, right=0.94, top=0.95, bottom=0.01, wspace=0.02, hspace=0.08)
    bar = figure.colorbar(shade, cax=figure.add_axes((0.95, 0.25, 0.012, 0.5)), extend="both")
    bar.ax.tick_params(colors="white", labelsize=8)
    bar.set_ticks([-30, -15, 0, 15, 30], labels=["-30 %", "-15 %", "0", "+15 %", "+30 %"])
    figure.savefig(out, dpi=110, facecolor="black")


if __name__ == "__main__":
    array, affine = read_labels(sys.argv[2])
    draw(read_volume(sys.argv[1]), Volume(array.astype(np.float32), affine, "labels"), Path(sys.argv[3]))
