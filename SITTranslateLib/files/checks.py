"""Checks of a scan before processing, for files and memory alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.volume import Volume

#: Voxel sizes beyond these are not those of a scan of a person.
SMALLEST_VOXEL_MM, LARGEST_VOXEL_MM = 0.01, 50.0
#: Cosine between two axes above which a grid counts as sheared (0.06 degrees).
LARGEST_SHEAR = 1e-3
#: Largest value in units of the range that 99 % of the voxels span. Rounding in single precision grows with it: at 1000
#: a scan is still recomposed to 1 % of its range (metal in a CT and hot vessels stay below 100).
LARGEST_PEAK = 1000.0
#: Only air is below this in a CT, HU; no MR scan has values there, but for a few voxels where it rings.
AIR_HU = -500.0
#: Share of equal neighbours inside the object from which whole-numbered voxels count as labels (measured: real
#: 8-bit scans stay below 0.5, label maps lie above 0.8).
LABEL_SHARE = 0.65


def check_volume(volume: Volume) -> None:
    """Refuse what cannot be a scan.

    Raises:
        InputError: no voxels, one-voxel-thin, NaN or infinite, constant, singular or sheared affine, implausible
            voxel size, or a label map.
    """
    name = f"'{volume.name}'"
    check_shape(volume.shape, name)
    check_affine(volume.affine, name)
    array = volume.array
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(low) or not np.isfinite(high):
        count = int(array.size - np.count_nonzero(np.isfinite(array)))
        raise InputError(f"{name} has {count} voxels that are not numbers (NaN or infinite); repair the scan first.")
    if low == high:
        what = "is empty (every voxel is 0)" if low == 0 else f"is constant (every voxel is {low:g})"
        raise InputError(f"{name} {what}; give a scan with an image in it.")
    if max(abs(low), abs(high)) > 1e9:
        raise InputError(f"{name} has values up to {max(abs(low), abs(high)):.3g}, beyond those of any scan.")
    check_contrast(array, max(abs(low), abs(high)), high - low, name)
    if is_label_map(array):
        raise InputError(f"{name} looks like a label map, not a scan; give the scan it was drawn on.")


def check_shape(shape: tuple[int, ...], name: str) -> None:
    """Refuse a volume without extent along some axis."""
    if min(shape) == 0:
        raise InputError(f"{name} is empty (size {_size(shape)}); give a scan with voxels in it.")
    if min(shape) < 2:
        raise InputError(f"{name} is only one voxel thin ({_size(shape)}); a 3D scan is needed.")


def check_affine(affine: NDArray[np.float64], name: str) -> None:
    """Refuse an affine that does not place rectangular voxels in space."""
    if not np.isfinite(affine).all():
        raise InputError(f"{name} has a voxel-to-space matrix that is not made of numbers; its position is unknown.")
    axes = affine[:3, :3]
    if np.abs(affine).max() > 1e9:
        raise InputError(f"{name} has a voxel-to-space matrix with numbers up to {np.abs(affine).max():.3g}, not mm.")
    spacing = np.linalg.norm(axes, axis=0)
    if (spacing <= 0).any() or abs(np.linalg.det(axes / np.maximum(spacing, 1e-30))) < 1e-3:
        raise InputError(f"{name} has a singular voxel-to-space matrix; its voxels have no volume.")
    if not np.allclose(affine[3], (0, 0, 0, 1)):
        raise InputError(f"{name} has a voxel-to-space matrix whose last row is not 0 0 0 1.")
    if spacing.min() < SMALLEST_VOXEL_MM or spacing.max() > LARGEST_VOXEL_MM:
        size = " x ".join(f"{s:.3g}" for s in spacing)
        raise InputError(f"{name} has voxels of {size} mm, which is not the size of a scan of a person.")
    if np.abs(affine[:3, 3]).max() > 1e6:
        raise InputError(f"{name} lies more than a kilometre from the origin of space; its position is not plausible.")
    directions = axes / spacing
    cosine = np.abs(directions.T @ directions - np.eye(3)).max()
    if cosine > LARGEST_SHEAR:
        raise InputError(f"{name} is sheared (its voxel axes are not at right angles); resample it to a straight grid.")


def check_contrast(array: NDArray[np.float32], peak: float, extent: float, name: str) -> None:
    """Refuse values so far from nought, for the range they span, that single precision no longer tells them apart."""
    sparse = array[tuple(slice(None, None, max(1, n // 64)) for n in array.shape)]
    low, high = np.percentile(sparse, (0.5, 99.5))
    span = float(high - low) or extent
    if peak > LARGEST_PEAK * span:
        raise InputError(
            f"{name} has values up to {peak:.3g} where nearly all lie within {span:.3g} of each other; clip the "
            "outliers, or subtract the offset first."
        )


def is_ct(array: NDArray[np.float32]) -> bool:
    """Whether a scan is a CT in HU, by its air: a thousandth of its voxels, which an MR scan that rings does not have
    there."""
    return bool(np.count_nonzero(array < AIR_HU) > array.size / 1000)


def is_label_map(array: NDArray[np.float32]) -> bool:
    """Whether the values are labels: whole numbers, in patches of one value.

    The number of values does not tell (an 8-bit scan has 256, a parcellation 150); equal neighbours do.
    """
    middle = array[:: max(1, array.shape[0] // 48)]
    if not np.array_equal(middle, np.rint(middle)):
        return False
    background = np.median(middle[:, :2])
    left, right = middle[:, :, :-1], middle[:, :, 1:]
    inside = (left != background) & (right != background)
    count = int(np.count_nonzero(inside))
    if count == 0:
        # Only background and isolated voxels: labels if they are few.
        return np.unique(middle).size <= 8
    return int(np.count_nonzero((left == right) & inside)) / count > LABEL_SHARE


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in reversed(shape))
