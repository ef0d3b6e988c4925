"""Similarity of two scans: the local mutual information of a polynomial contrast.

In a window around each voxel the fixed scan J is fitted by ``q0 + q1 I + q2 I^2`` of the moving scan I; half the
logarithm of what is left over is minus the mutual information of the two under Gaussian noise. With ``q2 = 0`` this is
local cross-correlation; the square lets three tissues of a window have any order of brightness (T1w against T2w).
The derivative is exact by the envelope theorem: the fitted q are optimal, so only I itself counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from SITTranslateLib.fields import tensors


@dataclass(frozen=True)
class Pull:
    """Quadratic model of the similarity for a displacement d before sampling: minimise ``d.H d / 2 - d.force``.

    ``force`` is ``(1, 3, K, J, I)``; ``hessian`` ``(1, 6, K, J, I)`` holds xx, xy, xz, yy, yz, zz.
    """

    force: Tensor
    hessian: Tensor

    def pooled(self, factor: int) -> Pull:
        """Averaged over blocks of voxels."""
        if factor == 1:
            return self
        return Pull(functional.avg_pool3d(self.force, factor), functional.avg_pool3d(self.hessian, factor))


def mean_pull(pulls: Sequence[Pull]) -> Pull:
    """Mean over several images with equal weight."""
    return Pull(sum(p.force for p in pulls) / len(pulls), sum(p.hessian for p in pulls) / len(pulls))  # type: ignore[arg-type]


class LocalContrast:
    """The similarity of moving scans with one fixed scan.

    Args:
        fixed: ``(1, 1, K, J, I)``, about unit variance.
        radius: of the window, voxels.
        noise: variance of the noise of the fixed scan.
    """

    def __init__(self, fixed: Tensor, radius: int, noise: float) -> None:
        self._fixed, self._radius, self._noise = fixed, radius, noise
        self._mean = box_mean(fixed, radius)
        self._variance = (box_mean(fixed * fixed, radius) - self._mean**2).clamp(min=0)

    def pull(self, moving: Tensor, noise: float, axes: NDArray[np.float64]) -> Pull:
        """Force and Gauss-Newton matrix for moving scan ``(1, 1, K, J, I)`` whose noise has this variance."""

        def mean(x: Tensor) -> Tensor:
            return box_mean(x, self._radius)

        i, j, squared = moving, self._fixed, moving * moving
        m1, m2 = mean(i), mean(squared)
        c11 = (m2 - m1 * m1).clamp(min=0)
        c12 = mean(squared * i) - m1 * m2
        c22 = (mean(squared * squared) - m2 * m2).clamp(min=0)
        b1, b2 = mean(i * j) - m1 * self._mean, mean(squared * j) - m2 * self._mean
        # Noise of I is noise of both regressors (d(I^2) = 2 I dI): it belongs on the diagonal, as a ridge.
        a11, a12 = c11 + noise, c12 + 2 * m1 * noise
        a22 = 1.02 * (c22 + 4 * m2 * noise + 2 * noise * noise + 1e-6)
        determinant = (a11 * a22 - a12 * a12).clamp(min=1e-12)
        q1, q2 = (a22 * b1 - a12 * b2) / determinant, (a11 * b2 - a12 * b1) / determinant
        weight = 1.0 / ((self._variance - q1 * b1 - q2 * b2).clamp(min=0) + self._noise)
        q0 = self._mean - q1 * m1 - q2 * m2
        # Sums over all windows that hold a voxel: of h'(I) times the misfit, and of h'(I) squared.
        w1, w2 = weight * q1, weight * q2
        w11, w12, w22 = mean(w1 * q1), mean(w1 * q2), mean(w2 * q2)
        misfit = (
            mean(w1) * j
            + 2 * mean(w2) * i * j
            - mean(w1 * q0)
            - i * (w11 + 2 * mean(w2 * q0))
            - 3 * squared * w12
            - 2 * squared * i * w22
        )
        slope = (w11 + 4 * i * w12 + 4 * squared * w22).clamp(min=0)
        gradient = tensors.gradient(i, axes)[:, 0]
        x, y, z = gradient[:, 0:1], gradient[:, 1:2], gradient[:, 2:3]
        products = torch.cat((x * x, x * y, x * z, y * y, y * z, z * z), dim=1)
        return Pull(-misfit * gradient, slope * products)


def box_mean(image: Tensor, radius: int) -> Tensor:
    """Mean over a cube of ``2 radius + 1`` voxels, border repeated."""
    for dim in (2, 3, 4):
        padding = [0] * 6
        padding[2 * (4 - dim)] = padding[2 * (4 - dim) + 1] = radius
        padded = functional.pad(image, padding, mode="replicate")
        size = image.shape[dim]
        total = padded.narrow(dim, 0, size).clone()
        for start in range(1, 2 * radius + 1):
            total += padded.narrow(dim, start, size)
        image = total / (2 * radius + 1)
    return image


def noise_variance(image: Tensor) -> float:
    """Variance of the noise of a scan, from what differs between neighbours in its bright part (robust)."""
    inner = image[0, 0, 1:-1, 1:-1, 1:-1]
    neighbours = sum(image[0, 0].roll(step, dim)[1:-1, 1:-1, 1:-1] for dim in range(3) for step in (1, -1))
    difference = (6.0 * inner - neighbours) / 42**0.5
    bright = difference[inner > inner.mean()]
    return float((bright.abs().median() / 0.6745) ** 2) if bright.numel() else 0.0
