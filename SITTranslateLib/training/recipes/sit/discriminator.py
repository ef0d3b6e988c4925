"""The discriminator of the StarGAN host: a 3D PatchGAN that also reads the attributes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class AttributeDiscriminator(nn.Module):
    """Realism of patches ``(B, 1, k, j, i)`` and attribute values ``(B, n)`` of scans ``(B, 1, K, J, I)``.

    Spectral normalisation instead of batch normalisation, which is not valid under a per-sample gradient penalty.
    Where nothing is adversarial it is left out (``spectral`` False): attributes are learned sooner without it.
    """

    def __init__(self, attributes: int, width: int = 16, levels: int = 4, spectral: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for level in range(levels):
            wider = min(width * 2**level, 96)
            convolution: nn.Module = nn.Conv3d(channels, wider, 4, stride=2, padding=1)
            layers += [spectral_norm(convolution) if spectral else convolution, nn.LeakyReLU(0.2)]
            channels = wider
        self.trunk = nn.Sequential(*layers)
        self.patches = nn.Conv3d(channels, 1, 3, padding=1)
        self.regressor = nn.Sequential(nn.Linear(channels * 8, 64), nn.LeakyReLU(0.2), nn.Linear(64, attributes))

    def forward(self, scan: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(scan)
        pooled = nn.functional.adaptive_avg_pool3d(features, 2).flatten(1)
        return self.patches(features).float(), self.regressor(pooled).float()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator (Lim and Ye, Geometric GAN, 2017)."""
    return torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()


def gradient_penalty(discriminator: AttributeDiscriminator, real: Tensor) -> Tensor:
    """R1: squared gradient of the discriminator at real scans (Mescheder et al., ICML 2018), per voxel."""
    probe = real.detach().requires_grad_(True)
    patches, _ = discriminator(probe)
    (gradient,) = torch.autograd.grad(patches.sum(), probe, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()
