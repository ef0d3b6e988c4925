"""The networks of ALDM's second half: the denoiser of latents, and the network that restores the source's detail."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from SITTranslateLib.systems.layers.blocks import SelfAttention, convolution, standardised
from SITTranslateLib.systems.layers.pixel_shuffle import pixel_shuffle, pixel_unshuffle
from SITTranslateLib.systems.layers.samplers import PREDICTIONS, weights
from SITTranslateLib.systems.plasticine.unet import LEVEL_CODE, ModulatedBlock, level_code

#: ``residual``: what the target has beyond the preview, see :class:`ResidualDenoiser`; others as of the samplers.
LATENT_PREDICTIONS = (*PREDICTIONS, "residual")


class SwitchedUNet(nn.Module):
    """A U-Net whose blocks are modulated by a vector; self-attention at the bottom. Sizes of any kind.

    Args:
        inputs, outputs: channels.
        widths: channels of each level.
        condition: length of the vector.
        attention: at the bottom, where a head has a thousand places or fewer.
    """

    def __init__(
        self, inputs: int, outputs: int, widths: Sequence[int], condition: int, *, attention: bool = True
    ) -> None:
        super().__init__()
        self.stem = ModulatedBlock(3, inputs, widths[0], "pixel", condition)
        self.down = nn.ModuleList([ModulatedBlock(3, a, b, "pixel", condition) for a, b in pairwise(widths)])
        self.attention: nn.Module = SelfAttention(3, widths[-1], pool=1) if attention else nn.Identity()
        self.up = nn.ModuleList([ModulatedBlock(3, a + b, a, "pixel", condition) for a, b in pairwise(widths)])
        self.head = convolution(3, widths[0], outputs)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        features, skips = self.stem(features, condition), []
        for block in self.down:
            skips.append(features)
            features = block(nn.functional.avg_pool3d(features, 2, ceil_mode=True), condition)
        features = self.attention(features)
        for block, skip in zip(reversed(self.up), reversed(skips), strict=True):
            raised = nn.functional.interpolate(features, size=skip.shape[2:])
            features = block(torch.cat((skip, raised), dim=1), condition)
        return self.head(features).float()


class LatentDenoiser(nn.Module):
    """The clean latent (or its velocity), predicted from ``[noisy | source | target-like]``, level and target.

    It starts as the preview: a network that predicts the clean latent gives what it adds to the target-like one.
    """

    def __init__(self, latent: int, widths: Sequence[int], targets: int, prediction: str = "clean") -> None:
        super().__init__()
        self.prediction = prediction
        size = 2 * LEVEL_CODE
        self.embedding = nn.Sequential(
            nn.Linear(LEVEL_CODE + targets, size), nn.SiLU(), nn.Linear(size, size), nn.SiLU()
        )
        self.unet = SwitchedUNet(3 * latent, latent, widths, size)

    def forward(self, noisy: Tensor, source: Tensor, like: Tensor, level: Tensor, target: Tensor) -> Tensor:
        """Prediction for latents at levels ``(B,)`` and targets ``(B, targets)`` (one-hot)."""
        condition = self.embedding(torch.cat((level_code(level), target), dim=1))
        said = self.unet(torch.cat((noisy, source, like), dim=1), condition)
        return like + said if self.prediction == "clean" else said

    def scale(self, level: Tensor) -> Tensor | float:
        """What a unit of the network's answer is worth at levels ``(B,)``; the loss is divided by its square."""
        return 1.0


class ResidualDenoiser(LatentDenoiser):
    """The clean latent by way of what it has beyond the target-like one, preconditioned.

    For a residual r of variance s^2, ``n = signal r + sigma noise`` has the best linear estimate ``signal s^2 n / v``,
    ``v = signal^2 s^2 + sigma^2``, with an error of standard deviation ``s sigma / sqrt(v)``: the network answers in
    units of the latter what to add to the former (Karras et al., NeurIPS 2022, table 1; the residual of a regression
    as Mardani et al., 2025). Untrained it samples Gaussian residuals of spread s about the preview, so that the noise
    that a sample starts from always reaches it; a network that predicts the clean latent itself can leave it aside.

    Attributes:
        spread: s of each channel, measured once the preview is trained.
    """

    spread: Tensor

    def __init__(self, latent: int, widths: Sequence[int], targets: int, schedule: str) -> None:
        super().__init__(latent, widths, targets)
        self.schedule = schedule
        self.register_buffer("spread", torch.ones(1, latent, 1, 1, 1))

    def forward(self, noisy: Tensor, source: Tensor, like: Tensor, level: Tensor, target: Tensor) -> Tensor:
        signal, sigma = self._weights(level)
        variance = (signal * self.spread).square() + sigma.square()
        residual = noisy - signal * like
        said = super().forward(residual / variance.sqrt(), source, like, level, target) - like
        return like + signal * self.spread.square() / variance * residual + self.scale(level) * said

    def scale(self, level: Tensor) -> Tensor:
        signal, sigma = self._weights(level)
        return self.spread * sigma / ((signal * self.spread).square() + sigma.square()).sqrt()

    def _weights(self, level: Tensor) -> tuple[Tensor, Tensor]:
        signal, sigma = (w.to(level).reshape(-1, 1, 1, 1, 1) for w in weights(level, self.schedule))
        return signal, sigma


class Detail(nn.Module):
    """Detail of the source that the codec loses, added to the decoded image; untrained, zero.

    It works on blocks of 2 x 2 x 2 voxels as channels, at an eighth of the places.

    Args:
        widths: of the U-Net.
        targets: how many.
        shown: input images in addition to the decoded one: the source, or the source, the mapped scan and what
            the codec lost of that.
    """

    def __init__(self, widths: Sequence[int], targets: int, shown: int = 1) -> None:
        super().__init__()
        self.unet = SwitchedUNet(8 * (1 + shown), 8, widths, targets, attention=False)

    def forward(self, decoded: Tensor, shown: Tensor, target: Tensor) -> Tensor:
        """Images ``(B, 1, K, J, I)`` of even sizes, network units; ``shown`` ``(B, shown, K, J, I)``."""
        folded = pixel_unshuffle(standardised(torch.cat((decoded, shown), dim=1)), 3, 2)
        return decoded + pixel_shuffle(self.unet(folded, target), 3, 2) / 4.0
