"""Loss terms of SIT by name; the config has their weights.

Fields are in mm and intensities normalised, so that weights mean the same at any resolution.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from SITTranslateLib.fields import tensors
from SITTranslateLib.systems.sit.network import SITParts
from SITTranslateLib.training.engine.losses import masked_mean


def anatomy_terms(
    parts: SITParts, axes: NDArray[np.float64], mask: Tensor, required: Callable[[str], bool]
) -> dict[str, Tensor]:
    """Regularisers of the decomposition, those that are ``required``.

    sparsity: mean |d| (Wang et al.). smoothness: mean |grad v|^2, per unit time. folding: relu(0.1 - J) of the
    sampling field. drawing: |d| times the local edge |grad x'|, so that d does not draw boundaries that the field
    should move.
    """
    terms: dict[str, Tensor] = {}
    if parts.intensity_change is not None:
        change = parts.intensity_change.abs()
        if required("sparsity"):
            terms["sparsity"] = masked_mean(change, mask)
        if required("drawing"):
            edges = tensors.gradient(parts.translated.detach(), axes).norm(dim=2)
            terms["drawing"] = masked_mean(change * edges, mask)
    if parts.sampling is not None:
        # Every second voxel is enough: the field is smooth to 3 mm.
        coarse = parts.sampling[..., ::2, ::2, ::2]
        if required("smoothness"):
            field = coarse if parts.velocity is None else parts.velocity
            terms["smoothness"] = tensors.gradient(field, axes * 2.0).square().mean()
        if required("folding"):
            terms["folding"] = torch.relu(0.1 - tensors.jacobian(coarse, axes * 2.0)).mean()
    return terms


def follow_up_terms(parts: SITParts, truth: dict[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
    """Terms for pairs whose follow-up scan is known, and on simulated pairs its decomposition too.

    follow_up: L1 to the follow-up scan, half of it on the voxels that truly change. motion: L1 of the sampling
    field in mm. change: L1 of d.
    """
    error = (parts.translated - truth["target"]).abs()
    terms = {"follow_up": 0.5 * masked_mean(error, mask) + 0.5 * masked_mean(error, truth["change_mask"])}
    if parts.sampling is not None:
        terms["motion"] = masked_mean((parts.sampling - truth["sampling"]).abs(), mask)
    if parts.intensity_change is not None:
        miss = (parts.intensity_change - truth["intensity_change"]).abs()
        touched = (truth["intensity_change"].abs() > 0.02).float()
        terms["change"] = masked_mean(miss, mask) + 0.1 * masked_mean(miss, touched)
    return terms
