"""Losses of the network between real contrasts, and the schedule of its rate."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from SITTranslateLib.training.recipes.real_contrasts.config import RealContrastsConfig
from SITTranslateLib.training.recipes.real_contrasts.samples import Batch

SSIM_WINDOW, SSIM_RANGE = 7, 6.0
"""Width of the loss's SSIM window, voxels, and its range of values, standard deviations of the brain."""
WARM_UP, FLOOR = 100, 0.01
"""Steps of the rate's rise, and the share that it ends at."""


def rate_factor(step: int, config: RealContrastsConfig) -> float:
    """Of the learning rate: a short rise, then half a cosine; the same at half the rate with drawn lesions."""
    first = step < config.steps
    step, steps = (step, config.steps) if first else (step - config.steps, config.lesion_steps)
    if step < WARM_UP:
        factor = (step + 1) / WARM_UP
    else:
        fall = 0.5 * (1.0 + math.cos(math.pi * (step - WARM_UP) / max(1, steps - WARM_UP)))
        factor = FLOOR + (1.0 - FLOOR) * fall
    return factor if first else 0.5 * factor


def losses(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Terms of the loss, unweighted."""
    mean, scale = network(batch.stack.contiguous(memory_format=torch.channels_last), batch.code)
    error = (mean - batch.targets).abs()
    total = batch.weights.sum().clamp(min=1.0)
    scale = scale.clamp(-5.0, 3.0)
    return {
        "absolute": (error * batch.weights).sum() / total,
        "ssim": dissimilarity(mean, batch.targets, batch.weights),
        "scale": ((error.detach() * (-scale).exp() + scale) * batch.weights).sum() / total,
    }


def dissimilarity(image: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """1 - SSIM in 2D with a uniform window, averaged with the loss's weights."""
    channels = image.shape[1]
    # Outside of what counts both are alike, so that the rim of a stripped brain is no structure.
    there = (weights > 0).float()
    x, y = image.clamp(-6.0, 8.0) * there, truth * there
    rows, columns = (_window_means(size, x) for size in x.shape[2:])

    def mean(values: Tensor) -> Tensor:
        return rows @ values @ columns.T

    both = mean(torch.cat((x, y, x * x, y * y, x * y), dim=1))
    mx, my, xx, yy, xy = both.split(channels, dim=1)
    c1, c2 = (0.01 * SSIM_RANGE) ** 2, (0.03 * SSIM_RANGE) ** 2
    vx, vy, vxy = (xx - mx * mx).clamp(min=0), (yy - my * my).clamp(min=0), xy - mx * my
    # Of structure alone: the level is the absolute error's.
    similar = (2 * vxy + c2) / (vx + vy + c2) * (2 * mx * my + c1 + 1.0) / (mx * mx + my * my + c1 + 1.0)
    return ((1.0 - similar) * weights).sum() / weights.sum().clamp(min=1.0)


def _window_means(size: int, like: Tensor) -> Tensor:
    """Matrix ``(size, size)`` that averages over the part of the window inside; faster on a CPU than pooling."""
    band = torch.ones(size, size, dtype=like.dtype, device=like.device).tril(SSIM_WINDOW // 2).triu(-(SSIM_WINDOW // 2))
    return band / band.sum(dim=1, keepdim=True)
