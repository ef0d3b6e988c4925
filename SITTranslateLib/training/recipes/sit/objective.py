"""Loss terms of SIT by name; the config has their weights.

Fields are in mm and intensities normalised, so that weights mean the same at any resolution.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib import fields
from SITTranslateLib.fields import tensors
from SITTranslateLib.systems.prescribed.solver import cell_jacobian
from SITTranslateLib.systems.sit.network import SITNetwork, SITParts
from SITTranslateLib.systems.sit.structures import StructureHead
from SITTranslateLib.training.engine.losses import masked_mean
from SITTranslateLib.volume import VectorField


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


def log_volume_ratios(
    velocity: Tensor, axes: NDArray[np.float64], voxels: tuple[Tensor, Tensor, Tensor], history: Tensor | None = None
) -> Tensor:
    """Logarithm of volume after over before of each part, under the flow of a velocity ``(parts,)``.

    Args:
        velocity: at the corners of voxels ``(1, 3, K + 1, J + 1, I + 1)``, mm.
        axes: 3x3 of the grid, isotropic along R, A, S.
        voxels: that hold a part: flat index, part, and share of it.
        history: velocity of a flow that goes before.
    """
    affine = np.eye(4)
    affine[:3, :3] = axes

    def flow(one: Tensor) -> VectorField:
        return fields.exponential(VectorField(one[0].permute(1, 2, 3, 0).numpy(), affine))

    motion = flow(velocity) if history is None else fields.compose(flow(velocity), flow(history))
    jacobian = cell_jacobian(motion.array, float(axes[0, 0])).ravel()
    index, part, share = (array.numpy() for array in voxels)
    before, after = np.bincount(part, share), np.bincount(part, share * jacobian[index])
    return torch.from_numpy(np.log(np.clip(after / before, 0.05, None))).float()


def prescribed_terms(
    network: SITNetwork, parts: SITParts, truth: dict[str, Tensor], axes: NDArray[np.float64]
) -> dict[str, Tensor]:
    """Terms for prescribed follow-ups.

    volumes: distance of the logarithms of the true structures' volume ratios from those of the courses. What is asked
    of the structures found changes what the true ones reach by about as much: the slope is taken for 1.

    Where the source has a history (a head that aged, and is asked to go back), volumes are those of both flows.
    """
    assert parts.velocity is not None
    head = network.field_head
    assert isinstance(head, StructureHead)
    voxels = truth["voxel"][0], truth["part"][0], truth["share"][0]
    with torch.autocast(parts.velocity.device.type, enabled=False):
        reached = log_volume_ratios(parts.velocity, axes, voxels, truth.get("history"))
        asked = head.asked(truth["code"][:, : len(network.attributes)], truth["regions"][0])[0]
        miss = reached + asked - asked.detach() - truth["log_ratios"][0]
    return {"volumes": nn.functional.smooth_l1_loss(miss, torch.zeros_like(miss), beta=0.05)}
