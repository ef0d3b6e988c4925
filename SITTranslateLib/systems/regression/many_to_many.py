"""A U-Net between any of several contrasts, trained on pairs: the upper baseline of ALDM's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.systems.layers.blocks import convolution
from SITTranslateLib.systems.layers.unet import UNet
from SITTranslateLib.systems.network import NetworkOutput, Progress


class AnyRegressionNetwork(nn.Module):
    """The scan and one plane a contrast, of ones for the target; 3D, whole heads.

    Args:
        contrasts: that can be read and made, by class.
        widths: channels at each level.
    """

    def __init__(self, contrasts: Sequence[str], widths: Sequence[int] = (16, 32, 64, 96)) -> None:
        super().__init__()
        self.contrasts = self.targets = tuple(contrasts)
        self.multiple = 2 ** (len(widths) - 1)
        self.unet = UNet(3, 1 + len(self.contrasts), widths, "pixel")
        self.head = convolution(3, widths[0], 1, 1)

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Images ``(B, 1, K, J, I)`` of images and targets ``(B, contrasts)`` (one-hot)."""
        planes = target[:, :, None, None, None].expand(-1, -1, *image.shape[2:])
        return image + self.head(self.unet(torch.cat((image, planes), dim=1))).float()

    @torch.no_grad()
    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        """See :class:`SITTranslateLib.systems.network.TranslationNetwork`; ``target`` is the index of a contrast."""
        short = [-n % self.multiple for n in reversed(image.shape[2:])]
        padded = nn.functional.pad(image.float(), [v for n in short for v in (0, n)])
        code = torch.zeros(1, len(self.contrasts), device=image.device)
        code[0, int(request["target"])] = 1.0
        k, j, i = image.shape[2:]
        return NetworkOutput(translated=self(padded, code)[..., :k, :j, :i].clamp(0.0, 4.0), keeps_geometry=True)
