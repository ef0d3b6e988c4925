"""The 2 mm grid that SIT and Plasticine are trained on."""

from __future__ import annotations

import numpy as np

from SITTranslateLib.volume import Grid

#: The network's grid: 2 mm, the whole brain with a margin for shifts.
SHAPE = (88, 104, 88)
SPACING_MM = 2.0


def training_axes() -> np.ndarray:
    """3x3 of the training grid (RAS, 2 mm)."""
    return np.eye(3) * SPACING_MM


def training_grid(centre: np.ndarray) -> Grid:
    """The network's grid about a point in RAS mm."""
    return Grid.centred(centre, SHAPE, SPACING_MM)
