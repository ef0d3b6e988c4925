"""Volumes and fields resampled on other grids and through sampling fields, row by row, without full-size positions.

``places`` is the 3x4 matrix from the output's voxel indices to those of what is read; ``matrix`` turns a vector in mm
into index steps of what is read.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.fields.compiled.compiling import kernel
from SITTranslateLib.fields.compiled.reading import (
    Cells,
    F,
    Row,
    locate_row,
    read_nearest_row,
    read_row,
    read_vector_row,
)

Image = NDArray[np.float32]
Matrix = NDArray[np.float32]
Places = NDArray[np.float64]


@kernel
def resample(first: int, last: int, image: Image, places: Places, nearest: bool, target: Image) -> None:
    """Layers of a volume read at the voxels of another grid."""
    _, rows, columns = target.shape
    scratch, cells = np.empty((3, columns), F), np.empty(columns, np.uint32)
    for k in range(first, last):
        for j in range(rows):
            _place_row(places, k, j, scratch)
            _read(image, scratch, cells, nearest, target[k, j])


@kernel
def resample_vectors(first: int, last: int, field: Image, places: Places, target: Image) -> None:
    """Layers of a field ``(K, J, I, 3)`` read at the voxels of another grid."""
    _, rows, columns, _ = target.shape
    scratch, cells = np.empty((3, columns), F), np.empty(columns, np.uint32)
    for k in range(first, last):
        for j in range(rows):
            _place_row(places, k, j, scratch)
            _read_vectors(field, scratch, cells, target[k, j])


@kernel
def warp(
    first: int, last: int, image: Image, places: Places, field: Image, matrix: Matrix, nearest: bool, target: Image
) -> None:
    """Layers of ``image(y + u(y))`` with the sampling field on the output's grid."""
    _, rows, columns = target.shape
    scratch, cells = np.empty((3, columns), F), np.empty(columns, np.uint32)
    for k in range(first, last):
        for j in range(rows):
            _place_row(places, k, j, scratch)
            _add_steps(field[k, j], matrix, scratch)
            _read(image, scratch, cells, nearest, target[k, j])


@kernel
def warp_through(
    first: int,
    last: int,
    image: Image,
    places: Places,
    field: Image,
    field_places: Places,
    matrix: Matrix,
    nearest: bool,
    target: Image,
) -> None:
    """As :func:`warp` with the sampling field on any other grid, read on the way."""
    _, rows, columns = target.shape
    scratch, cells = np.empty((3, columns), F), np.empty(columns, np.uint32)
    vectors = np.empty((columns, 3), F)
    for k in range(first, last):
        for j in range(rows):
            _place_row(field_places, k, j, scratch)
            _read_vectors(field, scratch, cells, vectors)
            _place_row(places, k, j, scratch)
            _add_steps(vectors, matrix, scratch)
            _read(image, scratch, cells, nearest, target[k, j])


@kernel
def compose(first: int, last: int, outer: Image, places: Places, inner: Image, matrix: Matrix, target: Image) -> None:
    """Layers of ``inner(x) + outer(x + inner(x))``."""
    _, rows, columns, _ = target.shape
    scratch, cells = np.empty((3, columns), F), np.empty(columns, np.uint32)
    for k in range(first, last):
        for j in range(rows):
            _place_row(places, k, j, scratch)
            _add_steps(inner[k, j], matrix, scratch)
            _read_vectors(outer, scratch, cells, target[k, j])
            here, moved = inner[k, j].reshape(-1), target[k, j].reshape(-1)
            for n in range(moved.size):
                moved[n] += here[n]


@kernel
def improve_inverse(
    first: int, last: int, field: Image, places: Places, inverse: Image, matrix: Matrix, target: Image, change: Row
) -> None:
    """Layers of a Newton step ``u - (1 + Du) (u + w(y + u))`` for the inverse ``u`` of ``w``, on one grid.

    ``(1 + Du)`` stands for the inverse of ``1 + Dw`` at ``y + u``, which it equals in the end; along an axis on which
    ``y + u`` lies beyond the grid, ``w`` is constant and ``Du`` is left out. ``change[k]`` receives the longest squared
    correction of a layer.
    """
    layers, rows, columns, _ = target.shape
    scratch, cells = np.empty((3, columns), F), np.empty(columns, np.uint32)
    within = np.empty((3, columns), F)
    right, top, far = F(columns - 1), F(rows - 1), F(layers - 1)
    for k in range(first, last):
        k0, k2 = max(k - 1, 0), min(k + 1, layers - 1)
        hk = F(1) / F(max(k2 - k0, 1))
        change[k] = F(0)
        for j in range(rows):
            j0, j2 = max(j - 1, 0), min(j + 1, rows - 1)
            hj = F(1) / F(max(j2 - j0, 1))
            _place_row(places, k, j, scratch)
            _add_steps(inverse[k, j], matrix, scratch)
            for i in range(columns):
                within[0, i] = F(1) if F(0) <= scratch[0, i] <= right else F(0)
                within[1, i] = F(1) if F(0) <= scratch[1, i] <= top else F(0)
                within[2, i] = F(1) if F(0) <= scratch[2, i] <= far else F(0)
            _read_vectors(field, scratch, cells, target[k, j])
            for i in range(columns):
                i0, i2 = max(i - 1, 0), min(i + 1, columns - 1)
                hi = F(1) / F(max(i2 - i0, 1))
                r = target[k, j, i, 0] + inverse[k, j, i, 0]
                a = target[k, j, i, 1] + inverse[k, j, i, 1]
                s = target[k, j, i, 2] + inverse[k, j, i, 2]
                x = within[0, i] * hi * (matrix[0, 0] * r + matrix[0, 1] * a + matrix[0, 2] * s)
                y = within[1, i] * hj * (matrix[1, 0] * r + matrix[1, 1] * a + matrix[1, 2] * s)
                z = within[2, i] * hk * (matrix[2, 0] * r + matrix[2, 1] * a + matrix[2, 2] * s)
                length = F(0)
                for n in range(3):
                    step = r if n == 0 else (a if n == 1 else s)
                    step += x * (inverse[k, j, i2, n] - inverse[k, j, i0, n])
                    step += y * (inverse[k, j2, i, n] - inverse[k, j0, i, n])
                    step += z * (inverse[k2, j, i, n] - inverse[k0, j, i, n])
                    target[k, j, i, n] = inverse[k, j, i, n] - step
                    length += step * step
                change[k] = max(change[k], length)


@kernel
def stretch_rows(first: int, last: int, field: Image, matrix: Matrix, columns: Row, target: Image) -> None:
    """Layers of a field ``(K, J, I, 3)``, times ``matrix``, read along its rows at ``columns``: ``(K, 3, J, n)``."""
    top = field.shape[2] - 1
    turned = np.empty((3, field.shape[2]), F)
    for k in range(first, last):
        for j in range(field.shape[1]):
            for i in range(field.shape[2]):
                r, a, s = field[k, j, i, 0], field[k, j, i, 1], field[k, j, i, 2]
                for n in range(3):
                    turned[n, i] = matrix[n, 0] * r + matrix[n, 1] * a + matrix[n, 2] * s
            for i in range(columns.size):
                place = min(max(columns[i], F(0)), F(top))
                low = min(np.int64(place), max(top - 1, 0))
                high, share = min(low + 1, top), place - F(low)
                for n in range(3):
                    target[k, n, j, i] = turned[n, low] + share * (turned[n, high] - turned[n, low])


@kernel
def warp_stretched(
    first: int,
    last: int,
    image: Image,
    places: Places,
    stretched: Image,
    layers: Row,
    rows: Row,
    nearest: bool,
    target: Image,
) -> None:
    """As :func:`warp` with a field whose rows were stretched to the output's: layers and rows are blended here."""
    columns = target.shape[2]
    scratch, cells = np.empty((3, columns), F), np.empty(columns, np.uint32)
    steps = np.empty((3, columns), F)
    for k in range(first, last):
        for j in range(target.shape[1]):
            _blend(stretched, layers[k], rows[j], steps)
            _place_row(places, k, j, scratch)
            for n in range(3):
                for i in range(columns):
                    scratch[n, i] += steps[n, i]
            _read(image, scratch, cells, nearest, target[k, j])


@kernel
def blend_stretched(first: int, last: int, stretched: Image, layers: Row, rows: Row, target: Image) -> None:
    """Layers of the field itself, ``(K, J, I, 3)``, from rows that were stretched."""
    columns = target.shape[2]
    steps = np.empty((3, columns), F)
    for k in range(first, last):
        for j in range(target.shape[1]):
            _blend(stretched, layers[k], rows[j], steps)
            for i in range(columns):
                target[k, j, i, 0] = steps[0, i]
                target[k, j, i, 1] = steps[1, i]
                target[k, j, i, 2] = steps[2, i]


@kernel
def _blend(stretched: Image, layer: np.float32, row: np.float32, steps: Image) -> None:
    far, top = stretched.shape[0] - 1, stretched.shape[2] - 1
    z, y = min(max(layer, F(0)), F(far)), min(max(row, F(0)), F(top))
    k0, j0 = min(np.int64(z), max(far - 1, 0)), min(np.int64(y), max(top - 1, 0))
    k1, j1 = min(k0 + 1, far), min(j0 + 1, top)
    fz, fy = z - F(k0), y - F(j0)
    a, b, c, d = (F(1) - fz) * (F(1) - fy), (F(1) - fz) * fy, fz * (F(1) - fy), fz * fy
    for n in range(3):
        for i in range(steps.shape[1]):
            steps[n, i] = (
                a * stretched[k0, n, j0, i]
                + b * stretched[k0, n, j1, i]
                + c * stretched[k1, n, j0, i]
                + d * stretched[k1, n, j1, i]
            )


@kernel
def _place_row(places: Places, k: int, j: int, scratch: Image) -> None:
    """Positions of the voxels of a row, in voxels of the input."""
    for n in range(3):
        start, step = F(places[n, 1] * j + places[n, 2] * k + places[n, 3]), F(places[n, 0])
        for i in range(scratch.shape[1]):
            scratch[n, i] = start + step * F(np.int32(i))


@kernel
def _add_steps(vectors: Image, matrix: Matrix, scratch: Image) -> None:
    for i in range(scratch.shape[1]):
        r, a, s = vectors[i, 0], vectors[i, 1], vectors[i, 2]
        scratch[0, i] += matrix[0, 0] * r + matrix[0, 1] * a + matrix[0, 2] * s
        scratch[1, i] += matrix[1, 0] * r + matrix[1, 1] * a + matrix[1, 2] * s
        scratch[2, i] += matrix[2, 0] * r + matrix[2, 1] * a + matrix[2, 2] * s


@kernel
def _read(image: Image, scratch: Image, cells: Cells, nearest: bool, target: Row) -> None:
    x, y, z, flat = scratch[0], scratch[1], scratch[2], image.reshape(-1)
    if nearest:
        read_nearest_row(flat, image.shape, x, y, z, target)
    else:
        locate_row(x, y, z, image.shape, cells)
        read_row(flat, image.shape, cells, x, y, z, target)


@kernel
def _read_vectors(field: Image, scratch: Image, cells: Cells, target: Image) -> None:
    x, y, z = scratch[0], scratch[1], scratch[2]
    shape = (field.shape[0], field.shape[1], field.shape[2])
    locate_row(x, y, z, shape, cells)
    read_vector_row(field.reshape(-1), shape, cells, x, y, z, target)
