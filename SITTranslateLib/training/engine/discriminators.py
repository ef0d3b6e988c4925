"""Discriminators of the cross-contrast systems and their losses.

Least squares on raw scores (Mao et al., ICCV 2017); several scales by average pooling of the input, each with its own
patch discriminator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from SITTranslateLib.systems.layers.blocks import normalisation


class PatchScales(nn.Module):
    """PatchGAN at one or more scales; gives one map of scores a scale.

    Args:
        axes: 2 or 3.
        inputs: channels; with ``groups`` = inputs, one independent discriminator a channel (a class each).
        spectral: spectral normalisation and no other; otherwise instance normalisation.
    """

    def __init__(
        self, axes: int, inputs: int, width: int = 24, scales: int = 1, groups: int = 1, spectral: bool = True
    ) -> None:
        super().__init__()
        self.pool: nn.Module = (nn.AvgPool3d if axes == 3 else nn.AvgPool2d)(2)
        self.scales = nn.ModuleList([_patches(axes, inputs, width, groups, spectral) for _ in range(scales)])

    def forward(self, image: Tensor) -> list[Tensor]:
        scores = []
        for critic in self.scales:
            scores.append(critic(image).float())
            image = self.pool(image)
        return scores


def _patches(axes: int, inputs: int, width: int, groups: int, spectral: bool) -> nn.Module:
    conv = nn.Conv3d if axes == 3 else nn.Conv2d

    def layer(a: int, b: int, stride: int) -> nn.Module:
        made = conv(a, b, 4 if stride == 2 else 3, stride=stride, padding=1, groups=groups)
        return spectral_norm(made) if spectral else made

    layers: list[nn.Module] = []
    channels = inputs
    for level in range(3):
        wider = width * 2**level * groups
        layers += [layer(channels, wider, 2)]
        layers += [] if spectral or level == 0 else [normalisation("instance", axes, wider)]
        layers += [nn.LeakyReLU(0.2)]
        channels = wider
    return nn.Sequential(*layers, layer(channels, groups, 1))


def critic_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """``(D(real) - 1)^2 + D(fake)^2``, mean over scales."""
    return torch.stack([(r - 1).square().mean() + f.square().mean() for r, f in zip(real, fake, strict=True)]).mean()


def generator_loss(fake: list[Tensor]) -> Tensor:
    """``(D(fake) - 1)^2``, mean over scales."""
    return torch.stack([(f - 1).square().mean() for f in fake]).mean()
