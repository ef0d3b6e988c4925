"""Scaling and squaring: from a velocity in mm to a displacement in mm, in voxel units internally.

A squaring replaces ``w`` by ``w(x) + w(x + w(x))``. Where no vector of a row is longer than a voxel (all but the last
squarings), linear reading is a weighted sum of the 27 neighbours whose addresses are known without looking at the
vectors: a loop over contiguous memory that vectorises. Other rows are read cell by cell. Both give the same numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.fields.compiled.compiling import kernel, kernel_of_finite_numbers
from SITTranslateLib.fields.compiled.reading import Cells, F, Row, locate_row, read_row

Field = NDArray[np.float32]
Matrix = NDArray[np.float32]


@kernel
def to_voxels(first: int, last: int, field: Field, matrix: Matrix, target: Field, longest: Row) -> None:
    """Vectors in mm ``(K, J, I, 3)`` to index steps ``(3, K, J, I)``.

    ``longest[k]`` receives the largest step of a layer along any axis; infinity if one is NaN or infinite.
    """
    for k in range(first, last):
        largest, wild = F(0), 0
        for j in range(field.shape[1]):
            for i in range(field.shape[2]):
                r, a, s = field[k, j, i, 0], field[k, j, i, 1], field[k, j, i, 2]
                x = matrix[0, 0] * r + matrix[0, 1] * a + matrix[0, 2] * s
                y = matrix[1, 0] * r + matrix[1, 1] * a + matrix[1, 2] * s
                z = matrix[2, 0] * r + matrix[2, 1] * a + matrix[2, 2] * s
                target[0, k, j, i] = x
                target[1, k, j, i] = y
                target[2, k, j, i] = z
                # Comparisons with NaN are false.
                wild += not abs(x) + abs(y) + abs(z) < F(np.inf)
            largest = max(largest, _reach(target, F(1), k, j))
        longest[k] = F(np.inf) if wild else largest


@kernel
def to_millimetres(first: int, last: int, source: Field, scale: np.float32, axes: Matrix, target: Field) -> None:
    """Index steps ``(3, K, J, I)`` times ``scale`` to vectors in mm ``(K, J, I, 3)``."""
    for k in range(first, last):
        for j in range(source.shape[2]):
            _row_to_millimetres(source, k, j, scale, axes, target[k, j])


@kernel
def square(first: int, last: int, source: Field, scale: np.float32, near: bool, target: Field) -> None:
    """Layers of ``w(x) + w(x + w(x))`` with ``w = scale * source``, in index steps ``(3, K, J, I)``.

    ``near`` promises that no step is longer than a voxel along any axis, which spares looking.
    """
    scratch, cells = np.empty((3, source.shape[3]), F), np.empty(source.shape[3], np.uint32)
    for k in range(first, last):
        for j in range(source.shape[2]):
            _square_row(source, scale, near, k, j, target, k, j, scratch, cells)


@kernel
def square_to_millimetres(
    first: int, last: int, source: Field, scale: np.float32, near: bool, axes: Matrix, target: Field
) -> None:
    """The last squaring: as :func:`square`, to vectors in mm ``(K, J, I, 3)``."""
    columns = source.shape[3]
    scratch, cells, row = np.empty((3, columns), F), np.empty(columns, np.uint32), np.empty((3, 1, 1, columns), F)
    for k in range(first, last):
        for j in range(source.shape[2]):
            _square_row(source, scale, near, k, j, row, 0, 0, scratch, cells)
            _row_to_millimetres(row, 0, 0, F(1), axes, target[k, j])


@kernel
def _row_to_millimetres(row: Field, k: int, j: int, scale: np.float32, axes: Matrix, target: Field) -> None:
    for i in range(row.shape[3]):
        x, y, z = scale * row[0, k, j, i], scale * row[1, k, j, i], scale * row[2, k, j, i]
        target[i, 0] = axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z
        target[i, 1] = axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z
        target[i, 2] = axes[2, 0] * x + axes[2, 1] * y + axes[2, 2] * z


@kernel
def _square_row(
    source: Field,
    scale: np.float32,
    near: bool,
    k: int,
    j: int,
    target: Field,
    layer: int,
    row: int,
    scratch: Field,
    cells: Cells,
) -> None:
    """One row of the squared field, into row ``(layer, row)`` of ``target``."""
    columns = source.shape[3]
    if near or _reach(source, scale, k, j) <= F(1):
        _near(source, scale, k, j, target, layer, row)
        _voxel(source, scale, k, j, 0, target, layer, row)
        _voxel(source, scale, k, j, columns - 1, target, layer, row)
    else:
        _far(source, scale, k, j, target, layer, row, scratch, cells)


@kernel_of_finite_numbers
def _reach(source: Field, scale: np.float32, k: int, j: int) -> np.float32:
    """The largest step of a row along any axis."""
    largest = F(0)
    for component in range(3):
        for i in range(source.shape[3]):
            largest = max(largest, abs(source[component, k, j, i]))
    return abs(scale) * largest


@kernel_of_finite_numbers
def _near(source: Field, scale: np.float32, k: int, j: int, target: Field, layer: int, row: int) -> None:
    """All but the ends of a row whose vectors are no longer than a voxel along any axis."""
    _, layers, rows, columns = source.shape
    k0, k2 = max(k - 1, 0), min(k + 1, layers - 1)
    j0, j2 = max(j - 1, 0), min(j + 1, rows - 1)
    for n in range(3):
        for i in range(1, columns - 1):
            x, y, z = scale * source[0, k, j, i], scale * source[1, k, j, i], scale * source[2, k, j, i]
            x0, y0, z0 = max(-x, F(0)), max(-y, F(0)), max(-z, F(0))
            x2, y2, z2 = max(x, F(0)), max(y, F(0)), max(z, F(0))
            x1, y1, z1 = F(1) - x0 - x2, F(1) - y0 - y2, F(1) - z0 - z2
            a, c = i - 1, i + 1
            value = z0 * (
                y0 * (x0 * source[n, k0, j0, a] + x1 * source[n, k0, j0, i] + x2 * source[n, k0, j0, c])
                + y1 * (x0 * source[n, k0, j, a] + x1 * source[n, k0, j, i] + x2 * source[n, k0, j, c])
                + y2 * (x0 * source[n, k0, j2, a] + x1 * source[n, k0, j2, i] + x2 * source[n, k0, j2, c])
            )
            value += z1 * (
                y0 * (x0 * source[n, k, j0, a] + x1 * source[n, k, j0, i] + x2 * source[n, k, j0, c])
                + y1 * (x0 * source[n, k, j, a] + x1 * source[n, k, j, i] + x2 * source[n, k, j, c])
                + y2 * (x0 * source[n, k, j2, a] + x1 * source[n, k, j2, i] + x2 * source[n, k, j2, c])
            )
            value += z2 * (
                y0 * (x0 * source[n, k2, j0, a] + x1 * source[n, k2, j0, i] + x2 * source[n, k2, j0, c])
                + y1 * (x0 * source[n, k2, j, a] + x1 * source[n, k2, j, i] + x2 * source[n, k2, j, c])
                + y2 * (x0 * source[n, k2, j2, a] + x1 * source[n, k2, j2, i] + x2 * source[n, k2, j2, c])
            )
            target[n, layer, row, i] = scale * (source[n, k, j, i] + value)


@kernel
def _voxel(source: Field, scale: np.float32, k: int, j: int, i: int, target: Field, layer: int, row: int) -> None:
    """A single voxel, by its cell."""
    _, layers, rows, columns = source.shape
    x = min(max(F(i) + scale * source[0, k, j, i], F(0)), F(columns - 1))
    y = min(max(F(j) + scale * source[1, k, j, i], F(0)), F(rows - 1))
    z = min(max(F(k) + scale * source[2, k, j, i], F(0)), F(layers - 1))
    a, b, c = int(x), int(y), int(z)
    a1, b1, c1 = min(a + 1, columns - 1), min(b + 1, rows - 1), min(c + 1, layers - 1)
    fx, fy, fz = x - F(a), y - F(b), z - F(c)
    for n in range(3):
        near = (F(1) - fy) * ((F(1) - fx) * source[n, c, b, a] + fx * source[n, c, b, a1])
        near += fy * ((F(1) - fx) * source[n, c, b1, a] + fx * source[n, c, b1, a1])
        deep = (F(1) - fy) * ((F(1) - fx) * source[n, c1, b, a] + fx * source[n, c1, b, a1])
        deep += fy * ((F(1) - fx) * source[n, c1, b1, a] + fx * source[n, c1, b1, a1])
        target[n, layer, row, i] = scale * (source[n, k, j, i] + near + fz * (deep - near))


@kernel
def _far(
    source: Field,
    scale: np.float32,
    k: int,
    j: int,
    target: Field,
    layer: int,
    row: int,
    scratch: Field,
    cells: Cells,
) -> None:
    """A row whose vectors go anywhere."""
    _, layers, rows, columns = source.shape
    x, y, z = scratch[0], scratch[1], scratch[2]
    for i in range(columns):
        x[i] = F(np.int32(i)) + scale * source[0, k, j, i]
        y[i] = F(j) + scale * source[1, k, j, i]
        z[i] = F(k) + scale * source[2, k, j, i]
    locate_row(x, y, z, (layers, rows, columns), cells)
    for n in range(3):
        read_row(source[n].reshape(-1), (layers, rows, columns), cells, x, y, z, target[n, layer, row])
        for i in range(columns):
            target[n, layer, row, i] = scale * (source[n, k, j, i] + target[n, layer, row, i])
