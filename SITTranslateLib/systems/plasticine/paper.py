"""Plasticine as in its paper, as far as its figures show: slice by slice, on clusters of the scan itself.

Kept for comparison. Zhang et al., arXiv 2512.18455: the structure map is a clustering of pixels, the renderer predicts
the noise, the deformation network gives two velocities (there and back, which nothing makes each other's inverse), in
pixels. Loss weights, widths and the number of steps are not published: those here are this project's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.fields import tensors
from SITTranslateLib.systems.layers.blocks import convolution
from SITTranslateLib.systems.layers.samplers import clean_of, noised, sample
from SITTranslateLib.systems.network import NetworkOutput, Progress
from SITTranslateLib.systems.plasticine.network import carried_back
from SITTranslateLib.systems.plasticine.renderer import Renderer, from_diffusion, to_diffusion
from SITTranslateLib.systems.plasticine.unet import ModulatedUNet

#: A slice as a volume of one voxel's height, so that the fields of the 3D system serve: pixels instead of mm.
PIXELS = np.eye(3)
SQUARINGS = 7
ITERATIONS = 12


def clustered(image: Tensor, clusters: int) -> Tensor:
    """Cluster of each pixel by brightness, 0 to 1, of slices ``(B, 1, J, I)``: k-means, begun at quantiles."""
    found = []
    for values in image.float().flatten(1):
        centres = torch.quantile(values, torch.linspace(0.02, 0.98, clusters, device=values.device))
        for _ in range(ITERATIONS):
            nearest = (values[:, None] - centres).abs().argmin(dim=1)
            counts = torch.bincount(nearest, minlength=clusters)
            sums = torch.zeros_like(centres).index_add_(0, nearest, values)
            centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
        order = centres.argsort().argsort()
        nearest = (values[:, None] - centres).abs().argmin(dim=1)
        found.append(order[nearest].float() / (clusters - 1))
    return torch.stack(found).view_as(image)


class PaperPlasticineNetwork(nn.Module):
    """Slices of one contrast from those of another, each moved by a field of its own.

    Args:
        source, target: names of the contrasts.
        clusters: of the structure map.
        renderer_widths, squeeze, deformation_widths: of the two networks.
        bound_px: soft upper bound of a velocity's length, pixels.
        steps: of the sampler.
        start: noise level that the source is brought to.
    """

    def __init__(
        self,
        source: str,
        target: str,
        clusters: int = 5,
        renderer_widths: Sequence[int] = (32, 48, 64),
        squeeze: int = 8,
        deformation_widths: Sequence[int] = (16, 32, 48),
        bound_px: float = 12.0,
        steps: int = 10,
        start: float = 0.98,
    ) -> None:
        super().__init__()
        self.source, self.target, self.clusters = source, target, clusters
        self.bound_px, self.steps, self.start = bound_px, steps, start
        self.renderer = Renderer(1, axes=2, widths=renderer_widths, squeeze=squeeze)
        self.deformation = TwoVelocities(deformation_widths)

    def fields_of(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Sampling field, backward field ``(B, 3, 1, J, I)`` and the two velocities of first features."""
        there, back = (tensors.soft_bound(v, self.bound_px) for v in self.deformation.velocities(features))
        flows = [tensors.exponential(v, PIXELS, steps=SQUARINGS) for v in (there, back)]
        return flows[0], flows[1], there, back

    @torch.no_grad()
    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        """See :class:`SITTranslateLib.systems.network.TranslationNetwork`; axial slices, one after another."""
        axes, slices = affine[:3, :3], []
        for number in range(image.shape[2]):
            slices.append(self._slice(image[:, :, number].float()))
            if progress is not None:
                progress((number + 1) / image.shape[2])
        unmoved, pixels = (torch.cat(parts, dim=2) for parts in zip(*slices, strict=True))
        displacement = torch.einsum("bdkji,cd->bckji", pixels, torch.as_tensor(axes, dtype=torch.float32))
        translated = tensors.warp(unmoved, displacement, axes)
        return NetworkOutput(translated=translated, intensity_change=unmoved - image, displacement=displacement)

    def _slice(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The new contrast where the source lies, and the sampling field in pixels, of one slice."""
        sampling, motion, _, _ = self.fields_of(self.deformation.features(image))
        structure = tensors.warp(clustered(image, self.clusters)[:, :, None], sampling, PIXELS)[:, :, 0]

        def denoise(noisy: Tensor, level: float) -> Tensor:
            noise = self.renderer(noisy, structure, noisy.new_full((len(noisy),), level))
            return clean_of("noise", noise, noisy, level).clamp(-3.0, 6.0)

        noisy = noised(to_diffusion(image), torch.randn_like(image), self.start)
        rendered = from_diffusion(sample(denoise, noisy, steps=self.steps, start=self.start))
        return carried_back(rendered[:, :, None], sampling, motion, PIXELS), sampling


class TwoVelocities(nn.Module):
    """The deformation network with its switch: source alone, or source, target and the noise found in the target."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.alone = convolution(2, 1, widths[0])
        self.together = convolution(2, 3, widths[0])
        self.unet = ModulatedUNet(2, widths[0], widths, "instance", modulated=False)
        self.head = convolution(2, widths[0], 4)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def features(self, source: Tensor, target: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """First features of slices ``(B, 1, J, I)``."""
        if target is None or noise is None:
            return self.alone(source)
        return self.together(torch.cat((source, target, noise), dim=1))

    def velocities(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """There and back, in pixels, as volumes of one voxel's height ``(B, 3, 1, J, I)``."""
        maps = self.head(self.unet(features)).float()
        there, back = (
            torch.cat((part, torch.zeros_like(part[:, :1])), dim=1)[:, :, None] for part in (maps[:, :2], maps[:, 2:])
        )
        return there, back
