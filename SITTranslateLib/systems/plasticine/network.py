"""Plasticine in 3D: the source's structure map, moved by a predicted velocity, rendered in the target's contrast.

Zhang et al., "Plasticine" (arXiv 2512.18455): a spatial and an intensity translator joined inside the denoising. The
paper is 2D and needs structure maps made beforehand; here the map is computed inside and belongs to no contrast, the
motion is ``exp(v)`` in mm with ``exp(-v)`` as its exact inverse, and v is linear in the attribute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.fields import tensors
from SITTranslateLib.segmentation import CLASSES
from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.systems.layers.samplers import SAMPLERS, levels, noised, sample
from SITTranslateLib.systems.network import NetworkOutput, Progress, after_step
from SITTranslateLib.systems.plasticine import structure_map as maps
from SITTranslateLib.systems.plasticine.deformation import DeformationNetwork
from SITTranslateLib.systems.plasticine.renderer import Renderer, from_diffusion, to_diffusion
from SITTranslateLib.systems.sit.layer import holds_data, to_full_resolution_smoothly

#: What a renderer may be guided by: the structure map, or (a regression, for the tables) the source scan itself.
GUIDES = ("structure", "source")
#: Corrections of the image that the motion turns into the rendered one; each halves what interpolation blurs.
CORRECTIONS = 4


class PlasticineNetwork(nn.Module):
    """One contrast from another, the anatomy moved by as much as the attribute asks for.

    Args:
        source, target: names of the contrasts.
        attribute: what moves the anatomy; not asked for, nothing moves.
        scale: value of the attribute for which the velocity is that of the network (10 years).
        renderer_widths, squeeze: see :class:`Renderer`.
        deformation_widths, smoothing_mm, bound_mm: see :class:`DeformationNetwork`.
        structure_widths: of the :class:`TissueNetwork`.
        guide: of :data:`GUIDES`.
        steps, sampler: see :mod:`SITTranslateLib.systems.layers.samplers`.
        samples: images drawn and averaged; two or more give an uncertainty map.
        start: noise level that the source is brought to before rendering; 1 is noise alone.
        switch: with the training's branch that sees the target.
        most: largest value of an image in network units, the end of the target's scale.
    """

    def __init__(
        self,
        source: str,
        target: str,
        attribute: str = "age",
        scale: float = 10.0,
        renderer_widths: Sequence[int] = (32, 48, 64),
        squeeze: int = 24,
        deformation_widths: Sequence[int] = (16, 24, 32, 32),
        smoothing_mm: float = 3.0,
        bound_mm: float = 8.0,
        structure_widths: Sequence[int] = (16, 32, 64, 96),
        guide: str = "structure",
        steps: int = 3,
        sampler: str = "ddim",
        samples: int = 3,
        start: float = 0.98,
        switch: bool = True,
        most: float = 4.0,
    ) -> None:
        super().__init__()
        if guide not in GUIDES:
            raise ValueError(f"guide '{guide}' is not one of {', '.join(GUIDES)}")
        if sampler not in SAMPLERS or samples < 1:
            raise ValueError(f"sampler '{sampler}' is not one of {', '.join(SAMPLERS)}, or there is no sample")
        levels(steps, start)
        self.source, self.target, self.attribute, self.scale = source, target, attribute, float(scale)
        self.guide, self.steps, self.sampler, self.samples = guide, steps, sampler, samples
        self.start, self.most = float(start), float(most)
        channels = maps.CHANNELS if guide == "structure" else 1
        self.renderer = Renderer(channels, widths=renderer_widths, squeeze=squeeze)
        if guide == "structure":
            self.structure = TissueNetwork(structure_widths)
            self.structure.requires_grad_(False)
            self.deformation = DeformationNetwork(
                1 + maps.CHANNELS, deformation_widths, smoothing_mm, bound_mm, switch=switch
            )

    def structure_of(self, image: Tensor) -> Tensor:
        """Structure map ``(B, channels, K, J, I)`` of scans in network units."""
        return maps.structure_map(maps.tissue_probabilities(self.structure, image), image)

    def velocity_of(self, image: Tensor, structure: Tensor, amount: float, axes: NDArray[np.float64]) -> Tensor:
        """Velocity on the image's grid (mm) for an amount of the attribute in its own unit; zero for none.

        Nothing moves at the edge of what was scanned (see :func:`SITTranslateLib.systems.sit.layer.holds_data`).
        """
        if amount == 0.0:
            return image.new_zeros((image.shape[0], 3, *image.shape[2:]), dtype=torch.float32)
        maps_ = self.deformation(torch.cat((image, structure), dim=1), axes)
        return (amount / self.scale) * to_full_resolution_smoothly(maps_) * holds_data(image)

    @torch.no_grad()
    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        """See :class:`SITTranslateLib.systems.network.TranslationNetwork`; even sizes.

        The request may name the attribute, ``steps`` (0: the intensity of each tissue and edge alone, without
        diffusion) and ``intermediate`` (1: what the image was taken to be after every step of the first sample, where
        the moved anatomy lies).

        ``image + intensity_change`` is the translation where the source's anatomy lies, and ``translated`` is that,
        moved: the same contract as SIT's, though the anatomy was moved before it was rendered.
        """
        report = progress or (lambda fraction: None)
        image = image.float()
        if self.guide == "source":
            return NetworkOutput(translated=self.regress(image).clamp(0.0, self.most), keeps_geometry=True)
        axes = affine[:3, :3]
        structure = self.structure_of(image)
        report(0.1)
        velocity = self.velocity_of(image, structure, float(request.get(self.attribute, 0.0)), axes)
        squarings = tensors.squarings(velocity, axes)
        sampling = tensors.exponential(velocity, axes, time=-1.0, steps=squarings)
        motion = tensors.exponential(velocity, axes, steps=squarings)
        still = not bool(velocity.any())
        moved = structure if still else tensors.warp(structure, sampling, axes)
        report(0.2)
        between: list[Tensor] | None = [] if request.get("intermediate", 0.0) >= 0.5 else None
        if request.get("steps", self.steps) == 0:
            drawn = [self.tissue_mapping(moved)]
        else:
            drawn = self.paint(image, moved, lambda done: report(0.2 + 0.7 * done), between)
        # Air, and what skull stripping removed, stays 0: no grey box about a head.
        empty = moved[:, :1] > maps.NOTHING
        rendered = torch.stack(drawn).mean(dim=0).masked_fill(empty, 0.0)
        # Where nothing is asked for, nothing is interpolated either.
        unmoved = (rendered if still else carried_back(rendered, sampling, motion, axes)).clamp(0.0, self.most)
        extras = {"within the scan": within(sampling, axes)}
        for n, believed in enumerate(between or ()):
            extras[after_step(n + 1, self.steps)] = believed.masked_fill(empty, 0.0).clamp(0.0, self.most)
        if len(drawn) > 1:
            extras["uncertainty"] = torch.stack(drawn).std(dim=0)
        report(1.0)
        return NetworkOutput(
            translated=unmoved if still else tensors.warp(unmoved, sampling, axes),
            intensity_change=unmoved - image,
            velocity=velocity,
            velocity_affine=affine,
            extras=extras,
            labels={"structure": moved[:, : len(CLASSES)].argmax(dim=1, keepdim=True).float()},
        )

    def paint(
        self, source: Tensor, structure: Tensor, progress: Progress, seen: list[Tensor] | None = None
    ) -> list[Tensor]:
        """Images of the target contrast drawn on a structure map, in network units, one a sample.

        Sampling starts from the noised source, as the paper's does (``start``), and goes down to the clean image;
        ``progress`` is called after every step and may raise to stop. ``seen`` gets the first sample as it was taken
        to be after each of its steps.
        """

        def denoise(noisy: Tensor, level: float) -> Tensor:
            return self.renderer(noisy, structure, noisy.new_full((len(noisy),), level))

        drawn: list[Tensor] = []
        for number in range(self.samples):
            noisy = noised(to_diffusion(source), torch.randn_like(source), self.start)

            def after(fraction: float, believed: Tensor, before: int = number) -> None:
                if seen is not None and before == 0:
                    seen.append(from_diffusion(believed))
                progress((before + fraction) / self.samples)

            clean = sample(denoise, noisy, steps=self.steps, sampler=self.sampler, start=self.start, done=after)
            drawn.append(from_diffusion(clean))
        return drawn

    def tissue_mapping(self, structure: Tensor) -> Tensor:
        """The renderer's first guess: each channel of a structure map with its own intensity, network units."""
        return from_diffusion(self.renderer.paint(structure))

    def regress(self, source: Tensor) -> Tensor:
        """The image that a renderer guided by the source gives in one go (``guide`` source)."""
        level = source.new_ones(len(source))
        return from_diffusion(self.renderer(torch.zeros_like(source), to_diffusion(source), level))


def carried_back(rendered: Tensor, sampling: Tensor, motion: Tensor, axes: NDArray[np.float64]) -> Tensor:
    """The image on the source's anatomy that, moved by ``sampling``, is ``rendered``.

    Reading between voxels blurs; what one way there and back has lost is added again a few times (Van Cittert).
    """
    back = tensors.warp(rendered, motion, axes)
    for _ in range(CORRECTIONS):
        back = back + tensors.warp(rendered - tensors.warp(back, sampling, axes), motion, axes)
    return back


def within(sampling: Tensor, axes: NDArray[np.float64]) -> Tensor:
    """1 where a voxel's content comes from inside the grid, 0 where its border was repeated."""
    steps = torch.einsum("bckji,dc->bkjid", sampling.float(), tensors.index_steps(axes, sampling))
    places = tensors.identity_indices(sampling.shape[2:], sampling.device) + steps  # type: ignore[arg-type]
    last = torch.tensor(sampling.shape[:1:-1], device=sampling.device) - 0.5
    return ((places > -0.5) & (places < last)).all(dim=-1)[:, None].float()
