"""The spatial branch: a velocity predicted from a source, trained with the target image.

A switch at the input (Zhang et al., "Plasticine", figure of the method): in training the network also sees the target
and the noise that the renderer found in it; in use it sees the source alone, and an alignment term has taught the
first features of the one to be those of the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.fields import tensors
from SITTranslateLib.systems.layers.blocks import convolution
from SITTranslateLib.systems.plasticine.unet import ModulatedUNet


class DeformationNetwork(nn.Module):
    """Velocity of the motion per unit of the attribute (mm RAS), on half the resolution.

    Args:
        channels: of a scan with its structure map.
        widths: channels of the U-Net's levels, the first at half resolution.
        smoothing_mm: Gaussian that band-limits the velocity.
        bound_mm: soft upper bound of its length.
        switch: with the branch that sees the target; packages have none.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int] = (16, 32, 48, 48),
        smoothing_mm: float = 3.0,
        bound_mm: float = 8.0,
        norm: str = "pixel",
        switch: bool = True,
    ) -> None:
        super().__init__()
        self.smoothing_mm, self.bound_mm = smoothing_mm, bound_mm
        self.alone = convolution(3, channels, widths[0])
        #: Sees the source, the target and the noise found in the target.
        self.together = convolution(3, 2 * channels + 1, widths[0]) if switch else None
        self.unet = ModulatedUNet(3, widths[0], widths, norm, modulated=False)
        self.head = nn.Conv3d(widths[0], 3, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def features(self, source: Tensor, target: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """First features of the switch: of the source alone, or with its target (all at full resolution)."""
        if target is None or self.together is None:
            return self.alone(_halved(source))
        assert noise is not None
        return self.together(_halved(torch.cat((source, target, noise), dim=1)))

    def velocity(self, features: Tensor, axes: NDArray[np.float64]) -> Tensor:
        """Velocity ``(B, 3, K/2, J/2, I/2)`` of first features; ``axes`` are the full grid's."""
        maps = self.head(self.unet(features)).float()
        with torch.autocast(maps.device.type, enabled=False):
            spacing = 2.0 * np.linalg.norm(axes, axis=0)
            sigma = tuple(float(self.smoothing_mm / s) for s in reversed(spacing))
            return tensors.soft_bound(tensors.gaussian(maps, sigma), self.bound_mm)  # type: ignore[arg-type]

    def forward(self, source: Tensor, axes: NDArray[np.float64]) -> Tensor:
        """Velocity of scans with their structure maps ``(B, channels, K, J, I)``, seen alone."""
        return self.velocity(self.features(source), axes)


def _halved(image: Tensor) -> Tensor:
    return nn.functional.avg_pool3d(image, 2)
