"""MS-SPADE: one generator for all targets, switched by its normalisation.

Kim & Park, "Adaptive Latent Diffusion Model for 3D Medical Image to Image Translation", WACV 2024: spatially adaptive
normalisation (Park et al., CVPR 2019) whose map is the latent itself, with one set of weights for each target.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from SITTranslateLib.systems.layers.blocks import convolution

SLOPE = 0.2


class SwitchableNorm(nn.Module):
    """``IN(x) (1 + gamma_c(z)) + beta_c(z)``: instance-normalised features, modulated for target c by the latent z."""

    def __init__(self, channels: int, latent: int, hidden: int, targets: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm3d(channels)
        self.branches = nn.ModuleList(
            [
                nn.Sequential(convolution(3, latent, hidden), nn.ReLU(), convolution(3, hidden, 2 * channels))
                for _ in range(targets)
            ]
        )

    def forward(self, features: Tensor, latent: Tensor, target: int) -> Tensor:
        gamma, beta = self.branches[target](latent).chunk(2, dim=1)
        return self.norm(features) * (1.0 + gamma) + beta


class SwitchableBlock(nn.Module):
    """Residual block: twice (switchable norm, leaky ReLU, convolution), beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, latent: int, hidden: int, targets: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([SwitchableNorm(n, latent, hidden, targets) for n in (inputs, outputs)])
        self.convolutions = nn.ModuleList([convolution(3, n, outputs) for n in (inputs, outputs)])
        self.shortcut = convolution(3, inputs, outputs, 1)

    def forward(self, features: Tensor, latent: Tensor, target: int) -> Tensor:
        out = features
        for norm, convolve in zip(self.norms, self.convolutions, strict=True):
            out = convolve(nn.functional.leaky_relu(norm(out, latent, target), SLOPE))
        return self.shortcut(features) + out


class SwitchableGenerator(nn.Module):
    """Prediction of the target's latent from the source's: ALDM's preview, and the condition of its diffusion.

    Args:
        latent: channels.
        widths: channels between the blocks; there is one block more than widths.
        hidden: channels of the branches.
        targets: how many.
        mapped: the inputs are the source's latent and that of the mapped scan, and the output is added
            to the latter; nothing before it is trained.
    """

    def __init__(self, latent: int, widths: Sequence[int], hidden: int, targets: int, *, mapped: bool = False) -> None:
        super().__init__()
        inputs = 2 * latent if mapped else latent
        channels = [inputs, *widths, latent]
        self.blocks = nn.ModuleList([SwitchableBlock(a, b, inputs, hidden, targets) for a, b in pairwise(channels)])
        self.head = convolution(3, latent, latent, 1) if mapped else None
        for parameter in self.head.parameters() if self.head is not None else ():
            nn.init.zeros_(parameter)

    def forward(self, latent: Tensor, target: int, mapped: Tensor | None = None) -> Tensor:
        """Target-like latents of latents ``(B, latent, k, j, i)``, and of those of the mapped scan."""
        features = seen = latent if mapped is None else torch.cat((latent, mapped), dim=1)
        for block in self.blocks:
            features = block(features, seen, target)
        return features if self.head is None or mapped is None else mapped + self.head(features)


def cycled(generator: SwitchableGenerator, latent: Tensor, source: int, target: int) -> Tensor:
    """There and back: what the generator makes of the source's latent by way of the target."""
    return generator(generator(latent, target), source)


def one_hot(target: int, targets: int, like: Tensor) -> Tensor:
    """The target as a vector ``(B, targets)``."""
    code = torch.zeros(targets, device=like.device)
    code[target] = 1.0
    return code.expand(like.shape[0], targets)
