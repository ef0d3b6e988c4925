"""Pixel shuffle in 1D to 3D: a rearrangement between resolution and channels.

Shi et al., CVPR 2016, with the order of channels of ``monai.networks.utils.pixelshuffle``; MONAI itself takes two
seconds to import, longer than such a network runs.
"""

from __future__ import annotations

from torch import Tensor


def pixel_shuffle(features: Tensor, axes: int, factor: int) -> Tensor:
    """``(B, C * factor**axes, ...)`` to ``(B, C, ...)`` with ``factor`` times as many voxels along each axis.

    Args:
        axes: spatial axes, the last ones of the tensor.
    """
    batch, channels, *sizes = features.shape
    parts = features.reshape(batch, channels // factor**axes, *[factor] * axes, *sizes)
    # Channel axes of each spatial axis go behind it.
    order = [position for axis in range(axes) for position in (2 + axes + axis, 2 + axis)]
    return parts.permute(0, 1, *order).reshape(batch, -1, *[factor * size for size in sizes])


def pixel_unshuffle(features: Tensor, axes: int, factor: int) -> Tensor:
    """The reverse of :func:`pixel_shuffle`; sizes must be divisible by ``factor``.

    Raises:
        ValueError: a size is not divisible.
    """
    batch, channels, *sizes = features.shape
    if any(size % factor for size in sizes):
        raise ValueError(f"sizes {tuple(sizes)} are not divisible by {factor}")
    split = [part for size in sizes for part in (size // factor, factor)]
    parts = features.reshape(batch, channels, *split)
    inner, outer = [3 + 2 * axis for axis in range(axes)], [2 + 2 * axis for axis in range(axes)]
    return parts.permute(0, 1, *inner, *outer).reshape(batch, -1, *[size // factor for size in sizes])
