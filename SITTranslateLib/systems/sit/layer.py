"""The spatial-intensity transform itself: ``translated = (image + d) o exp(-v)``, no parameters.

Wang, Rost, Golland, "Spatial-Intensity Transforms for Medical Image-to-Image Translation", IEEE TMI 2023. Here in 3D
and millimetres, the velocity band-limited and on half the resolution, with the border repeated; ``legacy`` holds the
paper's own 2D form. The velocity is that of the motion, so the image is read through ``exp(-v)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.fields import tensors


def half_resolution_affine(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Affine of the grid whose voxels are 2x2x2 blocks of a grid of even shape."""
    half = affine.copy()
    half[:3, :3] *= 2.0
    half[:3, 3] += affine[:3, :3] @ np.full(3, 0.5)
    return half


def to_full_resolution(field: Tensor) -> Tensor:
    """A field on the half-resolution grid read at the full grid's voxels (linear, border repeated)."""
    return nn.functional.interpolate(field.float(), scale_factor=2.0, mode="trilinear", align_corners=False)


def to_full_resolution_smoothly(field: Tensor) -> Tensor:
    """As :func:`to_full_resolution`, without the kinks of linear interpolation (Gaussian of one full-grid voxel)."""
    return tensors.gaussian(to_full_resolution(field), (1.0, 1.0, 1.0))


#: How near to the background's 0 a normalised intensity counts as nothing; noise in air is mostly further away.
EMPTY = 0.005


def holds_data(image: Tensor, margin: int = 2) -> Tensor:
    """1 inside what was scanned, falling smoothly to 0 towards regions that hold nothing but the background value.

    A skull-stripped brain has no CSF around it: a motion that grew the sulci there would pull the empty background in
    and tear holes. So nothing moves at the edge of the data, and the cavity within it keeps its volume.
    ``margin`` in voxels.
    """
    something = (image.abs() > EMPTY).float()
    # Regions, not specks: a voxel counts when all its neighbours hold nothing either.
    nothing = 1.0 - _largest_within(something, 1)
    near = _largest_within(nothing, margin + 1)
    return 1.0 - tensors.gaussian(near, (1.5, 1.5, 1.5))


def _largest_within(image: Tensor, radius: int) -> Tensor:
    """Largest value of a cube of voxels around each, an axis at a time."""
    for axis in range(3):
        size, padding = [1, 1, 1], [0, 0, 0]
        size[axis], padding[axis] = 2 * radius + 1, radius
        image = nn.functional.max_pool3d(image, size, stride=1, padding=padding)
    return image


def flow_of_potential(
    potential: Tensor, window: Tensor, axes: NDArray[np.float64], kernel: Sequence[tuple[float, float]]
) -> Tensor:
    """Velocity ``-W K * (W grad p)`` (mm) of a potential ``(B, 1, K, J, I)`` (mm^2) and a window, on their grid.

    Args:
        kernel: sigma (mm) and weight of each Gaussian of ``K``.
    """
    pushed = window * tensors.gradient(potential, axes)[:, 0]
    spacing = np.linalg.norm(axes, axis=0)
    smooth = torch.zeros_like(pushed)
    for sigma, weight in kernel:
        k, j, i = (sigma / float(s) for s in reversed(spacing))
        smooth = smooth + weight * tensors.gaussian(pushed, (k, j, i))
    return -window * smooth


def sampling_of(velocity: Tensor, axes: NDArray[np.float64], steps: int) -> Tensor:
    """Sampling field (mm) on the full grid of a velocity on the half grid; ``axes`` are the full grid's."""
    with torch.autocast(velocity.device.type, enabled=False):
        coarse = tensors.exponential(velocity.float(), axes * 2.0, time=-1.0, steps=steps)
        return to_full_resolution(coarse)


def spatial_intensity_transform(
    image: Tensor, intensity_change: Tensor | None, sampling: Tensor | None, axes: NDArray[np.float64]
) -> Tensor:
    """``(image + d)(y + u(y))``; a missing part is the identity. Shapes as in :mod:`SITTranslateLib.fields.tensors`."""
    with torch.autocast(image.device.type, enabled=False):
        changed = image.float() if intensity_change is None else image.float() + intensity_change.float()
        return changed if sampling is None else tensors.warp(changed, sampling, axes)
