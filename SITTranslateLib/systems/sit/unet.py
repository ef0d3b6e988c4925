"""The conditional U-Net below every variant of SIT: 3D, half-resolution trunk, FiLM conditioning.

The image is folded to half its resolution (space to depth), so that the trunk costs an eighth of a full-resolution
one and keeps every voxel's value; full resolution is only restored for the head that needs it.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from SITTranslateLib.systems.layers.pixel_shuffle import pixel_shuffle, pixel_unshuffle


class FilmBlock(nn.Module):
    """Two convolutions, each normalised and modulated by the request (Perez et al., FiLM, AAAI 2018)."""

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [nn.Conv3d(inputs, outputs, 3, padding=1), nn.Conv3d(outputs, outputs, 3, padding=1)]
        )
        self.norms = nn.ModuleList([nn.InstanceNorm3d(outputs) for _ in range(2)])
        self.modulation = nn.Linear(condition, 4 * outputs)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        parts = self.modulation(condition)[:, :, None, None, None].chunk(4, dim=1)
        for index, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            gain, shift = parts[2 * index : 2 * index + 2]
            features = norm(convolution(features)) * (1 + gain) + shift
            features = nn.functional.leaky_relu(features, 0.1)
        return features


class ConditionalUNet(nn.Module):
    """Features at half resolution of an image under a request.

    Args:
        widths: channels at each level, the first at half the image's resolution.
        condition: length of the request's code (value and presence of each attribute).
    """

    def __init__(self, widths: tuple[int, ...], condition: int) -> None:
        super().__init__()
        self.embedding = nn.Sequential(nn.Linear(condition, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU())
        self.stem = FilmBlock(8, widths[0], 32)
        self.down = nn.ModuleList([FilmBlock(a, b, 32) for a, b in pairwise(widths)])
        self.up = nn.ModuleList([FilmBlock(a + b, a, 32) for a, b in pairwise(widths)])

    def forward(self, image: Tensor, request: Tensor) -> Tensor:
        """``image`` ``(B, 1, K, J, I)`` with even sizes, ``request`` ``(B, n)``; features ``(B, C, K/2, J/2, I/2)``."""
        condition = self.embedding(request)
        features = self.stem(pixel_unshuffle(image, 3, 2), condition)
        skips = []
        for block in self.down:
            skips.append(features)
            features = block(nn.functional.avg_pool3d(features, 2, ceil_mode=True), condition)
        for block, skip in zip(reversed(self.up), reversed(skips), strict=True):
            raised = nn.functional.interpolate(features, size=skip.shape[2:], mode="nearest")
            features = block(torch.cat((skip, raised), dim=1), condition)
        return features


class FullResolutionHead(nn.Module):
    """Channels at full resolution from half-resolution features and the image itself."""

    def __init__(self, features: int, outputs: int, width: int = 8, zero: bool = True) -> None:
        super().__init__()
        self.spread = nn.Conv3d(features, width * 8, 1)
        self.mix = nn.Conv3d(width + 1, width, 3, padding=1)
        self.final = nn.Conv3d(width, outputs, 3, padding=1)
        if zero:
            nn.init.zeros_(self.final.weight)
            nn.init.zeros_(self.final.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        fine = pixel_shuffle(self.spread(features), 3, 2)
        fine = nn.functional.leaky_relu(self.mix(torch.cat((fine, image.to(fine.dtype)), dim=1)), 0.1)
        return self.final(fine)
