"""SSIM voxel by voxel from its definition, to hold the fast one against."""

from __future__ import annotations

import numpy as np


def slow_ssim(x: np.ndarray, y: np.ndarray, mask: np.ndarray, span: float, sigma: float = 1.5) -> float:
    radius = int(3.5 * sigma + 0.5)
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    line /= line.sum()
    kernel = line[:, None, None] * line[None, :, None] * line[None, None, :]
    padded = [np.pad(v.astype(np.float64), radius, mode="symmetric") for v in (x, y)]
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    values = []
    for k, j, i in np.argwhere(mask)[::97]:
        a, b = (v[k : k + 2 * radius + 1, j : j + 2 * radius + 1, i : i + 2 * radius + 1] for v in padded)
        ma, mb = (kernel * a).sum(), (kernel * b).sum()
        va, vb = (kernel * a * a).sum() - ma**2, (kernel * b * b).sum() - mb**2
        cov = (kernel * a * b).sum() - ma * mb
        values.append((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return float(np.mean(values))
