"""Scans and what a model makes of them, for docs/cross-contrast.md, docs/diffusion.md and docs/plasticine.md.

    python docs/_site/draw_translation.py MODEL OUT.png SCAN TRUTH [SCAN TRUTH ...]

``-`` stands for a truth that there is not; ``FLAIR=TRUTH`` asks a model of several targets for one. A model with an
age is asked for today and for 20 years later. CT is shown in a window for bone and one for the brain, with the
segmentation if the model gives one; other images each in a window of their own. Axial and coronal through the middle of
the brain.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import SITTranslateLib as sit
from SITTranslateLib.translate.head import background_of, locate_head, resample_itk
from SITTranslateLib.volume import Grid, Volume

GRID = ((200, 220, 180), 1.0)
BONE, BRAIN = (-1000.0, 1600.0), (-20.0, 100.0)


class Panel(NamedTuple):
    """An image and how it is shown."""

    title: str
    image: np.ndarray
    window: tuple[float, float]
    colours: str = "gray"


def main(model: str, out: Path, files: list[str]) -> None:
    rows = [panels(model, Path(scan), truth) for scan, truth in zip(files[::2], files[1::2], strict=True)]
    columns = 2 * max(len(row) for row in rows)
    figure, axes = plt.subplots(len(rows), columns, figsize=(2.5 * columns, 3.2 * len(rows)), facecolor="black")
    for row, line in zip(rows, np.atleast_2d(axes), strict=True):
        k, j = row[0].image.shape[0] // 2 + 8, row[0].image.shape[1] // 2
        views = [p.image[k, ::-1, ::-1] for p in row] + [p.image[::-1, j, ::-1] for p in row]
        for axis in line:
            axis.axis("off")
        for axis, view, panel in zip(line, views, row * 2, strict=False):
            axis.imshow(view, cmap=panel.colours, vmin=panel.window[0], vmax=panel.window[1], interpolation="nearest")
            axis.set_title(panel.title, color="white", fontsize=10)
    figure.tight_layout(pad=0.8)
    figure.savefig(out, dpi=72)


def panels(model: str, scan: Path, truth: str) -> list[Panel]:
    source = sit.read_volume(scan)
    target, _, truth = truth.rpartition("=")
    result = sit.translate(source, model=model, device="cpu", **({"target": target} if target else {}))
    centre = locate_head(source).centre
    shown = on_grid(source, centre)
    found = [Panel("scan", shown, window_of(shown))]
    made = on_grid(result.translated, centre)
    if "age" in result.provenance.attributes:
        # Nobody grows older unasked.
        later = on_grid(sit.translate(source, model=model, device="cpu", age=20).translated, centre)
        found += [Panel("translated, today", made, window_of(made)), Panel("20 years older", later, window_of(later))]
    elif np.percentile(made, 1) < BONE[0] / 2:
        found += [Panel("translated, bone", made, BONE), Panel("translated, brain", made, BRAIN)]
    else:
        found += [Panel(f"translated, {target}" if target else "translated", made, window_of(made))]
    if "segmentation" in result.extras:
        labels = np.rint(on_grid(result.extras["segmentation"], centre))
        found += [Panel("its segmentation", labels, (0.0, 5.0), "nipy_spectral")]
    if truth != "-":
        image = on_grid(sit.read_volume(truth), centre)
        found += [Panel("true target", image, window_of(image))]
    return found


def on_grid(volume: Volume, centre: np.ndarray) -> np.ndarray:
    return resample_itk(volume, Grid.centred(centre, *GRID), background_of(volume.array)).array


def window_of(image: np.ndarray) -> tuple[float, float]:
    inside = image[image != image.flat[0]]
    low = float(np.percentile(inside, 0.5))
    # Only CT has something to show below 0; elsewhere that is the ringing of an edge.
    return low if low < BONE[0] / 2 else 0.0, float(np.percentile(inside, 99.7))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
