"""Similarity of two scans: the local mutual information of a linear contrast.

In a window around each voxel the fixed scan J is fitted by ``q0 + q1 I`` of the moving scan I; half the logarithm of
what is left over is minus the mutual information of the two under Gaussian noise. This is local cross-correlation with
the noise of both scans, of either sign. The derivative is exact by the envelope theorem: the fitted q are optimal, so
only I itself counts. A parabola in place of the line had the same errors on T1w and T2w, at twice the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor


@dataclass(frozen=True)
class Pull:
    """Quadratic model of the similarity for a displacement d before sampling: minimise ``d.H d / 2 - d.force``.

    ``force`` is ``(1, 3, K, J, I)``; ``hessian`` ``(1, 6, K, J, I)`` holds xx, xy, xz, yy, yz, zz.
    """

    force: Tensor
    hessian: Tensor


def mean_pull(pulls: Sequence[Pull]) -> Pull:
    """Mean over several images with equal weight."""
    return Pull(sum(p.force for p in pulls) / len(pulls), sum(p.hessian for p in pulls) / len(pulls))  # type: ignore[arg-type]


class LocalContrast:
    """The similarity of moving scans with one fixed scan.

    Args:
        fixed: ``(1, 1, K, J, I)``, about unit variance.
        radius: of the window, voxels.
        noise: variance of the noise of the fixed scan.
        spacing: of the isotropic grid, mm.
        block: voxels along each axis that share one force and one matrix.
    """

    def __init__(self, fixed: Tensor, radius: int, noise: float, spacing: float, block: int = 1) -> None:
        self._fixed, self._noise, self._spacing, self._block = fixed, noise, spacing, block
        self._window = Window(tuple(fixed.shape[2:]), radius, fixed.device)
        self._mean, square = self._window.mean(torch.cat((fixed, fixed * fixed), dim=1)).split(1, dim=1)
        self._variance = (square - self._mean**2).clamp(min=0)

    def pull(self, moving: Tensor, noise: float) -> Pull:
        """Force and Gauss-Newton matrix of each block for a scan ``(1, 1, K, J, I)`` with noise of this variance."""
        mean = self._window.mean
        m1, m2, m12 = mean(torch.cat((moving, moving * moving, moving * self._fixed), dim=1)).split(1, dim=1)
        # Noise of I is noise of the regressor: it belongs on the diagonal, as a ridge.
        covariance = m12 - m1 * self._mean
        q1 = covariance / ((m2 - m1 * m1).clamp(min=0) + noise)
        weight = q1 / ((self._variance - q1 * covariance).clamp(min=0) + self._noise)
        # Sums over all windows that hold a voxel: of q1 times the misfit, and of q1 squared.
        w1, w0, slope = mean(torch.cat((weight, weight * (self._mean - q1 * m1), weight * q1), dim=1)).split(1, dim=1)
        misfit = w1 * self._fixed - w0 - moving * slope
        gradient = [torch.gradient(moving, spacing=self._spacing, dim=dim)[0] for dim in (4, 3, 2)]
        force = torch.cat([self._pooled(-misfit * g) for g in gradient], dim=1)
        steep = [slope * g for g in gradient]
        pairs = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        return Pull(force, torch.cat([self._pooled(steep[a] * gradient[b]) for a, b in pairs], dim=1))

    def _pooled(self, image: Tensor) -> Tensor:
        return image if self._block == 1 else functional.avg_pool3d(image, self._block)


class Window:
    """Means over cubes of ``2 radius + 1`` voxels, border repeated: one banded matrix an axis.

    A matrix product goes over the volume once; shifted sums do so for each voxel of the window.
    """

    def __init__(self, shape: tuple[int, ...], radius: int, device: torch.device) -> None:
        self._axes = [_band(count, radius).to(device) for count in shape]

    def mean(self, images: Tensor) -> Tensor:
        """Of each channel ``(1, n, K, J, I)``."""
        k, j, i = self._axes
        return (k @ (j @ (images @ i.T)).flatten(3)).view(images.shape)


def _band(count: int, radius: int) -> Tensor:
    matrix, row = torch.zeros(count, count), torch.arange(count)
    share = torch.full((count,), 1.0 / (2 * radius + 1))
    for shift in range(-radius, radius + 1):
        matrix.index_put_((row, (row + shift).clamp(0, count - 1)), share, accumulate=True)
    return matrix


def noise_variance(image: Tensor) -> float:
    """Variance of the noise of a scan, from what differs between neighbours in its bright part (robust)."""
    inner = image[0, 0, 1:-1, 1:-1, 1:-1]
    neighbours = sum(image[0, 0].roll(step, dim)[1:-1, 1:-1, 1:-1] for dim in range(3) for step in (1, -1))
    difference = (6.0 * inner - neighbours) / 42**0.5
    bright = difference[inner > inner.mean()]
    return float((bright.abs().median() / 0.6745) ** 2) if bright.numel() else 0.0
