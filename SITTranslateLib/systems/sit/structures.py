"""SIT on the structures of the scan: the library's parcellation network, frozen, and a small head that is trained."""

from __future__ import annotations

import hashlib
from functools import cache

import torch
from torch import Tensor, nn

from SITTranslateLib.segmentation.parcellation import WEIGHTS, parcellation_network
from SITTranslateLib.segmentation.structures import CLASS_COUNT

FEATURES = CLASS_COUNT + 1
"""Probability of each class, and the scan's brightness."""


@cache
def parcellation_sha256() -> str:
    """Hash of the parcellation weights that come with the library."""
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()


@torch.no_grad()
def structure_features(image: Tensor) -> Tensor:
    """Structures at half resolution ``(B, FEATURES, K/2, J/2, I/2)`` of scans of 2 mm ``(B, 1, K, J, I)``, even sizes.

    Axes along R, A, S. As for the parcellation, the middle 99 % of the intensities become 0 to 1.
    """
    values = image.float()[..., ::2, ::2, ::2].flatten(1).sort(dim=1).values
    low, high = (values[:, round(q * (values.shape[1] - 1))].view(-1, 1, 1, 1, 1) for q in (0.005, 0.995))
    bright = ((image.float() - low) / (high - low).clamp(min=1e-6)).clamp(0.0, 1.0)
    network = parcellation_network().to(image.device)
    with torch.autocast(image.device.type, torch.bfloat16):
        logits = network(bright.contiguous(memory_format=torch.channels_last_3d))
    classes = logits[:, :-1].float().softmax(dim=1)
    return nn.functional.avg_pool3d(torch.cat((classes, bright), dim=1), 2)


class StructureHead(nn.Module):
    """Maps from :func:`structure_features`: a sum over structures, and a correction by their surroundings.

    Args:
        outputs: number of maps.
        width: channels of the correction.
    """

    def __init__(self, outputs: int, width: int = 32) -> None:
        super().__init__()
        self.sum = nn.Conv3d(FEATURES, outputs, 1)
        self.correction = nn.Sequential(
            nn.Conv3d(FEATURES, width, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv3d(width, width, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv3d(width, outputs, 3, padding=1),
        )
        for layer in (self.sum, self.correction[-1]):
            nn.init.normal_(layer.weight, std=1e-3)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Maps ``(B, outputs, K/2, J/2, I/2)``."""
        total: Tensor = self.sum(features) + self.correction(features)
        return total
