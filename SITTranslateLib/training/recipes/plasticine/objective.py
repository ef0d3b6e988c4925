"""Loss terms of Plasticine's renderer and deformation; fields in mm, structure maps between 0 and 1."""

from __future__ import annotations

import numpy as np
import torch
from monai.losses.image_dissimilarity import GlobalMutualInformationLoss
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.fields import tensors
from SITTranslateLib.training.engine.losses import masked_mean
from SITTranslateLib.training.recipes.plasticine.config import Terms

#: Side of the window of the local correlation, voxels of the half-resolution grid.
WINDOW = 7


def rendering_loss(rendered: Tensor, truth: Tensor, mask: Tensor, brain_weight: float) -> Tensor:
    """L1, a voxel of the brain counting more."""
    weight = 1.0 + (brain_weight - 1.0) * mask
    return ((rendered - truth).abs() * weight).sum() / weight.sum()


def deformation_terms(
    velocity: Tensor, sampling: Tensor, forth: bool, batch: dict[str, Tensor], axes: NDArray[np.float64], weights: Terms
) -> dict[str, Tensor]:
    """The terms that have a weight; images of 2 mm are read at the points of the half-resolution grid.

    Args:
        velocity: ``(B, 3, k, j, i)`` on half the resolution.
        sampling: ``exp(-v)`` on the same grid if the source goes ``forth`` to the target, or ``exp(v)`` if the target
            comes back: both ways are trained, one in a step.
        batch: ``shares`` and ``target_shares`` of the brain's tissues, ``source``, ``target``, ``mask``, and the truth
            of the way forth as ``sampling``.
        axes: of the full grid.
    """
    terms: dict[str, Tensor] = {}
    mask = nn.functional.avg_pool3d(batch["mask"], 2)

    def pair(here: str, there: str) -> tuple[Tensor, Tensor]:
        moving, fixed = (here, there) if forth else (there, here)
        return read_at(batch[moving], sampling, axes), read_at(batch[fixed], None, axes)

    if weights.structure or weights.correlation:
        moved, fixed = pair("shares", "target_shares")
        if weights.structure:
            terms["structure"] = masked_mean((moved - fixed).square(), mask)
        if weights.correlation:
            terms["correlation"] = _uncorrelated(moved, fixed)
    if weights.information:
        terms["information"] = GlobalMutualInformationLoss(num_bins=23)(*pair("source", "target"))
    if weights.motion and forth:
        terms["motion"] = masked_mean((sampling - read_at(batch["sampling"], None, axes)).abs(), mask)
    first = tensors.gradient(velocity, axes * 2.0)
    if weights.membrane:
        terms["membrane"] = first.square().mean()
    if weights.bending:
        terms["bending"] = tensors.gradient(first.flatten(1, 2), axes * 2.0).square().mean()
    return terms


def read_at(image: Tensor, field: Tensor | None, axes: NDArray[np.float64]) -> Tensor:
    """Values of ``(B, C, K, J, I)`` at the points of the half-resolution grid, each moved by a field of that grid."""
    if field is None:
        return nn.functional.avg_pool3d(image, 2)  # A point of that grid lies between eight voxels: their mean.
    shape = field.shape[2:]
    places = 2.0 * tensors.identity_indices(shape, field.device) + 0.5  # type: ignore[arg-type]
    steps = torch.einsum("bckji,dc->bkjid", field.float(), tensors.index_steps(axes, field))
    return tensors.sample(image, places + steps)


def _uncorrelated(one: Tensor, other: Tensor) -> Tensor:
    """1 - squared local correlation, where either varies (Avants et al., Medical Image Analysis 2008)."""

    def mean(values: Tensor) -> Tensor:
        for axis in range(3):
            size, padding = [1, 1, 1], [0, 0, 0]
            size[axis], padding[axis] = WINDOW, WINDOW // 2
            values = nn.functional.avg_pool3d(values, size, 1, padding, count_include_pad=False)
        return values

    a, b = mean(one), mean(other)
    var_a, var_b = (mean(one * one) - a * a).clamp(min=0), (mean(other * other) - b * b).clamp(min=0)
    covariance = mean(one * other) - a * b
    varies = ((var_a + var_b) > 1e-3).float()
    alike = covariance.square() / (var_a * var_b + 1e-5)
    return 1.0 - (alike * varies).sum() / varies.sum().clamp(min=1.0)
