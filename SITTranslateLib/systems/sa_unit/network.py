"""SA-UNIT: unsupervised image-to-image translation with a shared latent, self-attention and spectral normalisation.

Liu, Breuel, Kautz, "Unsupervised Image-to-Image Translation Networks", NIPS 2017, with the modifications of the CS230
(2019) poster on T1w and T2w scans; each is a switch here, so that every row of its table can be trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.systems.layers.blocks import (
    ConvolutionBlock,
    Raise,
    ResidualBlock,
    SelfAttention,
    convolution,
    spatial,
    standardised,
    with_spectral_norm,
)
from SITTranslateLib.systems.layers.volumes import through_volume
from SITTranslateLib.systems.network import NetworkOutput, Progress

ATTENTION = ("none", "encoder", "generator")
OUTPUTS = ("tanh", "linear")


class SAUnitNetwork(nn.Module):
    """Encoders and generators of some contrasts about one latent space.

    Args:
        encoders: contrasts that can be read; the first is the source of :meth:`translate`.
        generators: contrasts that can be made; the first that is not the source is its target.
        dims: 2, 2.5 (neighbouring slices as channels) or 3.
        slices: neighbours of a 2.5D network, odd.
        base: channels at full resolution, doubled at half.
        width: channels of the latent.
        blocks: residual blocks of each encoder and generator, beside the shared one on either side of the latent.
        attention: none, encoder or generator.
        pool: how much keys and values of the attention are pooled.
        norm: instance (the paper's), batch, pixel or none.
        spectral: parts with spectral normalisation while training (``encoder``, ``generator``); weights are shipped
            multiplied out, so that this is empty in packages.
        output: tanh (onto 0 to 2, the paper's) or linear.
        strides: halvings down to the latent (2 in the paper). One leaves thin cortex at 1 mm its own voxels.
    """

    def __init__(
        self,
        encoders: Sequence[str],
        generators: Sequence[str],
        dims: float = 2.5,
        slices: int = 3,
        base: int = 24,
        width: int = 64,
        blocks: int = 2,
        attention: str = "encoder",
        pool: int = 4,
        norm: str = "pixel",
        spectral: Sequence[str] = (),
        output: str = "linear",
        strides: int = 1,
    ) -> None:
        super().__init__()
        for value, known in ((attention, ATTENTION), (output, OUTPUTS)):
            if value not in known:
                raise ValueError(f"'{value}' is not one of {', '.join(known)}")
        if not encoders or set(spectral) - {"encoder", "generator"}:
            raise ValueError("there must be an encoder, and only 'encoder' and 'generator' can be spectral")
        self.contrasts = tuple(encoders), tuple(generators)
        self.dims, self.slices, self.output = dims, slices, output
        axes = spatial(dims)
        channels = slices if dims == 2.5 else 1
        widths = [base * 2**level for level in range(strides)] + [width]

        def encoder() -> nn.Module:
            parts: list[nn.Module] = [ConvolutionBlock(axes, channels, base, "none", 7 if axes == 2 else 3)]
            parts += [ConvolutionBlock(axes, a, b, norm, stride=2) for a, b in pairwise(widths)]
            parts += [ResidualBlock(axes, width, norm) for _ in range(blocks)]
            return nn.Sequential(*parts, *([SelfAttention(axes, width, pool)] if attention == "encoder" else []))

        def generator() -> nn.Module:
            raised = [Raise(axes, b, a, norm) for a, b in reversed(list(pairwise(widths)))]
            parts = [*raised, ConvolutionBlock(axes, base, base, "none"), convolution(axes, base, channels, 1)]
            return nn.Sequential(
                *(ResidualBlock(axes, width, norm) for _ in range(blocks)),
                *([SelfAttention(axes, width, pool)] if attention == "generator" else []),
                *parts,
            )

        self.encoders = nn.ModuleDict({name: encoder() for name in encoders})
        self.shared_in = ResidualBlock(axes, width, norm)
        self.shared_out = ResidualBlock(axes, width, norm)
        self.generators = nn.ModuleDict({name: generator() for name in generators})
        if "encoder" in spectral:
            with_spectral_norm(self.encoders)
            with_spectral_norm(self.shared_in)
        if "generator" in spectral:
            with_spectral_norm(self.generators)
            with_spectral_norm(self.shared_out)

    def encode(self, image: Tensor, contrast: str) -> Tensor:
        """Mean of the latent (its variance is 1): ``(B, width, J/2, I/2)`` (one stride) of ``(B, slices, J, I)``."""
        return self.shared_in(self.encoders[contrast](standardised(image)))

    def generate(self, latent: Tensor, contrast: str) -> Tensor:
        """The image of a latent, ``(B, slices, J, I)``, in network units: every slice that was seen."""
        image = self.generators[contrast](self.shared_out(latent)).float()
        return 1.0 + torch.tanh(image) if self.output == "tanh" else image

    def forward(self, image: Tensor, source: str, target: str) -> Tensor:
        return self.generate(self.encode(image, source), target)

    @torch.no_grad()
    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        """See :class:`SITTranslateLib.systems.network.TranslationNetwork`."""
        source = self.contrasts[0][0]
        target = next((c for c in self.contrasts[1] if c != source), source)
        translated = through_volume(
            lambda stack: self(stack, source, target),
            image,
            dims=self.dims,
            slices=self.slices,
            multiple=8,
            progress=progress,
        )
        return NetworkOutput(translated=translated, keeps_geometry=True)
