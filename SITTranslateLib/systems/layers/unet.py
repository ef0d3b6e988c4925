"""A plain U-Net over slices or blocks, used by SASAN's attention module and the regression network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from SITTranslateLib.systems.layers.blocks import ConvolutionBlock, standardised


class UNet(nn.Module):
    """Features at full resolution, ``widths[0]`` channels; sizes must be divisible by ``2 ** (levels - 1)``."""

    def __init__(self, axes: int, inputs: int, widths: Sequence[int], norm: str) -> None:
        super().__init__()

        def pair(a: int, b: int, stride: int = 1) -> nn.Module:
            return nn.Sequential(ConvolutionBlock(axes, a, b, norm, stride=stride), ConvolutionBlock(axes, b, b, norm))

        self.stem = ConvolutionBlock(axes, inputs, widths[0], "none", 5 if axes == 2 else 3)
        self.down = nn.ModuleList([pair(a, b, 2) for a, b in pairwise(widths)])
        self.up = nn.ModuleList([ConvolutionBlock(axes, a + b, a, norm) for a, b in pairwise(widths)])

    def forward(self, image: Tensor) -> Tensor:
        features, skips = self.stem(standardised(image)), []
        for block in self.down:
            skips.append(features)
            features = block(features)
        for block, skip in zip(reversed(self.up), reversed(skips), strict=True):
            raised = nn.functional.interpolate(features, scale_factor=2.0)
            features = block(torch.cat((skip, raised), dim=1))
        return features
