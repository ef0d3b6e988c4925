"""Discriminators of the cross-contrast systems and their losses.

Least squares on raw scores (Mao et al., ICCV 2017); several scales by average pooling of the input, each with its own
patch discriminator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning.fabric import Fabric
from monai.losses.adversarial_loss import PatchAdversarialLoss
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from SITTranslateLib.systems.layers.blocks import normalisation

#: MONAI puts a leaky ReLU on the scores by default.
_LEAST_SQUARES = PatchAdversarialLoss(criterion="least_squares", no_activation_leastsq=True)


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
        for patches in self.scales:
            scores.append(patches(image).float())
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


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """``(D(real) - 1)^2 + D(fake)^2``, mean over scales."""
    return _LEAST_SQUARES(real, True, True) + _LEAST_SQUARES(fake, False, True)


def generator_loss(fake: list[Tensor]) -> Tensor:
    """``(D(fake) - 1)^2``, mean over scales."""
    return _LEAST_SQUARES(fake, True, False)


class Discriminators:
    """Discriminators by name, each with an optimiser of its own.

    Args:
        modules: what judges, by name; none for a recipe without adversarial terms.
        rate: of Adam.
    """

    def __init__(self, fabric: Fabric, modules: Mapping[str, nn.Module], rate: float = 2e-4) -> None:
        self.fabric = fabric
        self.modules: dict[str, Any] = {}
        self.adams: dict[str, Any] = {}
        for name, module in modules.items():
            adam = torch.optim.Adam(module.parameters(), lr=rate, betas=(0.5, 0.999))
            self.modules[name], self.adams[name] = fabric.setup(module, adam)

    def generator_loss(self, name: str, fake: Tensor) -> Tensor:
        """Generator loss against a discriminator."""
        return generator_loss(self.modules[name](fake))

    def update(self, judged: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, float]:
        """One step of every discriminator that has something to judge; its loss by name."""
        logged = {}
        for name, (real, fake) in judged.items():
            module = self.modules[name]
            loss = discriminator_loss(module(real.detach()), module(fake.detach()))
            self.adams[name].zero_grad()
            self.fabric.backward(loss)
            self.adams[name].step()
            logged[f"discriminator_{name}"] = float(loss.detach())
        return logged

    def state(self) -> dict[str, Any]:
        """Their state for a checkpoint."""
        adams = {f"critic_adam_{name}": adam for name, adam in self.adams.items()}
        return {f"critic_{name}": module for name, module in self.modules.items()} | adams
