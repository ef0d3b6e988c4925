"""Diffeomorphic registration of two scans on one isotropic grid: a stationary velocity by Gauss-Newton steps.

Coarse to fine, each step linearises how the moved source explains the target (``similarity``) and solves for the change
of the velocity under a price on bending (``smoothness``). Log-domain update as in Vercauteren et al., "Symmetric
log-domain diffeomorphic registration", MICCAI 2008, to zeroth order; the exponential gives both directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from SITTranslateLib.fields import tensors
from SITTranslateLib.files.checks import is_ct
from SITTranslateLib.traceability.similarity import LocalContrast, mean_pull, noise_variance
from SITTranslateLib.traceability.smoothness import Smoothness

SQUARINGS = 6
"""The exponential's first step is a quarter of a voxel where a motion is 16 voxels of the velocity's grid long."""


@dataclass(frozen=True)
class Settings:
    """Settings of the registration.

    Attributes:
        smoothness: price of bending, mm^2.
        levels: voxels of the working grid that make one of each level, coarse to fine.
        iterations: steps a level.
        window: radius of the similarity's window, voxels of the level.
        coarsening: voxels of the working grid that make one of the velocity's.
    """

    smoothness: float
    levels: tuple[int, ...] = (2, 1)
    iterations: int = 5
    window: int = 3
    coarsening: int = 2


@torch.no_grad()
def register(
    source: Tensor,
    target: Tensor,
    spacing: float,
    settings: Settings,
    progress: Callable[[float], None] | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Velocity of the motion that brings the source onto the target.

    The number of steps is fixed, and none of them reads a value back from the device.

    Args:
        source: ``(1, n, K, J, I)``, one image or several of the same anatomy that count alike.
        target: ``(1, 1, K, J, I)`` on the same isotropic grid, each size a multiple of 4.
        spacing: of that grid, mm.
        settings: how.
        progress: called with the fraction done.
        start: velocity to go on from, as one that is returned; none at first.

    Returns:
        Velocity in mm per unit time along (i, j, k), ``(1, 3, K / c, J / c, I / c)`` with the settings' coarsening c:
        ``exp(-v)`` is the sampling field. Voxel centres of the coarse grid lie in the middle of c x c x c voxels.
    """
    looks, scan = [_standardised(look) for look in source.split(1, dim=1)], _standardised(target)
    noises, target_noise = [noise_variance(look) for look in looks], noise_variance(scan)
    velocity = start
    # A step costs as much as its level has voxels.
    done, total = 0.0, settings.iterations * sum(level**-3 for level in settings.levels)
    for level in settings.levels:
        moving, fixed = _pooled(torch.cat(looks, dim=1), level), _pooled(scan, level)
        size, block = spacing * level, max(1, settings.coarsening // level)
        axes, coarse_axes = np.eye(3) * size, np.eye(3) * size * block
        shape = tuple(n // block for n in moving.shape[2:])
        velocity = moving.new_zeros(1, 3, *shape) if velocity is None else resized(velocity, shape)
        similarity = LocalContrast(fixed, settings.window, _at_level(target_noise, level), size, block)
        price = Smoothness(shape, size * block, settings.smoothness, moving.device)  # type: ignore[arg-type]
        for _ in range(settings.iterations):
            sampling = tensors.exponential(velocity, coarse_axes, -1.0, SQUARINGS)
            moved = tensors.warp(moving, resized(sampling, moving.shape[2:]), axes)
            pulls = [
                similarity.pull(look, _at_level(noise, level))
                for look, noise in zip(moved.split(1, dim=1), noises, strict=True)
            ]
            change = price.step(mean_pull(pulls), velocity)
            # The linearisation holds over about a voxel.
            velocity = velocity + change * (size / change.norm(dim=1).max().clamp(min=1e-9)).clamp(max=1.0)
            done += level**-3
            if progress is not None:
                progress(min(1.0, done / total))
    assert velocity is not None
    return velocity


def _standardised(scan: Tensor) -> Tensor:
    """Half ranks, half linear, at zero mean and unit variance: brain tissues stay apart also beside bright bone."""
    values = scan.float().cpu().numpy().ravel()
    air = -200.0 if is_ct(values) else float(values.mean()) * 0.3
    tissue = values[values > air]
    tissue = tissue[:: max(1, len(tissue) // 50_000)] if len(tissue) > 100 else values
    quantiles = np.quantile(tissue, np.linspace(0, 1, 257))
    ranks = np.interp(values, quantiles, np.linspace(0, 1, 257))
    bottom, top = float(quantiles[2]), float(quantiles[254])
    linear = np.clip((values - bottom) / max(top - bottom, 1e-12), -0.2, 1.5)
    mixed = torch.from_numpy((0.5 * ranks + 0.5 * linear).astype(np.float32)).view(scan.shape).to(scan.device)
    return (mixed - mixed.mean()) / mixed.std().clamp(min=1e-6)


def _at_level(noise: float, level: int) -> float:
    """Variance of noise after interpolation and pooling."""
    return 0.5 * noise / level**2 + 1e-4


def _pooled(scan: Tensor, factor: int) -> Tensor:
    return scan if factor == 1 else functional.avg_pool3d(scan, factor)


def resized(field: Tensor, shape: tuple[int, ...] | torch.Size) -> Tensor:
    """A field read on a grid of another shape that covers the same space."""
    if tuple(field.shape[2:]) == tuple(shape):
        return field
    return functional.interpolate(field, size=tuple(shape), mode="trilinear")
