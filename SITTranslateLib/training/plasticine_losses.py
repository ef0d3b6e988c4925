"""What Plasticine's two networks are trained to do; fields in mm, structure maps between 0 and 1."""

from __future__ import annotations

import numpy as np
import torch
from monai.losses.image_dissimilarity import GlobalMutualInformationLoss
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.fields import tensors
from SITTranslateLib.structure.tissues import BRAIN
from SITTranslateLib.training.losses import masked_mean
from SITTranslateLib.training.plasticine_config import Terms

#: Gaussian window of the local correlation, voxels of the half-resolution grid.
WINDOW = 2.0


def painting_loss(painted: Tensor, truth: Tensor, mask: Tensor, brain_weight: float) -> Tensor:
    """L1, a voxel of the brain counting more."""
    weight = 1.0 + (brain_weight - 1.0) * mask
    return ((painted - truth).abs() * weight).sum() / weight.sum()


def deformation_terms(
    velocity: Tensor,
    sampling: Tensor,
    motion: Tensor,
    batch: dict[str, Tensor],
    axes: NDArray[np.float64],
    wanted: Terms,
) -> dict[str, Tensor]:
    """The terms that are ``wanted``.

    Args:
        velocity: ``(B, 3, k, j, i)`` on half the resolution.
        sampling, motion: its exponentials, at full resolution.
        batch: ``shares`` and ``target_shares``, ``source`` and ``target``, ``sampling`` (the truth) and ``mask``.
        axes: of the full grid.
    """
    terms: dict[str, Tensor] = {}
    brain = slice(BRAIN[0], BRAIN[-1] + 1)
    here, there = batch["shares"][:, brain], batch["target_shares"][:, brain]
    if wanted.structure or wanted.correlation:
        pairs = [(tensors.warp(here, sampling, axes), there), (tensors.warp(there, motion, axes), here)]
        if wanted.structure:
            misses = [masked_mean((moved - fixed).square(), batch["mask"]) for moved, fixed in pairs]
            terms["structure"] = torch.stack(misses).mean()
        if wanted.correlation:
            terms["correlation"] = torch.stack([_uncorrelated(moved, fixed) for moved, fixed in pairs]).mean()
    if wanted.information:
        loss = GlobalMutualInformationLoss(num_bins=23)
        there_ = loss(tensors.warp(batch["source"], sampling, axes), batch["target"])
        back = loss(tensors.warp(batch["target"], motion, axes), batch["source"])
        terms["information"] = 0.5 * (there_ + back)
    miss = masked_mean((sampling - batch["sampling"]).abs(), batch["mask"])
    if wanted.motion:
        terms["motion"] = miss
    first = tensors.gradient(velocity, axes * 2.0)
    if wanted.membrane:
        terms["membrane"] = first.square().mean()
    if wanted.bending:
        terms["bending"] = tensors.gradient(first.flatten(1, 2), axes * 2.0).square().mean()
    return terms


def _uncorrelated(one: Tensor, other: Tensor) -> Tensor:
    """1 - squared local correlation, where either varies (Avants et al., Medical Image Analysis 2008)."""
    one, other = nn.functional.avg_pool3d(one, 2), nn.functional.avg_pool3d(other, 2)

    def mean(values: Tensor) -> Tensor:
        return tensors.gaussian(values, (WINDOW,) * 3)

    a, b = mean(one), mean(other)
    var_a, var_b = (mean(one * one) - a * a).clamp(min=0), (mean(other * other) - b * b).clamp(min=0)
    covariance = mean(one * other) - a * b
    varies = ((var_a + var_b) > 1e-3).float()
    alike = covariance.square() / (var_a * var_b + 1e-5)
    return 1.0 - (alike * varies).sum() / varies.sum().clamp(min=1.0)
