"""The 2 mm grid that SIT and Plasticine are trained on, and coarser ones for trials."""

from __future__ import annotations

import numpy as np

from SITTranslateLib.volume import Grid

#: The network's grid: 2 mm, the whole brain with a margin for shifts.
SHAPE = (88, 104, 88)
SPACING_MM = 2.0


def training_axes(spacing_mm: float = SPACING_MM) -> np.ndarray:
    """3x3 of the training grid (RAS)."""
    return np.eye(3) * spacing_mm


def training_grid(centre: np.ndarray, spacing_mm: float = SPACING_MM) -> Grid:
    """The network's grid about a point in RAS mm; of other voxels, the same field of view in even numbers."""
    shape = tuple(2 * round(n * SPACING_MM / spacing_mm / 2) for n in SHAPE)
    return Grid.centred(centre, shape, spacing_mm)  # type: ignore[arg-type]
