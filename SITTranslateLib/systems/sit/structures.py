"""SIT on the structures of the scan: the smoothest velocity by which each structure changes as its course says.

The library's parcellation finds the structures, in one pass and without labels. The velocity of a course is that of
prescribed change (:mod:`SITTranslateLib.systems.prescribed.solver`) on these structures. Learned are the volume changes
that have to be asked of structures found like this for the true ones to change as the course says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib import fields
from SITTranslateLib.segmentation.parcellation import WEIGHTS, Parcellation, parcellated
from SITTranslateLib.systems.prescribed.motion import Surroundings, window_of
from SITTranslateLib.systems.prescribed.regions import REGIONS, shares_of_parcellation
from SITTranslateLib.systems.prescribed.solver import Solution, solve
from SITTranslateLib.systems.sit.courses import Course
from SITTranslateLib.volume import Grid, VectorField

REGION_OF_PART: dict[str, int] = {part: n for n, region in enumerate(REGIONS) for part, _ in region.parts}
"""Place in :data:`REGIONS` of each part."""
#: Decades at which the velocities of health and of the disease are solved for: they are exact there.
HEALTH_DECADES, DISEASE_DECADES = 2.0, 0.6


@cache
def parcellation_sha256() -> str:
    """Hash of the parcellation weights that come with the library."""
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()


def corners_of(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Affine of the corners of the voxels of a grid."""
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, :3] @ np.full(3, 0.5)
    return moved


def structure_features(image: Tensor) -> Tensor:
    """Probability of each class, and that sided tissue lies on the right ``(B, CLASS_COUNT + 1, K, J, I)``.

    Args:
        image: scans of 2 mm along R, A, S ``(B, 1, K, J, I)``.
    """
    found = [parcellated(scan[0].float().cpu().numpy()) for scan in image]
    stacked = np.stack([np.concatenate((one.classes, one.right[None])) for one in found])
    return torch.from_numpy(stacked).to(image.device)


def sampling_at_voxels(velocity: Tensor, affine: NDArray[np.float64]) -> Tensor:
    """Sampling field (mm) at the voxels of a grid of a velocity at their corners ``(1, 3, K + 1, J + 1, I + 1)``."""
    field = VectorField(velocity[0].permute(1, 2, 3, 0).cpu().numpy(), corners_of(affine))
    grid = Grid(tuple(n - 1 for n in field.array.shape[:3]), affine)  # type: ignore[arg-type]
    sampling = fields.resample_field(fields.exponential(field, -1.0), grid)
    return torch.from_numpy(np.ascontiguousarray(sampling.array.transpose(3, 0, 1, 2)))[None].to(velocity.device)


class StructureHead(nn.Module):
    """Velocities of courses for the structures of a scan.

    Attributes:
        log_ratios: logarithm of the volume ratio asked of each region over a decade of each course
            ``(courses, REGIONS)``.
    """

    def __init__(self, courses: Sequence[Course]) -> None:
        super().__init__()
        self.courses = tuple(courses)
        self.log_ratios = nn.Parameter(torch.zeros(len(self.courses), len(REGIONS)))

    @torch.no_grad()
    def forward(self, features: Tensor, values: Tensor, axes: NDArray[np.float64]) -> Tensor:
        """Velocity at the corners of voxels ``(B, 3, K + 1, J + 1, I + 1)``, mm.

        Args:
            features: :func:`structure_features`.
            values: decades by course ``(B, courses)``.
            axes: 3x3 of the grid of the features.
        """
        found = [self._velocity(one, value, axes) for one, value in zip(features, values, strict=True)]
        return torch.stack(found).to(features.device)

    def asked(self, values: Tensor, regions: Tensor) -> Tensor:
        """Logarithms of the volume ratios asked of regions ``(B, N)``; differentiable."""
        return (values @ self.log_ratios)[:, regions]

    def _velocity(self, features: Tensor, values: Tensor, axes: NDArray[np.float64]) -> Tensor:
        total = torch.zeros(3, *(n + 1 for n in features.shape[1:]))
        if not bool(values.any()):
            return total
        problem = _Problem(features.cpu().numpy(), axes)
        found: Solution | None = None
        for course, value, ratios in zip(self.courses, values.tolist(), self.log_ratios.cpu(), strict=True):
            if value:
                decades = DISEASE_DECADES if course.disease else HEALTH_DECADES
                decades = -decades if course.back else decades
                found = problem.solved(decades * ratios[problem.regions].double().numpy(), found)
                velocity = torch.from_numpy(np.ascontiguousarray(found.velocity.array.transpose(3, 0, 1, 2)))
                total[(slice(None), *problem.box)] += velocity * (value / decades)
        return total


class _Problem:
    """The structures of one scan as the solver takes them.

    Args:
        features: ``(CLASS_COUNT + 1, K, J, I)``.
        axes: 3x3 of their grid, isotropic along R, A, S.

    Raises:
        InputError: no brain is found.
    """

    def __init__(self, features: NDArray[np.float32], axes: NDArray[np.float64]) -> None:
        affine = np.eye(4)
        affine[:3, :3] = axes
        found = Parcellation(features[:-1], features[-1])
        shares = shares_of_parcellation(found, Grid(features.shape[1:], affine))  # type: ignore[arg-type]
        names = [name for name in shares.parts if not REGIONS[REGION_OF_PART[name]].thin]
        self.regions = [REGION_OF_PART[name] for name in names]
        around = Surroundings.LABELLED if found.has_skull(axes[0, 0]) else Surroundings.STRIPPED
        self.window = window_of(shares, around, hold_stem=True)
        self.stacked, self.grid = np.stack([shares.parts[name] for name in names]), shares.grid
        first = np.rint(shares.grid.affine[:3, 3] / axes[0, 0]).astype(int)[::-1]
        self.box = tuple(slice(at, at + n + 1) for at, n in zip(first, shares.grid.shape, strict=True))

    def solved(self, log_ratios: NDArray[np.float64], start: Solution | None) -> Solution:
        """The velocity in :attr:`box` of the corners of voxels whose flow gives each part its ratio."""
        return solve(self.stacked, np.exp(log_ratios), self.window, self.grid, start=start)
