"""The synthesis module of SASAN: an encoder, and a decoder whose normalisation depends on attention maps."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from SITTranslateLib.systems.layers.blocks import (
    ConvolutionBlock,
    PixelNorm,
    Raise,
    convolution,
    normalisation,
    standardised,
)


class AdaptiveNormalisation(nn.Module):
    """``(1 + gamma(m)) norm(x) + beta(m)``: gamma and beta are maps predicted from the attention maps ``m``.

    The paper's norm is that of each image and channel (instance); here it carries no weights of its own.
    """

    def __init__(self, axes: int, channels: int, maps: int, hidden: int, norm: str) -> None:
        super().__init__()
        self.norm = _plain(norm, axes, channels)
        self.read = nn.Sequential(convolution(axes, maps, hidden), nn.ReLU())
        self.gamma = convolution(axes, hidden, channels)
        self.beta = convolution(axes, hidden, channels)

    def forward(self, features: Tensor, maps: Tensor) -> Tensor:
        if maps.shape[2:] != features.shape[2:]:
            maps = nn.functional.interpolate(maps, size=features.shape[2:])
        steering = self.read(maps)
        return (1 + self.gamma(steering)) * self.norm(features) + self.beta(steering)


def _plain(norm: str, axes: int, channels: int) -> nn.Module:
    if norm == "pixel":
        return PixelNorm(channels, elementwise_affine=False)
    if norm == "batch":
        return (nn.BatchNorm3d if axes == 3 else nn.BatchNorm2d)(channels, affine=False)
    return normalisation(norm, axes, channels)


class AdaptiveBlock(nn.Module):
    """A residual block of two adaptive normalisations and convolutions; a 1x1 shortcut where channels change."""

    def __init__(self, axes: int, inputs: int, outputs: int, maps: int, hidden: int, norm: str) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.norms = nn.ModuleList([AdaptiveNormalisation(axes, c, maps, hidden, norm) for c in (inputs, middle)])
        self.convolutions = nn.ModuleList([convolution(axes, inputs, middle), convolution(axes, middle, outputs)])
        self.shortcut = nn.Identity() if inputs == outputs else convolution(axes, inputs, outputs, 1)

    def forward(self, features: Tensor, maps: Tensor) -> Tensor:
        changed = features
        for norm, conv in zip(self.norms, self.convolutions, strict=True):
            changed = conv(nn.functional.leaky_relu(norm(changed, maps), 0.2))
        return self.shortcut(features) + changed


class SynthesisModule(nn.Module):
    """An image ``(B, inputs, J, I)`` and attention maps to an image of as many channels (slices).

    Args:
        widths: channels at full, half and quarter resolution (the paper's 32, 64, 128).
        hidden: channels between maps and gamma, beta (64 in the paper; it sets most of the cost).
    """

    def __init__(self, axes: int, inputs: int, maps: int, widths: Sequence[int], hidden: int, norm: str) -> None:
        super().__init__()
        full, half, quarter = widths
        self.encoder = nn.Sequential(
            ConvolutionBlock(axes, inputs, full, "none", 5 if axes == 2 else 3),
            ConvolutionBlock(axes, full, half, norm, stride=2),
            ConvolutionBlock(axes, half, quarter, norm, stride=2),
            ConvolutionBlock(axes, quarter, quarter, norm),
        )
        self.decoder = nn.ModuleList(
            [
                AdaptiveBlock(axes, quarter, quarter, maps, hidden, norm),
                AdaptiveBlock(axes, quarter, half, maps, hidden, norm),
                AdaptiveBlock(axes, half, full, maps, hidden, norm),
            ]
        )
        self.raises = nn.ModuleList([Raise(axes, c, c, "none", 1) for c in (quarter, half)])
        self.out = nn.Sequential(ConvolutionBlock(axes, full, max(full // 2, 8), "none"))
        self.last = convolution(axes, max(full // 2, 8), inputs)

    def encode(self, image: Tensor) -> Tensor:
        """The code at a quarter of the resolution, the input of latent discriminators."""
        return self.encoder(standardised(image))

    def decode(self, code: Tensor, maps: Tensor) -> Tensor:
        features = code
        for index, block in enumerate(self.decoder):
            if index:
                features = self.raises[index - 1](features)
            features = block(features, maps)
        return self.last(self.out(features)).float()

    def forward(self, image: Tensor, maps: Tensor) -> Tensor:
        return self.decode(self.encode(image), maps)
