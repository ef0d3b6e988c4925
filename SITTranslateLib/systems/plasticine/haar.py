"""The orthonormal Haar transform: an image as averages and differences of neighbouring voxels, without loss.

A network that works on it sees every voxel at an eighth (a quarter in 2D) of the places, which is what makes it cheap.
Haar, Mathematische Annalen 1910;69:331.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor, nn


def _basis(axes: int, like: Tensor) -> Tensor:
    """``(2^axes, 1, 2, ..., 2)``: each band's weights of the voxels of a block; the first is their mean, scaled."""
    pair = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=like.dtype, device=like.device) / 2.0**0.5
    bands = []
    for choice in product(range(2), repeat=axes):
        band = pair[choice[0]]
        for which in choice[1:]:
            band = band[..., None] * pair[which]
        bands.append(band)
    return torch.stack(bands)[:, None]


def haar(image: Tensor) -> Tensor:
    """Bands ``(B, C 2^n, K/2, ...)`` of images ``(B, C, K, ...)`` of n axes with even sizes."""
    axes = image.ndim - 2
    convolve = nn.functional.conv3d if axes == 3 else nn.functional.conv2d
    weights = _basis(axes, image).repeat(image.shape[1], *([1] * (axes + 1)))
    return convolve(image, weights, stride=2, groups=image.shape[1])


def inverse_haar(bands: Tensor) -> Tensor:
    """The images ``(B, C, K, ...)`` of bands ``(B, C 2^n, K/2, ...)``."""
    axes = bands.ndim - 2
    convolve = nn.functional.conv_transpose3d if axes == 3 else nn.functional.conv_transpose2d
    channels = bands.shape[1] // 2**axes
    weights = _basis(axes, bands).repeat(channels, *([1] * (axes + 1)))
    return convolve(bands, weights, stride=2, groups=channels)
