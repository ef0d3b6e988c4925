"""Paired regression: a U-Net trained on pairs, the upper baseline of every cross-contrast table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.systems.layers.blocks import convolution, spatial
from SITTranslateLib.systems.layers.unet import UNet
from SITTranslateLib.systems.layers.volumes import through_volume
from SITTranslateLib.systems.network import NetworkOutput, Progress


class RegressionNetwork(nn.Module):
    """One contrast from another, every slice that is seen; or, with ``outputs``, scores of classes.

    Args:
        source, target: names of the contrasts.
        dims, slices, norm: as for SA-UNIT.
        widths: channels at each level.
        outputs: classes to score (of the middle slice); 0 for an image.
    """

    def __init__(
        self,
        source: str,
        target: str,
        dims: float = 2.5,
        slices: int = 3,
        widths: Sequence[int] = (24, 48, 96, 96),
        norm: str = "pixel",
        outputs: int = 0,
    ) -> None:
        super().__init__()
        self.source, self.target, self.dims, self.slices = source, target, dims, slices
        self.multiple = 2 ** (len(widths) - 1)
        axes = spatial(dims)
        channels = slices if dims == 2.5 else 1
        self.unet = UNet(axes, channels, widths, norm)
        self.head = convolution(axes, widths[0], outputs or channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.unet(image)).float()

    @torch.no_grad()
    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        """See :class:`SITTranslateLib.systems.network.TranslationNetwork`."""
        translated = through_volume(
            self, image, dims=self.dims, slices=self.slices, multiple=self.multiple, progress=progress
        )
        return NetworkOutput(translated=translated, keeps_geometry=True)
