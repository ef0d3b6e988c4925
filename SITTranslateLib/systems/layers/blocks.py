"""Convolutions, normalisations and residual blocks for two or three dimensions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from SITTranslateLib.systems.layers.pixel_shuffle import pixel_shuffle

NORMS = ("instance", "batch", "pixel", "none")
#: How a network sees a volume: single slices, slices with their neighbours as channels, or blocks.
DIMENSIONS = (2, 2.5, 3)


def spatial(dims: float) -> int:
    """Axes of the convolutions."""
    if dims not in DIMENSIONS:
        raise ValueError(f"dims {dims} is not one of 2, 2.5 and 3")
    return 3 if dims == 3 else 2


def standardised(image: Tensor) -> Tensor:
    """Network units (air 0, the head's median 0.5) with the contrast between tissues near 1, which learns faster."""
    return 4.0 * (image - 0.3)


def convolution(axes: int, inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Module:
    """A convolution padded with zeros to keep the size."""
    conv = nn.Conv3d if axes == 3 else nn.Conv2d
    return conv(inputs, outputs, size, stride=stride, padding=size // 2)


class PixelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each voxel.

    Unlike instance and batch normalisation it depends on nothing but the voxel, so that the field of view, the batch
    and the slice change nothing: a network trained on one works on another, and neighbouring slices agree.
    """

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


def normalisation(kind: str, axes: int, channels: int) -> nn.Module:
    """``instance`` (the papers'), ``batch``, ``pixel`` or ``none``."""
    if kind not in NORMS:
        raise ValueError(f"norm '{kind}' is not one of {', '.join(NORMS)}")
    if kind == "pixel":
        return PixelNorm(channels)
    if kind == "none":
        return nn.Identity()
    names = {"instance": (nn.InstanceNorm2d, nn.InstanceNorm3d), "batch": (nn.BatchNorm2d, nn.BatchNorm3d)}
    return names[kind][axes - 2](channels)


class ConvolutionBlock(nn.Sequential):
    """Convolution, normalisation, leaky ReLU."""

    def __init__(self, axes: int, inputs: int, outputs: int, norm: str, size: int = 3, stride: int = 1) -> None:
        super().__init__(
            convolution(axes, inputs, outputs, size, stride),
            normalisation(norm, axes, outputs),
            nn.LeakyReLU(0.1),
        )


class ResidualBlock(nn.Module):
    """``x + norm(conv(act(norm(conv(x)))))``; starts as the identity where the norm has a gain or there is none."""

    def __init__(self, axes: int, channels: int, norm: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvolutionBlock(axes, channels, channels, norm),
            convolution(axes, channels, channels),
            normalisation(norm, axes, channels),
        )
        for parameter in (self.body[1] if norm == "none" else self.body[2]).parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


class Raise(nn.Module):
    """Twice the resolution: each voxel's channels are spread over its 4 (or 8) halves, then normalised.

    Nearest neighbour and a convolution can hardly give the halves of a voxel values of their own, and blurs what is
    one voxel thin. All halves start with equal weights, so that there is no checkerboard (Aitken et al., 2017).
    """

    def __init__(self, axes: int, inputs: int, outputs: int, norm: str, size: int = 3) -> None:
        super().__init__()
        self.axes = axes
        self.spread = convolution(axes, inputs, outputs * 2**axes, size)
        self.norm, self.act = normalisation(norm, axes, outputs), nn.LeakyReLU(0.1)
        with torch.no_grad():
            for parameter in self.spread.parameters():
                parameter.copy_(parameter[:: 2**axes].repeat_interleave(2**axes, dim=0))

    def forward(self, features: Tensor) -> Tensor:
        return self.act(self.norm(pixel_shuffle(self.spread(features), self.axes, 2)))


class SelfAttention(nn.Module):
    """Self-attention of SAGAN (Zhang et al., ICML 2019): ``gamma o + x``, gamma 0 at the start.

    Queries and keys have an eighth of the channels; keys and values are max-pooled, which quarters the cost.
    """

    def __init__(self, axes: int, channels: int, pool: int = 2) -> None:
        super().__init__()
        narrow = max(channels // 8, 4)
        self.query = convolution(axes, channels, narrow, 1)
        self.key = convolution(axes, channels, narrow, 1)
        self.value = convolution(axes, channels, channels // 2, 1)
        self.out = convolution(axes, channels // 2, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))
        self.pool: nn.Module = (nn.MaxPool3d if axes == 3 else nn.MaxPool2d)(pool) if pool > 1 else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        query, key, value = self.query(features), self.pool(self.key(features)), self.pool(self.value(features))
        asked, offered, worth = (part.flatten(2).transpose(1, 2) for part in (query, key, value))
        attended = nn.functional.scaled_dot_product_attention(asked, offered, worth, scale=1.0)
        grid = attended.transpose(1, 2).unflatten(2, features.shape[2:])
        return features + self.gamma * self.out(grid)


def with_spectral_norm(module: nn.Module) -> nn.Module:
    """Spectral normalisation (Miyato et al., ICLR 2018) on every convolution of a module, in place."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d):
            spectral_norm(part)
    return module


def baked(module: nn.Module, settle: int = 20) -> nn.Module:
    """The same module with plain weights: what spectral normalisation divides by is settled, then multiplied in.

    Averaged weights need the settling: their power iteration was that of the live ones.
    """
    _each_normalised(module, lambda part: _settle(part, settle))
    _each_normalised(module, lambda part: remove_parametrizations(part, "weight", leave_parametrized=True))
    return module


def _settle(part: nn.Module, iterations: int) -> None:
    was_training = part.training
    part.train()
    with torch.no_grad():
        for _ in range(iterations):
            part.weight  # noqa: B018  (each reading is one power iteration)
    part.train(was_training)


def _each_normalised(module: nn.Module, do: Callable[[nn.Module], object]) -> None:
    for part in list(module.modules()):
        if is_parametrized(part, "weight"):
            do(part)
