"""Registration across contrasts: a stiff first look, and where much moved a second one within one contrast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from SITTranslateLib.errors import InputError
from SITTranslateLib.fields import tensors
from SITTranslateLib.traceability.identity import contrast_between, tissue_mask
from SITTranslateLib.traceability.registration import VELOCITY_COARSENING, Settings, register, resized
from SITTranslateLib.volume import Volume

MUCH_MM = 1.2
"""A first look shows this much on average only where something moved: without motion it shows half of it."""
SOFTEST = 100.0
"""mm^2; bends less priced than this are misfit of the contrasts."""


@torch.no_grad()
def register_across(
    source: Tensor, target: Tensor, spacing: float, settings: Settings, progress: Callable[[float], None] | None = None
) -> Tensor:
    """As :func:`~SITTranslateLib.traceability.registration.register`, for two scans of different contrasts.

    The price of bending that holds back misfit where nothing moved is too high where much did. So a first registration
    at that price says how much moves; if it is more than :data:`MUCH_MM`, the source is given the target's contrast by
    the contrast map of the identity, and registered again at a price that falls with the square of the motion: the
    variance of a motion is the reciprocal of its price.

    Args:
        source, target, spacing, settings, progress: as there.
    """
    first = register(source, target, spacing, settings, None if progress is None else lambda f: progress(f / 2))
    axes = np.eye(3) * spacing
    coarse = axes * VELOCITY_COARSENING
    sampling = tensors.exponential(first, coarse, -1.0, max(2, tensors.squarings(first, coarse)))
    sampling = resized(sampling, source.shape[2:])
    scans = [_volume(image, spacing) for image in (source, tensors.warp(source, sampling, axes), target)]
    tissue = torch.from_numpy(tissue_mask(scans[0].array) | tissue_mask(scans[2].array)).to(source.device)
    moved_mm = float(sampling[0].norm(dim=0)[tissue].mean()) if bool(tissue.any()) else 0.0
    if moved_mm <= MUCH_MM:
        return first
    try:
        alike, even = (torch.from_numpy(array)[None, None].to(source.device) for array in contrast_between(*scans))
    except InputError:
        return first
    softer = replace(settings, smoothness=min(settings.smoothness, max(SOFTEST, settings.smoothness / moved_mm**2)))
    return register(alike, even, spacing, softer, None if progress is None else lambda f: progress(0.5 + f / 2))


def _volume(image: Tensor, spacing: float) -> Volume:
    return Volume(image[0, 0].cpu().numpy(), np.diag((spacing, spacing, spacing, 1.0)))
