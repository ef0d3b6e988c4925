"""The losses of the paper, slice by slice: noise prediction; mutual information both ways, smoothness, switch."""

from __future__ import annotations

import torch
from monai.losses.image_dissimilarity import GlobalMutualInformationLoss
from torch import Tensor

from SITTranslateLib.fields import tensors
from SITTranslateLib.systems.layers.samplers import noised
from SITTranslateLib.systems.plasticine.paper import PIXELS, PaperPlasticineNetwork, clustered
from SITTranslateLib.systems.plasticine.renderer import to_diffusion
from SITTranslateLib.training.recipes.plasticine.config import Terms

#: Slices of a training step.
SLICES = 4


def slices_of(volume: Tensor, seed: int) -> Tensor:
    """Some axial slices ``(SLICES, 1, J, I)`` of a volume ``(1, 1, K, J, I)``, from its middle half."""
    generator = torch.Generator().manual_seed(seed)
    count = volume.shape[2]
    chosen = torch.randint(count // 4, max(count // 4 + 1, 3 * count // 4), (SLICES,), generator=generator)
    return volume[0, 0, chosen][:, None]


def rendering_terms(network: PaperPlasticineNetwork, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Algorithm 1: the mean square error of the noise in a target slice, given its own clusters."""
    target = slices_of(batch["clean"], seed)
    noise, level = torch.randn_like(target), torch.rand(SLICES).clamp(0.02, 0.98)
    noisy = noised(to_diffusion(target), noise, level)
    found = network.renderer(noisy, clustered(target, network.clusters), level)
    return {"noise": (found - noise).square().mean()}


def deformation_terms(
    network: PaperPlasticineNetwork, batch: dict[str, Tensor], seed: int, weights: Terms
) -> dict[str, Tensor]:
    """Algorithm 2: the renderer is frozen and only lends the noise that it finds in the target."""
    source, target = slices_of(batch["source"], seed), slices_of(batch["target"], seed)
    with torch.no_grad():
        level = torch.rand(SLICES).clamp(0.02, 0.98)
        noisy = noised(to_diffusion(target), torch.randn_like(target), level)
        noise = network.renderer(noisy, clustered(target, network.clusters), level)
    alone = network.deformation.features(source)
    together = network.deformation.features(source, target, noise)
    sampling, backward, there, back = network.fields_of(together)
    information = GlobalMutualInformationLoss(num_bins=23)
    images = source[:, :, None].float(), target[:, :, None].float()
    terms = {
        "information": information(tensors.warp(images[0], sampling, PIXELS), images[1])
        + information(tensors.warp(images[1], backward, PIXELS), images[0]),
        "membrane": sum(tensors.gradient(v, PIXELS).square().mean() for v in (there, back)),
        "alignment": (alone.float() - together.float()).square().mean(),
    }
    return {name: value for name, value in terms.items() if getattr(weights, name)}  # type: ignore[misc]
