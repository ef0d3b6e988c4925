"""Linear and nearest interpolation along one row of positions; the border value is repeated outside.

A row is read in two steps, so that the arithmetic of the first is vectorised: where (cell and fractions), then what.
Cell numbers are clamped as integers too: whatever the positions hold, no memory outside the volume is touched.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.fields.compiled.compiling import kernel

F = np.float32
U = np.uint32
Row = NDArray[np.float32]
Cells = NDArray[np.uint32]


@kernel
def locate_row(x: Row, y: Row, z: Row, shape: tuple[int, int, int], cells: Cells) -> None:
    """Positions (voxels) become fractions in place; ``cells`` receives the number of the cell's first voxel."""
    layers, rows, columns = shape
    right, top, far = F(columns - 1), F(rows - 1), F(layers - 1)
    last_i, last_j, last_k = U(max(columns - 2, 0)), U(max(rows - 2, 0)), U(max(layers - 2, 0))
    row_step, layer_step = U(columns), U(rows * columns)
    for i in range(x.size):
        xi = min(max(x[i], F(0)), right)
        yi = min(max(y[i], F(0)), top)
        zi = min(max(z[i], F(0)), far)
        a = min(U(xi), last_i)
        b = min(U(yi), last_j)
        c = min(U(zi), last_k)
        cells[i] = U(U(c * layer_step) + U(b * row_step)) + a
        x[i] = xi - F(a)
        y[i] = yi - F(b)
        z[i] = zi - F(c)


@kernel
def read_row(flat: Row, shape: tuple[int, int, int], cells: Cells, x: Row, y: Row, z: Row, out: Row) -> None:
    """Linear values of a scalar volume at located positions."""
    layers, rows, columns = shape
    right = U(1 if columns > 1 else 0)
    up = U(columns if rows > 1 else 0)
    deep = U(rows * columns if layers > 1 else 0)
    for i in range(out.size):
        fx, fy, fz, p = x[i], y[i], z[i], cells[i]
        a, b = flat[p], flat[U(p + up)]
        c, d = flat[U(p + deep)], flat[U(p + U(deep + up))]
        q = U(p + right)
        a += fx * (flat[q] - a)
        b += fx * (flat[U(q + up)] - b)
        c += fx * (flat[U(q + deep)] - c)
        d += fx * (flat[U(q + U(deep + up))] - d)
        a += fy * (b - a)
        c += fy * (d - c)
        out[i] = a + fz * (c - a)


@kernel
def read_vector_row(
    flat: Row, shape: tuple[int, int, int], cells: Cells, x: Row, y: Row, z: Row, out: NDArray[np.float32]
) -> None:
    """Linear vectors ``(n, 3)`` of a field stored with its three components together."""
    layers, rows, columns = shape
    right = U(3 if columns > 1 else 0)
    up = U(3 * columns if rows > 1 else 0)
    deep = U(3 * rows * columns if layers > 1 else 0)
    for i in range(x.size):
        fx, fy, fz = x[i], y[i], z[i]
        start = U(U(3) * cells[i])
        for component in range(3):
            p = U(start + U(component))
            a, b = flat[p], flat[U(p + up)]
            c, d = flat[U(p + deep)], flat[U(p + U(deep + up))]
            q = U(p + right)
            a += fx * (flat[q] - a)
            b += fx * (flat[U(q + up)] - b)
            c += fx * (flat[U(q + deep)] - c)
            d += fx * (flat[U(q + U(deep + up))] - d)
            a += fy * (b - a)
            c += fy * (d - c)
            out[i, component] = a + fz * (c - a)


@kernel
def read_nearest_row(flat: Row, shape: tuple[int, int, int], x: Row, y: Row, z: Row, out: Row) -> None:
    """Values of the nearest voxels at positions (halves to even, as torch does)."""
    layers, rows, columns = shape
    right, top, far = F(columns - 1), F(rows - 1), F(layers - 1)
    last_i, last_j, last_k = U(columns - 1), U(rows - 1), U(layers - 1)
    row_step, layer_step = U(columns), U(rows * columns)
    for i in range(out.size):
        a = min(U(np.rint(min(max(x[i], F(0)), right))), last_i)
        b = min(U(np.rint(min(max(y[i], F(0)), top))), last_j)
        c = min(U(np.rint(min(max(z[i], F(0)), far))), last_k)
        out[i] = flat[U(U(U(c * layer_step) + U(b * row_step)) + a)]
