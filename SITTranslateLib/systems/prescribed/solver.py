"""A diffeomorphism with prescribed volume changes by region.

The stationary velocity of least norm under one linear constraint a region, "the mean divergence in it is the logarithm
of its volume ratio", is a sum of as many fields as regions: ``v = W K * (W grad(sum_t a_t s_t))``, ``s_t`` the share of
region t in each voxel, ``K`` the kernel of the norm (Gaussians of 4, 8 and 16 mm), ``W`` a window that is 0 where
nothing may move. So there are as many unknowns as regions. The constraints are met for small changes; Newton steps with
Broyden's updates then correct the weights until the volumes that ``exp(v)`` realises, the integrals of its Jacobian
over each region, are the prescribed ones.

The velocity lives on nodes and the shares on the cells between them: the Jacobian of a cell is that of the linear
interpolation in it, and the gradient of a share is the adjoint of the divergence. With both on one grid, central
differences would reach over four voxels and miss thin structures by several points.

Norms and kernels: Dupuis, Grenander and Miller, Q Appl Math 1998;56:587. Stationary velocities: Arsigny et al., MICCAI
2006. Broyden, Math Comp 1965;19:577.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from SITTranslateLib import fields
from SITTranslateLib.volume import Grid, VectorField

KERNEL = ((4.0, 1.0), (8.0, 2.0), (16.0, 4.0))
"""Sigma in mm and weight of each Gaussian."""
TOLERANCE = 0.001
"""Largest error of a volume ratio at which the steps end."""
MOST_STEPS = 12
#: Margin for the kernel beyond the grid, mm, so that opposite sides do not overlap.
PADDING_MM = 20.0
#: Of the diagonal, added to it: keeps nearly parallel constraints apart.
RIDGE = 1e-4
#: Slices of a label map that are measured at a time.
SLAB = 8


@dataclass(frozen=True, eq=False)
class Solution:
    """A velocity and what it does.

    Attributes:
        velocity: mm, RAS, of the motion over the whole change.
        ratios: volume after over volume before, by region in the order of the constraints.
        folded: voxels of the grid with a Jacobian of 0 or less.
        steps: how many were taken.
        state: weights, and the slope of the logarithms of the ratios by them; to go on from.
    """

    velocity: VectorField
    ratios: NDArray[np.float64]
    folded: int
    steps: int
    state: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None


def solve(
    shares: NDArray[np.float32],
    ratios: NDArray[np.float64],
    window: NDArray[np.float32],
    cells: Grid,
    start: Solution | None = None,
    measured: Callable[[VectorField], NDArray[np.float64]] | None = None,
    tolerance: float = TOLERANCE,
    most_steps: int = MOST_STEPS,
) -> Solution:
    """The velocity whose flow gives each region its volume ratio.

    Args:
        shares: of each region in each cell ``(regions, K, J, I)``.
        ratios: volume after over volume before, ``(regions,)``.
        window: of the cells ``(K, J, I)``, 0 where nothing moves, 1 where everything may.
        cells: isotropic, along +R, +A, +S.
        start: solution to go on from.
        measured: volume ratios that a velocity realises, if not those of the cells.
        tolerance, most_steps: largest error of a ratio at which the steps end, and how many there are at most.

    Returns:
        The best of the steps; its ``ratios`` say how near it came.
    """
    targets = np.log(np.asarray(ratios, dtype=np.float64))
    nodes, spacing = nodes_of(cells), cells.spacing[0]
    still = VectorField(np.zeros((*nodes.shape, 3), np.float32), nodes.affine)
    if not np.any(np.abs(targets) > 1e-9):
        return Solution(still, np.ones(len(targets)), 0, 0)
    kernel = _Kernel(nodes.shape, spacing)
    at_nodes = _mean_of_cells(window)
    flat = shares.reshape(len(shares), -1)
    volumes = flat.sum(axis=1, dtype=np.float64)
    if start is not None and start.state is not None:
        weights, slope = start.state
        weights = weights + np.linalg.solve(slope, targets - np.log(start.ratios))
    else:
        slope = kernel.gram([_gradient(s, at_nodes, spacing) for s in shares]) / volumes[:, None]
        slope += RIDGE * np.diag(np.diag(slope))
        weights = np.linalg.solve(slope, targets)
    best: Solution | None = None
    before: tuple[NDArray, NDArray] | None = None
    for step in range(1, most_steps + 1):
        potential = (weights.astype(np.float32) @ flat).reshape(cells.shape)
        parts = [-at_nodes * kernel.smoothed(part) for part in _gradient(potential, at_nodes, spacing)]
        velocity = VectorField(np.stack(parts, axis=-1), nodes.affine)
        jacobian = cell_jacobian(fields.exponential(velocity).array, spacing)
        found = (flat @ jacobian.ravel()).astype(np.float64) / volumes if measured is None else measured(velocity)
        if not np.isfinite(found).all() or found.min() <= 0:
            weights = 0.5 * (weights + before[0]) if before is not None else 0.5 * weights
            continue
        solution = Solution(velocity, found, int(np.count_nonzero(jacobian <= 0)), step, (weights, slope.copy()))
        if best is None or _miss(solution, ratios) < _miss(best, ratios):
            best = solution
        if _miss(solution, ratios) < tolerance:
            break
        reached = np.log(found)
        if before is not None:
            change, answer = weights - before[0], reached - before[1]
            slope += np.outer(answer - slope @ change, change) / max(float(change @ change), 1e-30)
        before = weights, reached
        weights = weights + np.linalg.solve(slope, targets - reached)
    return best or Solution(still, np.ones(len(targets)), 0, most_steps)


def realised(velocity: VectorField, parts: NDArray[np.integer], grid: Grid, count: int) -> NDArray[np.float64]:
    """Volume ratio of each part of a map of numbers 0 to ``count - 1`` under the flow of a velocity, ``(count,)``.

    The integral of the Jacobian over the voxels of the map, however fine they are.
    """
    motion, nodes = fields.exponential(velocity), nodes_of(grid)
    to_steps = np.linalg.inv(grid.axes).T.astype(np.float32)
    sums, voxels = np.zeros(count), np.bincount(parts.ravel(), minlength=count)
    # Slab by slab: what a processor keeps near it is read faster.
    for first in range(0, len(parts), SLAB):
        slab = parts[first : first + SLAB]
        affine = nodes.affine.copy()
        affine[:3, 3] = nodes.to_world(np.array([0.0, 0.0, first]))
        own = Grid((len(slab) + 1, *nodes.shape[1:]), affine)
        # In steps of the map's own axes, so that its determinant is that of its own voxels.
        steps = fields.resample_field(motion, own).array @ to_steps
        sums += np.bincount(slab.ravel(), cell_jacobian(steps, 1.0).ravel(), count)
    return sums / np.maximum(voxels, 1)


def nodes_of(cells: Grid) -> Grid:
    """The grid of the corners of the cells."""
    affine = cells.affine.copy()
    affine[:3, 3] = cells.to_world(np.full(3, -0.5))
    return Grid(tuple(n + 1 for n in cells.shape), affine)  # type: ignore[arg-type]


def cell_jacobian(motion: NDArray[np.float32], spacing: float) -> NDArray[np.float32]:
    """Determinant in the middle of each cell of the linearly interpolated ``x + w(x)``: ``(K-1, J-1, I-1)``.

    Args:
        motion: displacement at the nodes ``(K, J, I, 3)``, mm along i, j, k.
        spacing: mm.
    """
    rows = [_derivatives(np.ascontiguousarray(motion[..., c]), spacing) for c in range(3)]
    for c in range(3):
        rows[c][c] += 1.0
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rows
    minors = yy * zz - yz * zy, yx * zz - yz * zx, yx * zy - yy * zx
    return np.asarray(xx * minors[0] - xy * minors[1] + xz * minors[2], dtype=np.float32)


def _miss(solution: Solution, ratios: NDArray) -> float:
    return float(np.abs(solution.ratios - ratios).max()) + (1.0 if solution.folded else 0.0)


def _mean(array: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    moved = np.moveaxis(array, axis, 0)
    return np.moveaxis(np.float32(0.5) * (moved[1:] + moved[:-1]), 0, axis)


def _difference(array: NDArray[np.float32], axis: int, spacing: float) -> NDArray[np.float32]:
    moved = np.moveaxis(array, axis, 0)
    return np.moveaxis((moved[1:] - moved[:-1]) * np.float32(1.0 / spacing), 0, axis)


def _derivatives(array: NDArray[np.float32], spacing: float) -> list[NDArray[np.float32]]:
    """Derivatives along i, j, k in the middles between the values, per mm; one shorter along each axis."""
    along_k, mean_k = _difference(array, 0, spacing), _mean(array, 0)
    mean_kj = _mean(mean_k, 1)
    return [
        _difference(mean_kj, 2, spacing),
        _mean(_difference(mean_k, 1, spacing), 2),
        _mean(_mean(along_k, 1), 2),
    ]


def _mean_of_cells(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """At each node the mean of the cells about it; 0 beyond the grid."""
    return _mean(_mean(_mean(np.pad(array, 1), 0), 1), 2)


def _gradient(cells: NDArray[np.float32], window: NDArray[np.float32], spacing: float) -> list[NDArray[np.float32]]:
    """``W grad s`` at the nodes along i, j, k, per mm, of values in the cells."""
    return [window * part for part in _derivatives(np.pad(cells, 1), spacing)]


class _Kernel:
    """Convolution with the kernel of the norm, by FFT on a padded grid."""

    def __init__(self, shape: tuple[int, int, int], spacing: float) -> None:
        self._shape = shape
        self._size = [fft.next_fast_len(n + int(PADDING_MM / spacing), real=True) for n in shape]
        k, j = (2 * np.pi * np.fft.fftfreq(n) / spacing for n in self._size[:2])
        i = 2 * np.pi * np.fft.rfftfreq(self._size[2]) / spacing
        square = (k[:, None, None] ** 2 + j[None, :, None] ** 2 + i[None, None, :] ** 2).astype(np.float32)
        self._transfer = sum(np.float32(w) * np.exp(-square * np.float32(s * s / 2)) for s, w in KERNEL)

    def smoothed(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """``K * a``."""
        spectrum = fft.rfftn(array, self._size, overwrite_x=True) * self._transfer
        inner = tuple(slice(n) for n in self._shape)
        return np.asarray(fft.irfftn(spectrum, self._size, overwrite_x=True)[inner], dtype=np.float32)

    def gram(self, gradients: list[list[NDArray[np.float32]]]) -> NDArray[np.float64]:
        """Inner products ``<g_s, K * g_t>`` of vector fields."""
        # Parseval: of a real array half of the spectrum is kept, and its inner columns count twice.
        twice = np.full(self._transfer.shape[2], 2.0, np.float32)
        twice[0] = 1.0
        if self._size[2] % 2 == 0:
            twice[-1] = 1.0
        root = np.sqrt(self._transfer * twice)
        # What the kernel takes away need not be multiplied.
        kept = root > 1e-3 * float(root.max())
        root = root[kept]
        spectra = [
            np.concatenate([(fft.rfftn(part, self._size)[kept] * root).view(np.float32) for part in gradient])
            for gradient in gradients
        ]
        matrix = np.stack(spectra)
        return np.asarray(matrix @ matrix.T, dtype=np.float64) / float(np.prod(self._size))
