"""From the network's grid back to the scan's: fields and changes that fade out at the network's field of view."""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.volume import Grid, VectorField, Volume

#: Width of the zone around the network's grid over which fields and changes fade to nothing.
FADE_MM = 24.0


@overload
def faded_outwards(image: Volume, width_mm: float = FADE_MM) -> Volume: ...
@overload
def faded_outwards(image: VectorField, width_mm: float = FADE_MM) -> VectorField: ...
def faded_outwards(image: Volume | VectorField, width_mm: float = FADE_MM) -> Volume | VectorField:
    """The image on a larger grid, its border values carried outwards while they fade to zero (raised cosine).

    Inside the network's grid nothing changes, so that what the network said is kept to the last voxel; beyond the
    new border everything reads zero, so that a scan larger than the network's field of view shows no edge.
    """
    counts = [max(2, round(width_mm / s)) for s in reversed(image.grid.spacing)]
    array = image.array
    for axis, count in enumerate(counts):
        ramp = 0.5 * (1.0 + np.cos(np.pi * np.arange(1, count + 1) / count)).astype(np.float32)
        widths = [(count, count) if a == axis else (0, 0) for a in range(array.ndim)]
        weights = np.concatenate([ramp[::-1], np.ones(array.shape[axis], np.float32), ramp])
        shape = [-1 if a == axis else 1 for a in range(array.ndim)]
        array = np.pad(array, widths, mode="edge") * weights.reshape(shape)
    affine = image.affine.copy()
    affine[:3, 3] = image.grid.to_world(-np.array(counts[::-1], dtype=np.float64))
    if isinstance(image, VectorField):
        return VectorField(array, affine)
    return Volume(array, affine, image.name)


def with_rim(image: Volume) -> Volume:
    """The image with one more layer of zeros on every side, so that it reads zero beyond its grid."""
    affine = image.affine.copy()
    affine[:3, 3] = image.grid.to_world(np.array([-1.0, -1.0, -1.0]))
    return Volume(np.pad(image.array, 1), affine, image.name)


def on_grid(image: Volume, grid: Grid, outside: float) -> Volume:
    """An image read at another grid's voxels, a constant where it has none."""
    shifted = image.with_array(image.array - np.float32(outside))
    rim = np.zeros_like(shifted.array)
    inner = tuple(slice(1, -1) if n > 2 else slice(None) for n in rim.shape)
    rim[inner] = shifted.array[inner]
    moved = fields.resample_volume(image.with_array(rim), grid)
    return moved.with_array(np.add(moved.array, np.float32(outside), out=moved.array))


def as_array(tensor: object) -> NDArray[np.float32]:
    """A batch of one as an array: ``(1, 1, K, J, I)`` to ``(K, J, I)``, ``(1, 3, K, J, I)`` to ``(K, J, I, 3)``."""
    values = tensor.detach().float().cpu().numpy()[0]  # type: ignore[attr-defined]
    return np.ascontiguousarray(values[0] if values.shape[0] == 1 else np.moveaxis(values, 0, -1), dtype=np.float32)
