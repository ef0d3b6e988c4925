"""Metrics of a translated image against the true one, inside a mask, with a range independent of the prediction.

SSIM is our own: MONAI's has no mask, and its window of 11 x 11 x 11 is not separated (ten times the CPU-seconds for
the same value to six digits). Kernel distances are in ``patch_kid``: MONAI's MMD has no polynomial kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.metrics.surface_distance import compute_average_surface_distance
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import mannwhitneyu

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
#: Standard deviation of SSIM's window, voxels, as Wang et al. (IEEE TIP 2004) have it.
WINDOW = 1.5


def ssim(image: Array, truth: Array, mask: Mask, span: float) -> float:
    """Structural similarity in 3D, averaged over the mask; ``span`` is the fixed range of values."""
    box = _box(mask, margin=5)
    x, y = image[box].astype(np.float64), truth[box].astype(np.float64)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(ndimage.gaussian_filter(values, WINDOW, truncate=3.5))

    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    similar = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(similar[mask[box]].mean())


def psnr(image: Array, truth: Array, mask: Mask, span: float) -> float:
    """Peak signal to noise in dB."""
    error = float(np.mean((image[mask].astype(np.float64) - truth[mask]) ** 2))
    return float(10 * np.log10(span**2 / max(error, 1e-12)))


def normalised_error(image: Array, truth: Array, mask: Mask) -> float:
    """Squared error over the square of the truth (NMSE); both in units whose zero is air."""
    error = np.square(image[mask].astype(np.float64) - truth[mask]).sum()
    return float(error / max(float(np.square(truth[mask].astype(np.float64)).sum()), 1e-12))


def mean_absolute_error(image: Array, truth: Array, mask: Mask) -> float:
    """Mean absolute error."""
    return float(np.abs(image[mask].astype(np.float64) - truth[mask]).mean())


def root_mean_square(image: Array, truth: Array, mask: Mask) -> float:
    return float(np.sqrt(np.mean((image[mask].astype(np.float64) - truth[mask]) ** 2)))


def correlation(image: Array, truth: Array, mask: Mask) -> float:
    """Pearson's; 0 for an image that does not vary."""
    if np.ptp(image[mask]) == 0 or np.ptp(truth[mask]) == 0:
        return 0.0
    return float(np.corrcoef(image[mask], truth[mask])[0, 1])


def flicker(image: Array, truth: Array, mask: Mask, least: int = 200) -> float:
    """Standard deviation of how the mean error jumps from slice to slice along the first axis."""
    slices = [z for z in range(mask.shape[0]) if np.count_nonzero(mask[z]) >= least]
    errors = np.array([float((image[z][mask[z]] - truth[z][mask[z]]).mean()) for z in slices])
    return float(np.std(np.diff(errors))) if len(errors) > 2 else 0.0


def through_plane_error(image: Array, truth: Array, mask: Mask) -> float:
    """Mean difference of the gradients across slices, per voxel."""
    both = mask[1:] & mask[:-1]
    return float(np.abs(np.diff(image, axis=0)[both] - np.diff(truth, axis=0)[both]).mean())


def dice(one: Mask, other: Mask) -> float:
    """Overlap; 1 where both are empty."""
    total = np.count_nonzero(one) + np.count_nonzero(other)
    return 2.0 * np.count_nonzero(one & other) / total if total else 1.0


def surface_distance(one: Mask, other: Mask, spacing: tuple[float, float, float]) -> float:
    """Average symmetric surface distance, mm; ``spacing`` along (k, j, i); NaN where one is empty."""
    if not one.any() or not other.any():
        return float("nan")
    box = _box(one | other, margin=2)
    # MONAI takes channels, background first.
    first, second = (torch.from_numpy(np.stack((~m[box], m[box]))[None].astype(np.float32)) for m in (one, other))
    distance = compute_average_surface_distance(
        first, second, include_background=False, symmetric=True, spacing=spacing
    )
    return float(distance[0, 0])


def area_under_curve(positive: Sequence[float] | Array, negative: Sequence[float] | Array) -> float:
    """Area under the ROC curve: how often a positive scores above a negative one; ties count half (Mann-Whitney)."""
    return float(mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative)))


def matched_linearly(image: Array, truth: Array, mask: Mask) -> Array:
    """The image with the gain and offset that fit the truth best: for real MR, whose units mean nothing."""
    x, y = image[mask].astype(np.float64), truth[mask].astype(np.float64)
    if np.ptp(x) == 0:
        return np.full_like(image, y.mean())
    gain, offset = np.polyfit(x, y, 1)
    return np.asarray(gain * image + offset, dtype=np.float32)


def _box(mask: Mask, margin: int) -> tuple[slice, slice, slice]:
    slices_of_box = []
    for axis in range(3):
        where = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        low, high = (int(where[0]), int(where[-1])) if where.size else (0, mask.shape[axis] - 1)
        slices_of_box.append(slice(max(0, low - margin), high + margin + 1))
    return slices_of_box[0], slices_of_box[1], slices_of_box[2]
