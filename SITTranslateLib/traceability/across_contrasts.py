"""Registration across contrasts: a stiff first one, which goes on softer where much moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from SITTranslateLib.errors import InputError
from SITTranslateLib.fields import tensors
from SITTranslateLib.traceability.explanation import contrast_between, tissue_mask
from SITTranslateLib.traceability.registration import SQUARINGS, Settings, register, resized
from SITTranslateLib.volume import Volume

MUCH_MM = 1.2
"""A first look shows this much on average only where something moved: without motion it shows half of it."""
SOFTEST = 60.0
"""mm^2; bends less priced than this are misfit of the contrasts."""
LEAST_SAMPLES = 1000
"""Voxels of tissue that the brightness of the classes is fitted to."""
RIDGE = 1e-5


@torch.no_grad()
def register_across(
    source: Tensor,
    target: Tensor,
    spacing: float,
    settings: Settings,
    progress: Callable[[float], None] | None = None,
    tissues: Tensor | None = None,
) -> Tensor:
    """As :func:`~SITTranslateLib.traceability.registration.register`, for two scans of different contrasts.

    The price of bending that holds back misfit where nothing moves is too high where much did. So a first registration
    at that price says how much moves; if it is more than :data:`MUCH_MM`, the source is given the target's contrast by
    what now lies on it, and the registration goes on from there on the finest level, at a price that falls with the
    square of the motion: the variance of a motion is the reciprocal of its price.

    Args:
        source, target, spacing, settings, progress: as there.
        tissues: probabilities of the source's tissues ``(1, classes, K, J, I)``, if they are known; from them, the
            source is brought to the target's contrast (:func:`mapped_to_contrast`), and counts in both contrasts.
    """

    def part(start: float, share: float) -> Callable[[float], None] | None:
        return None if progress is None else lambda fraction: progress(start + share * fraction)

    def looks(sampling: Tensor | None = None) -> Tensor:
        alike = _alike(source, tissues, target, spacing, sampling)
        return source if alike is None else torch.cat((source, alike), dim=1)

    first = register(looks(), target, spacing, settings, part(0.0, 0.6))
    coarse = np.eye(3) * spacing * settings.coarsening
    sampling = resized(tensors.exponential(first, coarse, -1.0, SQUARINGS), source.shape[2:])
    tissue = tissue_mask(source[0, 0].cpu().numpy()) | tissue_mask(target[0, 0].cpu().numpy())
    moved = sampling[0].norm(dim=0)[torch.from_numpy(tissue).to(source.device)]
    moved_mm = float(moved.mean()) if moved.numel() else 0.0
    if moved_mm <= MUCH_MM:
        return first
    price = min(settings.smoothness, max(SOFTEST, settings.smoothness / moved_mm**2))
    softer = replace(settings, smoothness=price, levels=settings.levels[-1:])
    return register(looks(sampling), target, spacing, softer, part(0.6, 0.4), first)


def _alike(
    source: Tensor, tissues: Tensor | None, target: Tensor, spacing: float, sampling: Tensor | None
) -> Tensor | None:
    """The source in the target's contrast: by its tissues where they are known, else by brightness and surroundings."""
    axes = np.eye(3) * spacing
    mapped = None if tissues is None else mapped_to_contrast(source, tissues, target, sampling, axes)
    if mapped is not None:
        return mapped
    moved = source if sampling is None else tensors.warp(source, sampling, axes)
    try:
        alike, _ = contrast_between(*(_volume(image, spacing) for image in (source, moved, target)))
    except InputError:
        return None
    return torch.from_numpy(alike)[None, None].to(source.device)


def mapped_to_contrast(
    source: Tensor,
    tissues: Tensor,
    target: Tensor,
    sampling: Tensor | None = None,
    axes: NDArray[np.float64] | None = None,
) -> Tensor | None:
    """The source in the target's contrast ``(1, 1, K, J, I)``, unmoved; None where too little tissue meets the target.

    Each tissue gets the brightness, and the slope with the source's own, that fit the target where it lies now (robust
    least squares), so that three tissues may have any order of brightness without the contrast bending to a motion.

    Args:
        source, target: ``(1, 1, K, J, I)``.
        tissues: probabilities of the source's tissues ``(1, classes, K, J, I)``; the first class is what holds nothing.
        sampling: where the source lies on the target as far as known, mm along (i, j, k); as it is by default.
        axes: of the grid, needed with ``sampling``.
    """
    scale = source.std().clamp(min=1e-12)
    images = torch.cat((tissues, tissues * ((source - source.mean()) / scale)), dim=1)
    here = images if sampling is None or axes is None else tensors.warp(images, sampling, axes)
    inside = here[0, 0] < 0.9
    if int(inside.sum()) < LEAST_SAMPLES:
        return None
    seen, wanted = here[0][:, inside].double(), target[0, 0][inside].double()
    ridge = RIDGE * seen.shape[1] * torch.eye(len(seen), dtype=seen.dtype, device=seen.device)
    weight = torch.ones_like(wanted)
    for _ in range(2):
        fitted = torch.linalg.solve((seen * weight) @ seen.T + ridge, (seen * weight) @ wanted)
        off = wanted - fitted @ seen
        spread = 1.4826 * off.abs().median().clamp(min=1e-12)
        weight = 1.0 / (1.0 + (off / (2.0 * spread)).square())
    return torch.einsum("c,bckji->bkji", fitted.float(), images)[:, None]


def _volume(image: Tensor, spacing: float) -> Volume:
    return Volume(image[0, 0].cpu().numpy(), np.diag((spacing, spacing, spacing, 1.0)))
