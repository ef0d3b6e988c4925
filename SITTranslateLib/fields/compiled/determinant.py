"""Jacobian determinant of a displacement in one pass, without stored derivatives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.fields.compiled.compiling import kernel
from SITTranslateLib.fields.compiled.reading import F

Field = NDArray[np.float32]
Matrix = NDArray[np.float32]


@kernel
def jacobian(first: int, last: int, motion: Field, axes: Matrix, inverse_volume: np.float32, target: Field) -> None:
    """Layers of ``det D(x + w(x))``: central differences inside, one-sided at the edge.

    With ``g`` the change of ``w`` per index step and ``A`` the grid's axes, ``det(1 + g A^-1) = det(A + g) / det A``.
    """
    layers, rows, columns, _ = motion.shape
    m = np.empty((3, 3), F)
    for k in range(first, last):
        k0, k2 = max(k - 1, 0), min(k + 1, layers - 1)
        hk = F(1) / F(max(k2 - k0, 1))
        for j in range(rows):
            j0, j2 = max(j - 1, 0), min(j + 1, rows - 1)
            hj = F(1) / F(max(j2 - j0, 1))
            _row(motion, k, j, k0, k2, j0, j2, hk, hj, axes, inverse_volume, target)
            for i in (0, columns - 1):
                i0, i2 = max(i - 1, 0), min(i + 1, columns - 1)
                hi = F(1) / F(max(i2 - i0, 1))
                a, b, c = motion[k, j, i0], motion[k, j0, i], motion[k0, j, i]
                d, e, f = motion[k, j, i2], motion[k, j2, i], motion[k2, j, i]
                for n in range(3):
                    m[n, 0] = axes[n, 0] + hi * (d[n] - a[n])
                    m[n, 1] = axes[n, 1] + hj * (e[n] - b[n])
                    m[n, 2] = axes[n, 2] + hk * (f[n] - c[n])
                target[k, j, i] = inverse_volume * (
                    m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
                    - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
                    + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
                )


@kernel
def _row(
    w: Field,
    k: int,
    j: int,
    k0: int,
    k2: int,
    j0: int,
    j2: int,
    hk: np.float32,
    hj: np.float32,
    axes: Matrix,
    inverse_volume: np.float32,
    target: Field,
) -> None:
    """All but the ends of a row."""
    a00, a01, a02 = axes[0, 0], axes[0, 1], axes[0, 2]
    a10, a11, a12 = axes[1, 0], axes[1, 1], axes[1, 2]
    a20, a21, a22 = axes[2, 0], axes[2, 1], axes[2, 2]
    half = F(0.5)
    for i in range(1, w.shape[2] - 1):
        m00 = a00 + half * (w[k, j, i + 1, 0] - w[k, j, i - 1, 0])
        m10 = a10 + half * (w[k, j, i + 1, 1] - w[k, j, i - 1, 1])
        m20 = a20 + half * (w[k, j, i + 1, 2] - w[k, j, i - 1, 2])
        m01 = a01 + hj * (w[k, j2, i, 0] - w[k, j0, i, 0])
        m11 = a11 + hj * (w[k, j2, i, 1] - w[k, j0, i, 1])
        m21 = a21 + hj * (w[k, j2, i, 2] - w[k, j0, i, 2])
        m02 = a02 + hk * (w[k2, j, i, 0] - w[k0, j, i, 0])
        m12 = a12 + hk * (w[k2, j, i, 1] - w[k0, j, i, 1])
        m22 = a22 + hk * (w[k2, j, i, 2] - w[k0, j, i, 2])
        target[k, j, i] = inverse_volume * (
            m00 * (m11 * m22 - m12 * m21) - m01 * (m10 * m22 - m12 * m20) + m02 * (m10 * m21 - m11 * m20)
        )
