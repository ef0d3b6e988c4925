"""What is measured on: a random stationary velocity smooth to 3 mm and up to 8 mm long, and a random scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.volume import Grid, VectorField, Volume

SMOOTH_MM = 3.0
LONGEST_MM = 8.0
#: RAS axes of a scan stored as LPS, 1 mm: peers in voxels and SimpleITK (LPS) see the same numbers up to signs.
UPRIGHT = np.diag([-1.0, -1.0, 1.0, 1.0])
LPS = np.array([-1.0, -1.0, 1.0], np.float32)


@dataclass(frozen=True)
class Inputs:
    """Everything on one grid, float32."""

    grid: Grid
    velocity: VectorField
    image: Volume

    @property
    def voxels(self) -> int:
        return int(np.prod(self.grid.shape))

    @property
    def margin(self) -> int:
        """Voxels from the border within which peers that pad with zeros are wrong."""
        return min(12, min(self.grid.shape) // 4)

    def inside(self, array: np.ndarray) -> np.ndarray:
        """The part that every peer computes."""
        m = self.margin
        return array[m:-m, m:-m, m:-m]


def make_inputs(shape: tuple[int, int, int], seed: int = 0) -> Inputs:
    """Reproducible inputs of any shape."""
    rng = np.random.default_rng(seed)
    grid = Grid(shape, UPRIGHT)
    velocity = fields.band_limit(
        VectorField(rng.standard_normal((*shape, 3), dtype=np.float32), grid.affine), SMOOTH_MM
    )
    longest = float(velocity.magnitude().max())
    velocity = VectorField(velocity.array * np.float32(LONGEST_MM / longest), grid.affine)
    return Inputs(grid, velocity, Volume(rng.standard_normal(shape, dtype=np.float32), grid.affine, "scan"))
