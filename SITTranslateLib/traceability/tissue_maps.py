"""Tissue maps of a scan on any grid: probabilities that do not depend on its contrast."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from SITTranslateLib import fields
from SITTranslateLib.fields import tensors
from SITTranslateLib.segmentation import SPACING_MM, normalised
from SITTranslateLib.segmentation.maps import shows_a_brain, tissue_probabilities
from SITTranslateLib.segmentation.refinement import refined
from SITTranslateLib.volume import Grid, Volume

MULTIPLE = 8
"""Sizes of the grid are multiples of this, which the network and the levels of a registration like."""


def upright_grid(low: NDArray[np.float64], high: NDArray[np.float64], spacing: float = SPACING_MM) -> Grid:
    """Grid of cubic voxels along R, A, S about the box between two RAS corners (mm)."""
    size = np.maximum(1, np.ceil((high - low) / spacing / MULTIPLE)).astype(int) * MULTIPLE
    affine = np.diag((spacing, spacing, spacing, 1.0))
    affine[:3, 3] = 0.5 * (low + high) - spacing * (size - 1) / 2.0
    return Grid(tuple(int(n) for n in size[::-1]), affine)  # type: ignore[arg-type]


def on_grid(scan: Volume, grid: Grid) -> Tensor:
    """A scan averaged to about the grid's resolution and read on it ``(1, 1, K, J, I)``."""
    spacing = min(grid.spacing)
    sigma = tuple(0.4 * float(np.sqrt(max(0.0, spacing**2 - s**2))) / s for s in reversed(scan.spacing))
    image = torch.from_numpy(scan.array)[None, None]
    smooth = tensors.gaussian(image, sigma) if max(sigma) > 0.2 else image  # type: ignore[arg-type]
    return torch.from_numpy(fields.resample_volume(scan.with_array(smooth[0, 0].numpy()), grid).array)[None, None]


def tissues_of(scan: Tensor, device: str | torch.device = "cpu") -> tuple[Tensor, Tensor] | None:
    """Probabilities ``(1, classes, K, J, I)`` of a scan on an upright grid of 2 mm, or None where no brain is found.

    Returns:
        What the network expects of a place, and what the scan's brightness says there.
    """
    expected = tissue_probabilities(scan, device)
    if not shows_a_brain(expected, SPACING_MM):
        return None
    seen = torch.from_numpy(normalised(scan[0, 0].cpu().numpy()))[None, None].to(expected.device)
    return expected, refined(expected, seen)
