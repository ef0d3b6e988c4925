"""Field algebra on torch tensors: differentiable, batched, CPU or CUDA.

Shapes: images ``(B, C, K, J, I)``; fields ``(B, 3, K, J, I)`` with components (R, A, S) in mm.
``axes`` is the 3x3 part of the grid's affine (index steps (i, j, k) to RAS mm); displacements become voxel steps
through its full inverse, so any obliqueness or anisotropy is exact. Values beyond the grid repeat the border.
Everything is computed in float32 or better, also under autocast (half precision breaks the squaring).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

Axes = NDArray[np.float64] | Tensor


def index_steps(axes: Axes, like: Tensor) -> Tensor:
    """3x3 from RAS mm to index steps (i, j, k), as a tensor like ``like``."""
    matrix = torch.as_tensor(np.asarray(axes, dtype=np.float64) if not isinstance(axes, Tensor) else axes)
    return torch.linalg.inv(matrix.double()).to(dtype=torch.float32, device=like.device)


def identity_indices(shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """Voxel indices (i, j, k) of every voxel, ``(K, J, I, 3)``."""
    ranges = [torch.arange(n, dtype=torch.float32, device=device) for n in shape]
    k, j, i = torch.meshgrid(*ranges, indexing="ij")
    return torch.stack((i, j, k), dim=-1)


@lru_cache(maxsize=32)
def _unit_scale(sizes: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """From indices (i, j, k) to -1..1, kept on the device: made anew, it would be copied from the host each time."""
    with torch.inference_mode(False):
        count = torch.tensor(sizes, dtype=torch.float32)
        # An axis of one voxel has no extent: every index reads that voxel.
        scale = torch.where(count > 1, 2.0 / (count - 1).clamp(min=1), torch.zeros_like(count))
        return scale.to(device), (count > 1).float().to(device)


def sample(image: Tensor, indices: Tensor, mode: str = "bilinear") -> Tensor:
    """Values of ``image`` ``(B, C, K, J, I)`` at voxel indices ``(B, k, j, i, 3)``; ``mode`` bilinear or nearest.

    The border value is repeated outside.
    """
    scale, offset = _unit_scale(tuple(image.shape[:1:-1]), image.device)
    normalised = indices.float() * scale - offset
    with torch.autocast(image.device.type, enabled=False):
        return functional.grid_sample(image.float(), normalised, mode=mode, padding_mode="border", align_corners=True)


def warp(image: Tensor, sampling: Tensor, axes: Axes, mode: str = "bilinear") -> Tensor:
    """``out(y) = image(y + u(y))`` with the sampling field ``u`` in mm on the image's own grid."""
    steps = torch.einsum("bckji,dc->bkjid", sampling.float(), index_steps(axes, sampling))
    return sample(image, identity_indices(image.shape[2:], image.device) + steps, mode)  # type: ignore[arg-type]


def compose(outer: Tensor, inner: Tensor, axes: Axes) -> Tensor:
    """Displacement of ``outer`` after ``inner``: ``x -> inner(x) + outer(x + inner(x))``, in mm."""
    return inner + warp(outer, inner, axes)


def squarings(velocity: Tensor, axes: Axes, time: float = 1.0, largest_step: float = 0.25) -> int:
    """Squarings needed so that the first step moves no point by more than ``largest_step`` voxels."""
    steps = torch.einsum("bckji,dc->bdkji", velocity.detach().float(), index_steps(axes, velocity))
    fastest = float(steps.abs().amax()) * abs(time)
    return max(0, math.ceil(math.log2(fastest / largest_step))) if fastest > largest_step else 0


def exponential(velocity: Tensor, axes: Axes, time: float = 1.0, steps: int = 7) -> Tensor:
    """Displacement (mm) of the flow of a stationary velocity after ``time``, by scaling and squaring.

    Arsigny et al., "A log-Euclidean framework for statistics on diffeomorphisms", MICCAI 2006.
    """
    # In index steps throughout: the identity is made once, and nothing comes from the host between squarings.
    directions = torch.as_tensor(np.asarray(axes, dtype=np.float64) if not isinstance(axes, Tensor) else axes)
    directions = directions.to(dtype=torch.float32, device=velocity.device)
    identity = identity_indices(velocity.shape[2:], velocity.device)  # type: ignore[arg-type]
    with torch.autocast(velocity.device.type, enabled=False):
        scaled = velocity.float() * (time / 2**steps)
        displacement = torch.einsum("bckji,dc->bdkji", scaled, index_steps(axes, velocity))
        for _ in range(steps):
            displacement = displacement + sample(displacement, identity + displacement.permute(0, 2, 3, 4, 1))
        return torch.einsum("bdkji,cd->bckji", displacement, directions)


def gradient(field: Tensor, axes: Axes) -> Tensor:
    """Spatial derivative ``d field_c / d x_r`` ``(B, C, 3, K, J, I)`` per mm; central inside, one-sided at the edge."""
    by_index = [
        torch.gradient(field.float(), dim=dim)[0] if field.shape[dim] > 1 else torch.zeros_like(field)
        for dim in (4, 3, 2)
    ]
    return torch.einsum("bcdkji,dr->bcrkji", torch.stack(by_index, dim=2), index_steps(axes, field))


def jacobian(displacement: Tensor, axes: Axes) -> Tensor:
    """``det D(x + w(x))`` ``(B, 1, K, J, I)`` of a displacement in mm."""
    matrix = gradient(displacement, axes)
    a, b, c = (matrix[:, r] + _unit(r, matrix) for r in range(3))
    return (a * torch.linalg.cross(b, c, dim=1)).sum(dim=1, keepdim=True)


def _unit(row: int, like: Tensor) -> Tensor:
    unit = torch.zeros(3, device=like.device)
    unit[row] = 1.0
    return unit.view(1, 3, 1, 1, 1)


def gaussian(field: Tensor, sigma_voxels: tuple[float, float, float]) -> Tensor:
    """Gaussian smoothing along (K, J, I), border repeated; ``sigma_voxels`` in that order."""
    field = field.float()
    for dim, sigma in zip((2, 3, 4), sigma_voxels, strict=True):
        if sigma <= 0 or field.shape[dim] == 1:
            continue
        radius = max(1, math.ceil(3 * sigma))
        weights = [math.exp(-0.5 * (t / sigma) ** 2) for t in range(-radius, radius + 1)]
        weights = [w / sum(weights) for w in weights]
        padding = [0, 0, 0, 0, 0, 0]
        padding[2 * (4 - dim)] = padding[2 * (4 - dim) + 1] = radius
        # Shifted sums in place, a channel at a time: torch's grouped convolution unfolds the volume a tap at a time
        # in memory, which is several times slower and needs 30 GB at 512^3.
        field = torch.stack([_weighted_sum(c, padding, dim - 1, weights) for c in field.unbind(1)], dim=1)
    return field


def _weighted_sum(channel: Tensor, padding: list[int], dim: int, weights: list[float]) -> Tensor:
    """``sum_t weights[t] channel[. + t]`` along one axis of ``(B, K, J, I)``, border repeated."""
    count = channel.shape[dim]
    padded = functional.pad(channel[:, None], padding, mode="replicate")[:, 0]
    total = weights[0] * padded.narrow(dim, 0, count)
    for shift, weight in enumerate(weights[1:], start=1):
        total.add_(padded.narrow(dim, shift, count), alpha=weight)
    return total


def soft_bound(field: Tensor, limit: float) -> Tensor:
    """The field with every vector's length brought smoothly below ``limit`` mm: ``v tanh(|v|/b) / (|v|/b)``."""
    length = field.float().norm(dim=1, keepdim=True).clamp(min=1e-6) / limit
    return field * (torch.tanh(length) / length)
