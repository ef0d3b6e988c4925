"""The intensity branch: a small conditional diffusion network that renders the target contrast on a structure map.

It is trained on scans of the target contrast alone, each with its own structure map (Zhang et al., "Plasticine",
arXiv 2512.18455, algorithm 1), here in 3D in the Haar space of 2 mm voxels, where nothing is lost and no codec is
needed. It predicts the clean image and not the noise, which few steps need.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from SITTranslateLib.systems.layers.blocks import convolution
from SITTranslateLib.systems.plasticine.haar import haar, inverse_haar
from SITTranslateLib.systems.plasticine.unet import ModulatedUNet

#: Network units (air 0, the head's median 0.5) to about unit variance, as diffusion wants it.
MIDDLE, SPREAD = 0.3, 0.4


def to_diffusion(image: Tensor) -> Tensor:
    """Network units to the diffusion's."""
    return (image.float() - MIDDLE) / SPREAD


def from_diffusion(image: Tensor) -> Tensor:
    """The diffusion's units to the network's."""
    return image.float() * SPREAD + MIDDLE


class Renderer(nn.Module):
    """The clean image, in the diffusion's units, of a noisy one and the structure map that it shall have.

    Args:
        channels: of the structure map.
        axes: 2 or 3.
        widths: channels of the U-Net's levels, the first at half the image's resolution.
        squeeze: channels that the structure map's bands are mixed down to.
        norm: of :mod:`SITTranslateLib.systems.layers.blocks`.
    """

    def __init__(
        self,
        channels: int,
        axes: int = 3,
        widths: Sequence[int] = (32, 48, 64),
        squeeze: int = 24,
        norm: str = "pixel",
    ) -> None:
        super().__init__()
        bands = 2**axes
        self.squeeze = convolution(axes, channels * bands, squeeze, 1)
        self.unet = ModulatedUNet(axes, bands + squeeze, widths, norm)
        self.head = convolution(axes, widths[0], bands)
        #: Each channel's own brightness: most of a contrast is one value for each tissue.
        self.paint = convolution(axes, channels, 1, 1)

    def forward(self, noisy: Tensor, structure: Tensor, level: Tensor) -> Tensor:
        """Clean images of noisy ones ``(B, 1, K, J, I)``, structure ``(B, channels, K, J, I)``, levels ``(B,)``."""
        folded = torch.cat((haar(noisy), self.squeeze(haar(structure))), dim=1)
        rendered = self.paint(structure)
        return rendered.float() + inverse_haar(self.head(self.unet(folded, level)).float())
