"""The networks of ALDM's second half: the denoiser of latents, and the network that restores the source's detail."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from SITTranslateLib.systems.layers.blocks import SelfAttention, convolution, standardised
from SITTranslateLib.systems.layers.pixel_shuffle import pixel_shuffle, pixel_unshuffle
from SITTranslateLib.systems.plasticine.unet import LEVEL_CODE, ModulatedBlock, level_code


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
