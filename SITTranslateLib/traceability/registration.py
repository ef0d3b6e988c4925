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

VELOCITY_COARSENING = 2


@dataclass(frozen=True)
class Settings:
    """Settings of the registration.

    Attributes:
        smoothness: price of bending, mm^2.
        levels: voxels of the working grid that make one of each level, coarse to fine.
        iterations: largest number of steps a level.
        window: radius of the similarity's window, voxels of the level.
        settled_mm: a level ends when no vector changes by more.
    """

    smoothness: float
    levels: tuple[int, ...] = (2, 1)
    iterations: int = 8
    window: int = 2
    settled_mm: float = 0.05


@torch.no_grad()
def register(
    source: Tensor, target: Tensor, spacing: float, settings: Settings, progress: Callable[[float], None] | None = None
) -> Tensor:
    """Velocity of the motion that brings the source onto the target.

    Args:
        source: ``(1, n, K, J, I)``, one image or several of the same anatomy that count alike.
        target: ``(1, 1, K, J, I)`` on the same isotropic grid, each size a multiple of 4.
        spacing: of that grid, mm.
        settings: how.
        progress: called with the fraction done.

    Returns:
        Velocity in mm per unit time along (i, j, k), ``(1, 3, K / 2, J / 2, I / 2)``: ``exp(-v)`` is the sampling
        field. Voxel centres of the coarse grid lie in the middle of 2 x 2 x 2 voxels.
    """
    scans = [_standardised(scan) for scan in (*source.split(1, dim=1), target)]
    *noises, fixed_noise = [noise_variance(scan) for scan in scans]
    # Equal blur of all, or half-voxel shifts would be rewarded for the noise that interpolation takes away.
    *looks, fixed_scan = [tensors.gaussian(scan, (0.7,) * 3) for scan in scans]
    velocity: Tensor | None = None
    done, total = 0, settings.iterations * len(settings.levels)
    for index, level in enumerate(settings.levels):
        moving, fixed = _pooled(torch.cat(looks, dim=1), level), _pooled(fixed_scan, level)
        coarsening = max(1, VELOCITY_COARSENING // level)
        axes, coarse_axes = np.eye(3) * spacing * level, np.eye(3) * spacing * level * coarsening
        shape = tuple(n // coarsening for n in moving.shape[2:])
        velocity = resized(velocity, shape) if velocity is not None else moving.new_zeros(1, 3, *shape)
        similarity = LocalContrast(fixed, settings.window, _at_level(fixed_noise, level))
        price = Smoothness(shape, spacing * level * coarsening, settings.smoothness, moving.device)  # type: ignore[arg-type]
        for _ in range(settings.iterations):
            steps = max(2, tensors.squarings(velocity, coarse_axes))
            sampling = tensors.exponential(velocity, coarse_axes, -1.0, steps)
            moved = tensors.warp(moving, resized(sampling, moving.shape[2:]), axes)
            pulls = [
                similarity.pull(look, _at_level(noise, level), axes).pooled(coarsening)
                for look, noise in zip(moved.split(1, dim=1), noises, strict=True)
            ]
            change = price.step(mean_pull(pulls), velocity)
            largest = float(change.norm(dim=1).max())
            # The linearisation holds over about a voxel.
            velocity = velocity + change * min(1.0, spacing * level / max(largest, 1e-9))
            done += 1
            if progress is not None:
                progress(done / total)
            if largest < settings.settled_mm:
                break
        done = (index + 1) * settings.iterations
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
    """Variance of noise after blur and pooling."""
    return 0.3 * noise / level**2 + 1e-4


def _pooled(scan: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return scan
    return functional.avg_pool3d(tensors.gaussian(scan, (0.35 * factor,) * 3), factor)


def resized(field: Tensor, shape: tuple[int, ...] | torch.Size) -> Tensor:
    """A field read on a grid of another shape that covers the same space."""
    if tuple(field.shape[2:]) == tuple(shape):
        return field
    return functional.interpolate(field, size=tuple(shape), mode="trilinear")
