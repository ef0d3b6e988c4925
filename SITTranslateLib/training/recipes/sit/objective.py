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
from SITTranslateLib.systems.sit import layer
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


def log_volume_ratios(
    velocity: Tensor,
    axes: NDArray[np.float64],
    cells: tuple[Tensor, Tensor, Tensor],
    count: int,
    history: Tensor | None = None,
) -> Tensor:
    """Logarithm of volume after over before of each part, under the flow of a velocity ``(count,)``.

    Args:
        velocity: ``(1, 3, K/2, J/2, I/2)``, mm; smoothed as :meth:`SITNetwork.translate` does.
        axes: 3x3 of the full grid, isotropic along R, A, S.
        cells: of the cells between the full grid's voxels ``(K-1, J-1, I-1)``: flat index, part, and share of it.
        count: of parts.
        history: velocity of a flow that goes before.
    """
    with torch.autocast(velocity.device.type, enabled=False):
        coarse = tensors.exponential(tensors.gaussian(velocity, HALF_VOXEL), axes * 2.0, steps=5)
        if history is not None:
            coarse = tensors.compose(coarse, tensors.exponential(history, axes * 2.0, steps=5), axes * 2.0)
        motion = layer.to_full_resolution(coarse)[0] / float(axes[0, 0])
        index, part, share = cells
        # Only the box that holds the parts.
        sizes = [n - 1 for n in motion.shape[1:]]
        places = [index // (sizes[1] * sizes[2]), index // sizes[2] % sizes[1], index % sizes[2]]
        starts, ends = [int(p.min()) for p in places], [int(p.max()) + 2 for p in places]
        box = motion[(slice(None), *(slice(a, b) for a, b in zip(starts, ends, strict=True)))]
        jacobian = _cell_jacobian(box)
        k, j, i = (place - start for place, start in zip(places, starts, strict=True))
        index = (k * jacobian.shape[1] + j) * jacobian.shape[2] + i
    before = torch.zeros(count).index_add_(0, part, share)
    after = torch.zeros(count).index_add(0, part, share * jacobian.reshape(-1)[index])
    return (after / before.clamp(min=1e-6)).clamp(min=0.05).log()


#: Smoothing of ``to_full_resolution_smoothly`` in voxels of the half grid.
HALF_VOXEL = (0.5, 0.5, 0.5)


def _cell_jacobian(motion: Tensor) -> Tensor:
    """Determinant in the middle of each cell between voxels, of a motion in voxels ``(3, K, J, I)``."""

    def mean(field: Tensor, dim: int) -> Tensor:
        n = field.shape[dim] - 1
        return 0.5 * (field.narrow(dim, 1, n) + field.narrow(dim, 0, n))

    columns = []
    for along in (3, 2, 1):
        part = motion.diff(dim=along)
        for dim in (1, 2, 3):
            if dim != along:
                part = mean(part, dim)
        columns.append(part)
    a, b, c = columns
    a = torch.stack((a[0] + 1.0, a[1], a[2]))
    b = torch.stack((b[0], b[1] + 1.0, b[2]))
    c = torch.stack((c[0], c[1], c[2] + 1.0))
    return (a * torch.linalg.cross(b, c, dim=0)).sum(dim=0)


def divergence(field: Tensor, axes: NDArray[np.float64]) -> Tensor:
    """Of fields ``(B, 3, K, J, I)``, per mm where they are in mm ``(B, K, J, I)``."""
    return tensors.gradient(field, axes).diagonal(dim1=1, dim2=2).sum(dim=-1)


def prescribed_terms(parts: SITParts, truth: dict[str, Tensor], axes: NDArray[np.float64]) -> dict[str, Tensor]:
    """Terms for prescribed follow-ups.

    velocity: L1 of the velocity, and of its divergence, each relative to the true mean. volumes: L1 of the logarithms
    of the volume ratios.

    Where the source has a history (a head that aged, and is asked to go back), volumes are those of both flows.
    """
    assert parts.velocity is not None
    smooth = tensors.gaussian(parts.velocity, HALF_VOXEL)
    miss = torch.zeros(())
    for of in (lambda field: field, lambda field: divergence(field, axes * 2.0)):
        true = of(truth["velocity"])
        miss = miss + (of(smooth) - true).abs().mean() / true.abs().mean().clamp(min=1e-5)
    cells = truth["cell"][0].long(), truth["part"][0].long(), truth["share"][0]
    history = truth["history"] if bool(truth["history"].any()) else None
    reached = log_volume_ratios(parts.velocity, axes, cells, truth["log_ratios"].shape[1], history)
    return {"velocity": miss, "volumes": (reached - truth["log_ratios"][0]).abs().mean()}
