"""Contrast-independent structure map: tissue probabilities and normalised edges, computed inside the package.

The paper's structure map is a clustering of the scan's own intensities, which a contrast whose order of brightness
flips turns upside down (T1w to T2w 8.8 dB, where tissue classes gave 25.7); :mod:`.paper` keeps it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from SITTranslateLib.fields import tensors
from SITTranslateLib.segmentation import CLASSES, normalised
from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.segmentation.refinement import refined

#: Gaussian scales of the edges, voxels, and of the neighbourhood that they are compared with.
EDGE_SCALES, EDGE_NEIGHBOURHOOD = (0.7, 1.5), 4.0
#: Probability of *outside* above which nothing is rendered.
NOTHING = 0.99
CHANNELS = len(CLASSES) + len(EDGE_SCALES)


def tissue_probabilities(network: TissueNetwork, image: Tensor) -> Tensor:
    """Probabilities ``(B, classes, K, J, I)`` of scans ``(B, 1, K, J, I)`` at 2 mm, any linear units.

    The network says what to expect of a place, the scan's own brightness what is there.
    """
    seen = torch.from_numpy(np.stack([normalised(scan[0].float().cpu().numpy()) for scan in image])[:, None])
    seen = seen.to(image.device)
    return refined(torch.softmax(network(seen).float(), dim=1), seen)


def edges(image: Tensor) -> Tensor:
    """Edge strength of the scan relative to its neighbourhood, 0 to 1, at each of the scales.

    Neither gain nor offset nor the order of brightness matters.
    """
    found = []
    for scale in EDGE_SCALES:
        smooth = tensors.gaussian(image, (scale,) * 3)
        steepness = tensors.gradient(smooth, np.eye(3))[:, 0].square().sum(dim=1, keepdim=True).sqrt()
        around = tensors.gaussian(steepness, (EDGE_NEIGHBOURHOOD,) * 3)
        floor = 0.5 * steepness.mean(dim=(2, 3, 4), keepdim=True)
        found.append(steepness / (steepness + around + floor + 1e-6))
    return torch.cat(found, dim=1)


def structure_map(shares: Tensor, image: Tensor) -> Tensor:
    """Tissue shares ``(B, classes, K, J, I)`` with the edges of the scan ``(B, 1, K, J, I)`` that they belong to."""
    return torch.cat((shares, edges(image)), dim=1)
