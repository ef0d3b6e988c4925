"""Tissue probabilities of a head scan in any contrast, by the network that comes with the library."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.segmentation.tissues import BRAIN, normalised

WEIGHTS = Path(__file__).with_name("weights.safetensors")
"""Trained by ``sittranslate train structure-map``, float16."""
BRAIN_ML = (250.0, 2600.0)
"""What is found of a brain (with its fluid) lies between these, or it is no head, or not enough of one."""


@cache
def tissue_network(weights: Path = WEIGHTS) -> TissueNetwork:
    """The trained network, ready to use."""
    stored = load_file(weights)
    first = {n: v.float() if v.is_floating_point() else v for n, v in stored.items()}
    levels = sum(name.startswith("down.") and name.endswith(".0.weight") for name in first)
    widths = [first[f"down.{level}.0.weight"].shape[0] for level in range(levels)]
    network = TissueNetwork(widths)
    network.load_state_dict(first)
    return network.eval()


@torch.no_grad()
def tissue_probabilities(scan: Tensor, device: str | torch.device = "cpu") -> Tensor:
    """Probability of each class ``(1, classes, K, J, I)`` of a scan ``(1, 1, K, J, I)``.

    The scan lies at 2 mm with axes (i, j, k) along R, A, S, in native units; heads may be turned by some 20 degrees.
    """
    image = torch.from_numpy(normalised(scan[0, 0].cpu().numpy()))[None, None].to(device)
    network = tissue_network().to(device)
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        logits = network(image)
    found: Tensor = logits.float().softmax(dim=1)
    return found


def brain_millilitres(probabilities: Tensor, spacing_mm: float) -> float:
    """Volume of brain and its fluid."""
    share = probabilities[:, list(BRAIN)].sum(dim=1)
    return float(share[share > 0.5].numel()) * spacing_mm**3 / 1000.0


def shows_a_brain(probabilities: Tensor, spacing_mm: float) -> bool:
    """Whether as much brain was found as a head holds."""
    low, high = BRAIN_ML
    return bool(low < brain_millilitres(probabilities, spacing_mm) < high) and bool(
        np.isfinite(float(probabilities.sum()))
    )
