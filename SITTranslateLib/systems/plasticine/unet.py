"""A U-Net over two or three axes whose blocks are modulated by the noise level of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from SITTranslateLib.systems.layers.blocks import convolution, normalisation

#: Length of the code of a noise level.
LEVEL_CODE = 32


def level_code(level: Tensor) -> Tensor:
    """Noise levels ``(B,)`` between 0 and 1 as sines and cosines ``(B, LEVEL_CODE)`` (Ho et al., NeurIPS 2020)."""
    frequencies = torch.exp(torch.linspace(0.0, math.log(200.0), LEVEL_CODE // 2, device=level.device))
    angles = level.float()[:, None] * frequencies
    return torch.cat((angles.sin(), angles.cos()), dim=1)


class ModulatedBlock(nn.Module):
    """Two convolutions, normalised and, if there is a condition, modulated by it (Perez et al., AAAI 2018)."""

    def __init__(self, axes: int, inputs: int, outputs: int, norm: str, condition: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([convolution(axes, n, outputs) for n in (inputs, outputs)])
        self.norms = nn.ModuleList([normalisation(norm, axes, outputs) for _ in range(2)])
        self.modulation = nn.Linear(condition, 4 * outputs) if condition else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor:
        parts: list[Tensor] = []
        if self.modulation is not None and condition is not None:
            code = self.modulation(condition)
            parts = list(code.reshape(*code.shape, *([1] * (features.ndim - 2))).chunk(4, dim=1))
        for index, (convolve, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            features = norm(convolve(features))
            if parts:
                features = features * (1 + parts[2 * index]) + parts[2 * index + 1]
            features = nn.functional.leaky_relu(features, 0.1)
        return features


class ModulatedUNet(nn.Module):
    """Features at the input's resolution, ``widths[0]`` channels; sizes of any kind.

    Args:
        axes: 2 or 3.
        inputs: channels.
        widths: channels of each level.
        norm: of :mod:`SITTranslateLib.systems.layers.blocks`.
        modulated: whether :meth:`forward` gets a noise level.
    """

    def __init__(self, axes: int, inputs: int, widths: Sequence[int], norm: str, modulated: bool = True) -> None:
        super().__init__()
        condition = LEVEL_CODE if modulated else 0
        self.embedding = (
            nn.Sequential(nn.Linear(condition, condition), nn.SiLU(), nn.Linear(condition, condition), nn.SiLU())
            if modulated
            else None
        )
        self.stem = ModulatedBlock(axes, inputs, widths[0], norm, condition)
        self.down = nn.ModuleList([ModulatedBlock(axes, a, b, norm, condition) for a, b in pairwise(widths)])
        self.up = nn.ModuleList([ModulatedBlock(axes, a + b, a, norm, condition) for a, b in pairwise(widths)])
        self.pool = nn.functional.avg_pool3d if axes == 3 else nn.functional.avg_pool2d

    def forward(self, image: Tensor, level: Tensor | None = None) -> Tensor:
        """Features of ``image`` ``(B, inputs, ...)`` at noise levels ``(B,)``."""
        condition = None if self.embedding is None or level is None else self.embedding(level_code(level))
        features, skips = self.stem(image, condition), []
        for block in self.down:
            skips.append(features)
            features = block(self.pool(features, 2, ceil_mode=True), condition)
        for block, skip in zip(reversed(self.up), reversed(skips), strict=True):
            raised = nn.functional.interpolate(features, size=skip.shape[2:], mode="nearest")
            features = block(torch.cat((skip, raised), dim=1), condition)
        return features
