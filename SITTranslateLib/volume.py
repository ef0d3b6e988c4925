"""One scalar 3D image with its grid.

Frames: ``affine`` maps voxel indices (i, j, k) to **RAS** millimetres. LPS exists only inside
:func:`SITTranslateLib.files.read_volume` and its relatives. Arrays are indexed ``[k, j, i]``.
"""

from __future__ import annotations

import operator
import os
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib import interchange, notebook
from SITTranslateLib.arguments import instance_of
from SITTranslateLib.errors import InputError

FloatArray = NDArray[np.float32]
#: Up to here single precision holds every whole number.
LARGEST_EXACT = 2**24
#: Numbers that a processor's cache holds with room to spare.
_CACHED = 1 << 17


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid of voxels in space.

    Attributes:
        shape: number of voxels ``(K, J, I)``.
        affine: 4x4 matrix from voxel indices ``(i, j, k, 1)`` to RAS mm.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        try:
            affine = np.asarray(self.affine, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError("The voxel-to-space matrix is not made of numbers; give a 4 x 4 matrix.") from error
        if affine.shape != (4, 4):
            raise InputError(f"The voxel-to-space matrix must be 4 x 4, not {_size(affine.shape)}.")
        object.__setattr__(self, "affine", affine)
        try:
            shape = tuple(operator.index(n) for n in self.shape)
        except TypeError as error:
            raise InputError("The shape of a grid is three whole numbers (K, J, I).") from error
        if len(shape) != 3 or min(shape) < 0:
            raise InputError(f"The shape of a grid is three whole numbers (K, J, I), not {_size(shape)}.")
        object.__setattr__(self, "shape", shape)

    @classmethod
    def centred(cls, centre: NDArray[np.floating], shape: tuple[int, int, int], spacing_mm: float) -> Grid:
        """The isotropic grid along +R, +A, +S whose middle lies at a point in RAS mm."""
        affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
        affine[:3, 3] = centre - spacing_mm * (np.array(shape[::-1]) - 1) / 2.0
        return cls(shape, affine)

    @property
    def axes(self) -> NDArray[np.float64]:
        """3x3 matrix from index steps (i, j, k) to RAS mm."""
        return self.affine[:3, :3]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along (i, j, k)."""
        return tuple(float(s) for s in np.linalg.norm(self.axes, axis=0))  # type: ignore[return-value]

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in mm3."""
        return float(abs(np.linalg.det(self.axes)))

    @property
    def centre(self) -> NDArray[np.float64]:
        """RAS mm of the middle of the grid."""
        k, j, i = self.shape
        return self.to_world(np.array([(i - 1) / 2, (j - 1) / 2, (k - 1) / 2]))

    def to_world(self, indices: NDArray[np.floating]) -> NDArray[np.float64]:
        """RAS mm of voxel indices ``(..., 3)`` in (i, j, k) order."""
        return np.asarray(indices, dtype=np.float64) @ self.axes.T + self.affine[:3, 3]

    def to_indices(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Continuous voxel indices (i, j, k) of RAS points ``(..., 3)`` in mm."""
        return (np.asarray(points, dtype=np.float64) - self.affine[:3, 3]) @ np.linalg.inv(self.axes).T

    def matches(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """Whether two grids are the same to ``tolerance`` mm."""
        return self.shape == other.shape and bool(np.allclose(self.affine, other.affine, atol=tolerance))

    def coarsened(self, factor: int) -> Grid:
        """A grid with voxels ``factor`` times larger whose voxel centres cover this one's, edge to edge."""
        shape = tuple(-(-(n - 1) // factor) + 1 for n in self.shape)
        affine = self.affine.copy()
        affine[:3, :3] *= factor
        excess = np.array([(m - 1) * factor - (n - 1) for n, m in zip(self.shape, shape, strict=True)])[::-1]
        affine[:3, 3] -= self.axes @ (excess / 2.0)
        return Grid(shape, affine)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """A scalar image on a grid.

    Attributes:
        array: values ``(K, J, I)``, float32, native units.
        affine: 4x4 from (i, j, k) to RAS mm.
        name: what the user calls it; never a path.

    Raises:
        InputError: not three axes, not real numbers, or no 4x4 matrix.
    """

    array: FloatArray
    affine: NDArray[np.float64]
    name: str = field(default="volume")

    def __post_init__(self) -> None:
        instance_of(self.name, str, "The name of a volume")
        array = _real_numbers(self.array)
        if array.ndim != 3:
            raise InputError(f"A volume has three axes (K, J, I), and this array has {array.ndim}; give one 3D scan.")
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "affine", Grid(array.shape, self.affine).affine)  # type: ignore[arg-type]

    @classmethod
    def of(cls, image: Any) -> Volume:
        """A volume from whatever holds a scan.

        Args:
            image: a path, a volume, an image of SimpleITK or nibabel, ``(array, affine)`` with ``array[i, j, k]``, a
                ``ScalarImage`` of TorchIO or a ``Subject`` with one, a ``MetaTensor`` of MONAI, or a
                ``vtkMRMLScalarVolumeNode``.

        Raises:
            InputError: anything else, several images or channels, or a file that cannot be read.
        """
        if isinstance(image, Volume):
            return image
        # The public functions: what they need lies above this module.
        if isinstance(image, str | os.PathLike):
            from SITTranslateLib import read_volume

            return read_volume(image)
        if hasattr(image, "GetIJKToRASMatrix"):
            from SITTranslateLib import volume_from_node

            return volume_from_node(image)
        return cls(*interchange.unpack(image))

    def __repr__(self) -> str:
        voxels, mm = " x ".join(map(str, self.shape[::-1])), " x ".join(f"{s:.3g}" for s in self.spacing)
        low, high = (float(self.array.min()), float(self.array.max())) if self.array.size else (0.0, 0.0)
        return f"<Volume '{self.name}': {voxels} voxels of {mm} mm, {low:.4g} to {high:.4g}>"

    def _repr_html_(self) -> str:
        return notebook.picture_html(self.array, self.affine, self.name) + f"<div>{escape(repr(self))}</div>"

    def to_sitk(self) -> Any:
        """As a ``SimpleITK.Image``."""
        return interchange.to_sitk(self.array, self.affine)

    def to_nibabel(self) -> Any:
        """As a ``nibabel.Nifti1Image``."""
        return interchange.to_nibabel(self.array, self.affine)

    def to_torchio(self) -> Any:
        """As a ``torchio.ScalarImage``."""
        return interchange.to_torchio(self.array, self.affine)

    def to_monai(self) -> Any:
        """As a ``monai.data.MetaTensor`` ``(1, I, J, K)``."""
        return interchange.to_monai(self.array, self.affine)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it (NIfTI, NRRD or MHA by the ending); :func:`SITTranslateLib.write_volume`."""
        from SITTranslateLib import write_volume

        return write_volume(self, path)

    @property
    def grid(self) -> Grid:
        return Grid(self.array.shape, self.affine)  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.array.shape  # type: ignore[return-value]

    @property
    def spacing(self) -> tuple[float, float, float]:
        return self.grid.spacing

    def with_array(self, array: NDArray[np.generic], name: str | None = None) -> Volume:
        """The same grid with other values."""
        return replace(self, array=np.asarray(array, dtype=np.float32), name=self.name if name is None else name)


@dataclass(frozen=True, eq=False)
class LabelMap(Volume):
    """A volume of labels, which stay apart whatever their number: beyond 2^24, where float32 merges them, as int64.

    Attributes:
        array: whole numbers ``(K, J, I)``.
    """

    def __post_init__(self) -> None:
        given = np.asarray(self.array)
        super().__post_init__()
        if given.dtype.kind in "iu" and given.size and max(-int(given.min()), int(given.max())) > LARGEST_EXACT:
            object.__setattr__(self, "array", np.ascontiguousarray(given, dtype=np.int64))


@dataclass(frozen=True, eq=False, repr=False)
class VectorField:
    """A velocity or displacement on a grid: ``array[k, j, i]`` is a vector (R, A, S) in mm.

    Which one it is (velocity, motion, sampling field) is said by the name of the variable that holds it;
    the frame and unit never change.
    """

    array: FloatArray
    affine: NDArray[np.float64]

    def __repr__(self) -> str:
        voxels = " x ".join(map(str, self.grid.shape[::-1]))
        return f"<VectorField: {voxels} vectors, up to {float(self.magnitude().max(initial=0.0)):.3g} mm>"

    def to_sitk(self) -> Any:
        """As a ``SimpleITK.Image`` of vectors in LPS mm, which ``DisplacementFieldTransform`` takes."""
        return interchange.to_sitk(self.array, self.affine)

    def __post_init__(self) -> None:
        array = _real_numbers(self.array)
        if array.ndim != 4 or array.shape[3] != 3:
            raise InputError(f"A vector field has the shape (K, J, I, 3), not {_size(array.shape)}.")
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "affine", Grid(array.shape[:3], self.affine).affine)

    @property
    def grid(self) -> Grid:
        return Grid(self.array.shape[:3], self.affine)  # type: ignore[arg-type]

    def magnitude(self) -> FloatArray:
        """Length of each vector in mm, ``(K, J, I)``."""
        return lengths(self.array)


def lengths(vectors: FloatArray) -> FloatArray:
    """Length of each vector of an array ``(N, ..., 3)``: squares of a few layers, which stay in the cache, by BLAS."""
    target = np.empty(vectors.shape[:-1], np.float32)
    layers = max(1, _CACHED * len(vectors) // max(1, vectors.size))
    ones = np.ones(3, np.float32)
    for first in range(0, len(vectors), layers):
        part = vectors[first : first + layers]
        np.sqrt((part * part).reshape(-1, 3) @ ones, out=target[first : first + layers].reshape(-1))
    return target


def _real_numbers(values: object) -> FloatArray:
    """Any array of real numbers as contiguous float32; what does not fit becomes infinite, which a scan may not be."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputError("The voxels must be one array of real numbers; its rows differ in length.") from error
    if array.dtype.kind not in "biuf":
        raise InputError(f"The voxels must be real numbers, not of the type '{array.dtype.name[:40]}'.")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32) if array.ndim else array.astype(np.float32)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape) or "a single number"
