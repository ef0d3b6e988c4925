"""The attention module of SASAN: a U-Net to attention maps, and one convolution from the maps to classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from SITTranslateLib.systems.layers.blocks import convolution
from SITTranslateLib.systems.layers.unet import UNet


class Attended(NamedTuple):
    """Attention maps ``(B, n, J, I)``, linear, and class scores ``(B, c, J, I)``."""

    maps: Tensor
    scores: Tensor


class AttentionModule(nn.Module):
    """``inputs`` channels to ``maps`` attention maps to ``classes`` scores, all at full resolution."""

    def __init__(
        self, axes: int, inputs: int, maps: int, classes: int, widths: Sequence[int], norm: str = "instance"
    ) -> None:
        super().__init__()
        self.unet = UNet(axes, inputs, widths, norm)
        self.maps = convolution(axes, widths[0], maps)
        self.head = convolution(axes, maps, classes)

    def forward(self, image: Tensor) -> Attended:
        maps = self.maps(self.unet(image))
        return Attended(maps, self.head(maps))


def orthogonality(maps: Tensor) -> Tensor:
    """Mean squared cosine between different maps of an image: 0 when each attends elsewhere.

    The paper's ``|A A^T - I|`` on maps of length 1; without that the term asks the maps to be small.
    """
    flat = nn.functional.normalize(maps.float().flatten(2), dim=2)
    gram = flat @ flat.transpose(1, 2)
    count = gram.shape[1]
    off_diagonal = gram - torch.eye(count, device=gram.device)
    return off_diagonal.square().sum(dim=(1, 2)).mean() / max(count * (count - 1), 1)
